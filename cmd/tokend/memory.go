package main

import (
	"runtime/debug"
	"runtime/metrics"
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
	trim      func() // gives back what the state's file has mapped
}

const (
	gcBusy = 400 // percent of what lives that may be allocated before it is collected
	gcCalm = 40
	// memoryFloor bounds what the garbage of a busy time may take, where less
	// than a third of it lives.
	memoryFloor = 256 << 20
	// busyRate is what is allocated in a second when it is worth the memory.
	busyRate  = 16 << 20
	calmAfter = 2 * time.Second
)

// newMemory returns nil where the environment has decided.
func newMemory(p process) *memory {
	if p.getenv("GOGC") != "" || p.getenv("GOMEMLIMIT") != "" {
		return nil
	}
	debug.SetGCPercent(gcBusy)
	debug.SetMemoryLimit(memoryFloor)
	return &memory{trim: func() {}}
}

// look is called a few times a second.
func (m *memory) look(now time.Time) {
	if m == nil {
		return
	}
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	allocated, live := s[0].Value.Uint64(), s[1].Value.Uint64()
	since := now.Sub(m.looked)
	busy := since > 0 && float64(allocated-m.allocated) > busyRate*since.Seconds()
	m.allocated, m.looked = allocated, now
	switch {
	case busy:
		m.lively = now
		debug.SetMemoryLimit(int64(max(memoryFloor, 3*live)))
		if m.calm {
			m.calm = false
			debug.SetGCPercent(gcBusy)
		}
	case !m.calm && now.Sub(m.lively) > calmAfter:
		m.calm = true
		debug.SetGCPercent(gcCalm)
		debug.FreeOSMemory()
		m.trim()
	}
}
