package main

import (
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/secret"
)

// TestTheMemoryBoundIsAboveWhatLives: a bound below it would have the collector
// run all the time.
func TestTheMemoryBoundIsAboveWhatLives(t *testing.T) {
	for live, want := range map[uint64]int64{0: memoryFloor, 100 << 20: memoryFloor, 200 << 20: 200 << 20 / 100 * 200} {
		if got := boundFor(live, 200); got != want {
			t.Errorf("with %d MiB alive the bound is %d MiB, want %d", live>>20, got>>20, want>>20)
		}
	}
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	runtime.GC() // counts what lives
	(&memory{}).bound(100 << 20)
	if got := debug.SetMemoryLimit(-1); got <= memoryFloor {
		t.Errorf("at a million times what lives the bound is %d MiB", got>>20)
	}
}

// TestGarbageBesideWhatLives: what may be allocated until it is collected, while there
// is much to do, follows from what lives and not from the stacks of what is in progress.
func TestGarbageBesideWhatLives(t *testing.T) {
	for _, c := range []struct{ live, stacks, garbage uint64 }{ // MiB
		{1, 0, 4}, {8, 0, 32}, {10, 22, 32}, {10, 40, 32}, {24, 0, 32}, {30, 10, 56}, {70, 0, 216}, {70, 40, 216}, {1000, 0, 3930},
	} {
		percent := busyPercent(c.live<<20, c.stacks<<20)
		if got := (c.live + c.stacks) * uint64(percent) / 100; got+1 < c.garbage || got > c.garbage {
			t.Errorf("with %d MiB alive and %d of stacks %d may be allocated (%d %%), want %d", c.live, c.stacks, got, percent, c.garbage)
		}
	}
	if p := busyPercent(0, 0); p != gcBusy {
		t.Errorf("where nothing lives: %d %%", p)
	}
}

// TestTheMemoryBoundLeavesRoomForStacks: what is in progress has a stack each, and
// together they may take more than what lives.
func TestTheMemoryBoundLeavesRoomForStacks(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	bound := func() int64 {
		(&memory{}).bound(100)
		return debug.SetMemoryLimit(-1)
	}
	without := bound()
	const n, each = 512, 64 << 10
	deep, end := make(chan struct{}), make(chan struct{})
	var over sync.WaitGroup
	for range n {
		over.Go(func() {
			var stack [each / 2]byte
			deep <- struct{}{}
			<-end
			runtime.KeepAlive(&stack)
			stack[len(stack)-1]++
		})
	}
	for range n {
		<-deep
	}
	with := bound()
	close(end)
	over.Wait()
	if with < without+n*each/2 {
		t.Errorf("with %d MiB of stacks the bound is %d MiB, without %d MiB", n*each>>20, with>>20, without>>20)
	}
}

func TestWatchingOverTheMemoryEnds(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	end := (&memory{}).begin()
	end()
	end() // the service ends it, and whoever began it
	var none *memory
	none.begin()() // the environment has decided
}

// TestTheMemoryBoundWhileItBegins: first a configuration has room, then what taking
// it over needs beside it, while the state's file keeps little of its own.
func TestTheMemoryBoundWhileItBegins(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	trimmed := 0
	m := &memory{}
	m.opened(func() { trimmed++ })
	looks := func() (bound int64) {
		for n := range 2 * beginTrim {
			m.beginning(n + 1)
		}
		return debug.SetMemoryLimit(-1)
	}
	if bound := looks(); bound < readingFloor || trimmed > 0 {
		t.Errorf("while a configuration is read the bound is %d MiB, want %d; given back %d times, want never", bound>>20, int64(readingFloor)>>20, trimmed)
	}
	m.handBack()
	if bound := looks(); bound < takingFloor || trimmed != 2 {
		t.Errorf("while it is taken over the bound is %d MiB, want %d; given back %d times, want 2", bound>>20, int64(takingFloor)>>20, trimmed)
	}
	var none *memory
	none.opened(func() {}) // the environment has decided
}

// TestHandingBackWhatReadingLeft: garbage is gone before anything else is read,
// but where there is little nothing is collected for it.
func TestHandingBackWhatReadingLeft(t *testing.T) {
	used := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	before := debug.SetGCPercent(-1)
	defer debug.SetGCPercent(before)
	runtime.GC()
	lives := used()
	garbage := make([][]byte, 100)
	for i := range garbage {
		garbage[i] = make([]byte, 1<<20)
	}
	if runtime.KeepAlive(garbage); used() < lives+100<<20 {
		t.Fatalf("%d MiB are used, want 100 more than %d", used()>>20, lives>>20)
	}
	var none *memory
	none.handBack() // the environment has decided
	if used() < lives+100<<20 {
		t.Error("what was not to be touched was collected")
	}
	(&memory{}).handBack()
	if now := used(); now > lives+20<<20 {
		t.Errorf("%d MiB are used after the garbage was given back, want about %d", now>>20, lives>>20)
	}
}

// TestACollectionWaitsForAChange: when the configuration is read anew the collector
// runs seldom at once, and often again when it was quiet for a while.
func TestACollectionWaitsForAChange(t *testing.T) {
	before, limit := debug.SetGCPercent(gcCalm), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(before); debug.SetMemoryLimit(limit) }()
	percent := func() int { p := debug.SetGCPercent(gcCalm); debug.SetGCPercent(p); return p }
	now := time.Now()
	trimmed := false
	m := &memory{calm: true, looked: now}
	m.opened(func() { trimmed = true })
	m.stir(now)
	if p := percent(); p != gcBusy {
		t.Errorf("GC at %d %% of what lives while a change is taken over, want %d", p, gcBusy)
	}
	for _, after := range []time.Duration{time.Millisecond, calmAfter} {
		m.look(now.Add(after))
		if p := percent(); p != gcBusy || trimmed {
			t.Errorf("%s later: GC at %d %%, want %d; given back: %t", after, p, gcBusy, trimmed)
		}
	}
	m.look(now.Add(2 * calmAfter))
	if p := percent(); p != gcCalm || !trimmed {
		t.Errorf("when it is quiet again: GC at %d %%, want %d; given back: %t", p, gcCalm, trimmed)
	}
	var none *memory
	none.stir(now) // the environment has decided
}

// TestLogAttributesAreClean: what an API says can neither forge a line nor drive
// a terminal, and a secret is not printed.
func TestLogAttributesAreClean(t *testing.T) {
	for _, test := range []struct {
		name  string
		value any
		want  string
	}{
		{"plain", "credential.coinify.trader[\"alice\"]", `credential.coinify.trader[\"alice\"]`},
		{"a line break", "one\ntwo", "one two"},
		{"an escape", "a\x1b[31mb", "a·[31mb"},
		{"a delete", "a\x7fb", "a·b"},
		{"another script", "größe", "größe"},
		{"an error", errors.New("bad\rreply"), "bad·reply"},
		{"a secret", secret.New("hunter2"), secret.Redacted},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{ReplaceAttr: cleanAttr})).Info("said", "value", test.value)
			if got := out.String(); !strings.Contains(got, `"value":"`+test.want+`"`) {
				t.Errorf("the line is %s, want the value %q in it", got, test.want)
			}
		})
	}
}
