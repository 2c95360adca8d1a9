package main

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestEveryPartRuns runs the whole program with next to nothing to measure, so
// that it cannot rot between the times that somebody looks at its figures.
func TestEveryPartRuns(t *testing.T) {
	o := options{records: 40, tokens: 20, secrets: 20, runs: 1, changes: 2, idle: 100 * time.Millisecond, away: time.Second, calm: 100 * time.Millisecond, dir: t.TempDir(), shm: t.TempDir()}
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	b, err := newBench(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	var text strings.Builder
	b.table = newTable(&text)
	if err := b.measure(ctx, names); err != nil {
		t.Fatal(err)
	}
	for _, work := range []string{
		"start with 40 recorded tokens, to readiness", "memory at rest, 40 credentials and sinks by for_each", "plan over 40 credentials",
		"idle with 40 tokens", "changed file to changed sink, among 40", "load 80 blocks in 40 files", "start with 40 recorded tokens, from 40 files",
		"memory at rest, 80 blocks in 40 files", "one changed file of 40", "obtain 20 tokens, 64 in flight", "obtain 20 tokens, 256 in flight",
		"refresh 20 tokens, 256 in flight, latency 100 ms", "20 tokens that end in one second", "requests above the limit",
		"memory while a provider is away with 20 due", "20 Vault KV secrets into 20 files",
	} {
		if !strings.Contains(text.String(), work) {
			t.Errorf("the table has no row %q:\n%s", work, text.String())
		}
	}
	for _, r := range b.table.rows {
		if r.figure == "" || strings.Contains(r.figure, "NaN") || strings.Contains(r.figure, "Inf") {
			t.Errorf("the row %q has the figure %q", r.work, r.figure)
		}
	}
}

func TestQuantile(t *testing.T) {
	list := []int{5, 1, 4, 2, 3}
	for q, want := range map[float64]int{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := quantile(list, q); got != want {
			t.Errorf("quantile(%v, %v) = %d, want %d", list, q, got, want)
		}
	}
}

func TestTheTableSaysHowEachGoalStands(t *testing.T) {
	var text strings.Builder
	list := newTable(&text)
	list.add(row{work: "a start", figure: "5000 ms", goal: "≤ 2.5 s", share: 2})
	list.add(row{work: "memory", figure: "64 MiB", goal: "≤ 128 MiB", met: true, share: 0.5})
	if got := strings.Count(text.String(), "\n"); got != 3 {
		t.Errorf("after two rows %d lines were printed, want 3: each row is there as soon as it is known", got)
	}
	list.add(row{work: "syncs", figure: "0.03"})
	list.add(row{work: "beside another", figure: "-", goal: "≥ 5 ×", unmeasured: true})
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	for i, want := range []string{"OF IT", "2.00 ×  SHORT", "0.50 ×  MET", "0.03", " NOT MEASURED"} {
		if !strings.HasSuffix(strings.TrimRight(lines[i], " "), want) {
			t.Errorf("line %d is %q, want it to end in %q", i, lines[i], want)
		}
	}
}

func TestWhatTheProcessorsDid(t *testing.T) {
	busy, idle, stolen, err := machineTimes("cpu  100 20 300 4000 50 6 7 80 90 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n")
	if err != nil || busy != 4330*time.Millisecond || idle != 40500*time.Millisecond || stolen != 800*time.Millisecond {
		t.Errorf("busy %s, idle %s, stolen %s, error %v", busy, idle, stolen, err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8 9 0", "cpu 1 2 3 4 x 6 7 8"} {
		if _, _, _, err := machineTimes(bad); err == nil {
			t.Errorf("%q is taken for the times of a machine", bad)
		}
	}
	then := processors{at: time.Unix(0, 0), busy: time.Minute, tokend: time.Second}
	now := processors{at: time.Unix(2, 0), busy: time.Minute + 3*time.Second, idle: 500 * time.Millisecond, stolen: 500 * time.Millisecond,
		tokend: 2500 * time.Millisecond, standin: 500 * time.Millisecond, measure: 250 * time.Millisecond}
	if got := now.since(then).String(); got != "tokend 0.75, stand-in 0.25, others 0.50, stolen 0.25, idle 0.25" {
		t.Errorf("in two seconds: %s", got)
	}
}
