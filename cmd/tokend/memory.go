package main

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// memory trades memory for time while there is much to do, and gives it back
// when it is quiet: collecting seldom is worth a fifth of the processor while
// ten thousand tokens are obtained, and what that takes is of no use afterwards.
// Who sets GOGC or GOMEMLIMIT decides that themselves.
type memory struct {
	allocated uint64 // when it was last looked at
	looked    time.Time
	lively    time.Time // when much was last allocated
	calm      bool
	percent   int                    // that the collector was told while it is not calm
	trim      atomic.Pointer[func()] // gives back what the state's file has mapped; nil: it is not open
	read      atomic.Bool            // the configuration was: from now on the state's file counts, too
}

const (
	gcBusy = 400 // percent of what lives that may be allocated before it is collected
	gcCalm = 40
	// garbageLeast is what may be allocated in any case. Where little lives, gcBusy
	// counts for what is above garbageFree only: the stacks of a thousand items in
	// progress, of which the runtime takes a percentage as well, are more than that, and
	// to collect little takes no time.
	garbageLeast = 32 << 20
	garbageFree  = 16 << 20
	// memoryFloor bounds what the garbage of a busy time may take, where less
	// than a third of it lives.
	memoryFloor = 256 << 20
	// readingFloor is memoryFloor while a configuration is read: the pages of the
	// state's file, which count later, are not there yet.
	readingFloor = memoryFloor + mappedRoom
	// mappedRoom is what is left of the bound to the pages of the state's file,
	// while a start goes through all of it.
	mappedRoom = 40 << 20
	// takingFloor is memoryFloor while a configuration is taken over: what that
	// needs for a moment lives beside the configuration, and a bound just above
	// both has the collector run all the time.
	takingFloor = memoryFloor + 24<<20
	// busyRate is what is allocated in a second when it is worth the memory.
	busyRate = 16 << 20
	// busyBound is how many percent of what lives may be used then before the collector
	// has to run. With a hundred thousand credentials each percent is a megabyte at the
	// peak, and at three hundred a tenth of the time goes into collecting.
	busyBound = 340
	calmAfter = 2 * time.Second
	// beginLook is how often the bound is looked at while tokend begins.
	beginLook = 50 * time.Millisecond
	// beginTrim is after how many of these looks the state's file is given back:
	// a start reads each of its pages about once.
	beginTrim = 5
	// worthIt is how much a heap has to hold to be given back.
	worthIt = 64 << 20
)

// newMemory returns nil where the environment has decided.
func newMemory(p process) *memory {
	if p.getenv("GOGC") != "" || p.getenv("GOMEMLIMIT") != "" {
		return nil
	}
	debug.SetGCPercent(gcBusy)
	debug.SetMemoryLimit(readingFloor)
	return &memory{percent: gcBusy}
}

// begin keeps the bound above what lives until end is called: before anybody
// looks a few times a second, a large configuration is read and taken over, and
// a bound below it would have the collector run all the time.
func (m *memory) begin() (end func()) {
	if m == nil {
		return func() {}
	}
	stop := make(chan struct{})
	var over sync.WaitGroup
	over.Go(func() {
		tick := time.NewTicker(beginLook)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-tick.C:
				m.beginning(n)
			case <-stop:
				return
			}
		}
	})
	return sync.OnceFunc(func() { close(stop); over.Wait() })
}

// beginning is the n-th look while tokend begins.
func (m *memory) beginning(n int) {
	m.hurry()
	if !m.read.Load() {
		debug.SetMemoryLimit(max(readingFloor, boundFor(m.lives(), 145)))
		return
	}
	debug.SetMemoryLimit(max(takingFloor, boundFor(m.lives(), 145)-mappedRoom))
	if n%beginTrim == 0 {
		m.giveBack()
	}
}

// opened says how what the state's file has mapped is given back.
func (m *memory) opened(trim func()) {
	if m != nil {
		m.trim.Store(&trim)
	}
}

func (m *memory) giveBack() {
	if trim := m.trim.Load(); trim != nil {
		(*trim)()
	}
}

// handBack gives back what reading a configuration has left, before the state is
// opened: all of whose file is gone through then, and counts as resident. So the
// two do not add up to a peak.
func (m *memory) handBack() {
	if m == nil {
		return
	}
	m.read.Store(true)
	if sample("/memory/classes/heap/objects:bytes") > worthIt {
		debug.FreeOSMemory()
	}
}

// bound sets what memory may be used before the collector has to run: so many
// percent of what lives, and the stacks beside it, which no collection gives back. Of
// a thousand items in progress they take as much as what lives, and a bound that they
// use up has the collector run all the time.
func (m *memory) bound(percent uint64) {
	debug.SetMemoryLimit(boundFor(m.lives(), percent) + int64(sample("/memory/classes/heap/stacks:bytes")))
}

// hurry sets how much may be allocated before the collector runs, while there is much
// to do.
func (m *memory) hurry() {
	percent := busyPercent(m.lives(), sample("/memory/classes/heap/stacks:bytes"))
	if d := percent - m.percent; d > m.percent/8 || -d > m.percent/8 { // each setting stops all for a moment
		m.percent = percent
		debug.SetGCPercent(percent)
	}
}

// busyPercent is the percentage of what lives and of the stacks that may be allocated
// before it is collected, while there is much to do.
func busyPercent(live, stacks uint64) int {
	garbage := uint64(garbageLeast)
	if live > garbageFree {
		garbage = max(garbage, (live-garbageFree)*gcBusy/100)
	}
	return int(min(gcBusy, garbage*100/max(1, live+stacks)))
}

func (m *memory) lives() uint64 { return sample("/gc/heap/live:bytes") }

func sample(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func boundFor(live, percent uint64) int64 { return int64(max(memoryFloor, live/100*percent)) }

// stir says that much is to be done now, before anybody sees it done: taking over
// a changed file of a large directory is a matter of some hundredths of a second,
// and a collection in the midst of it doubles that. What it may take for that stays
// below what the start took.
func (m *memory) stir(now time.Time) {
	if m == nil {
		return
	}
	m.lively = now
	if m.calm {
		m.bound(145)
		m.calm, m.percent = false, gcBusy
		debug.SetGCPercent(gcBusy)
	}
}

// look is called a few times a second.
func (m *memory) look(now time.Time) {
	if m == nil {
		return
	}
	allocated := sample("/gc/heap/allocs:bytes")
	since := now.Sub(m.looked)
	busy := since > 0 && float64(allocated-m.allocated) > busyRate*since.Seconds()
	m.allocated, m.looked = allocated, now
	switch {
	case busy:
		m.stir(now)
		m.bound(busyBound)
		m.hurry()
	case !m.calm && now.Sub(m.lively) > calmAfter:
		m.calm = true
		debug.SetGCPercent(gcCalm)
		debug.FreeOSMemory()
		m.giveBack()
	}
}
