package reconcile_test

import (
	"sync/atomic"
	"time"
)

const (
	// simStepNoticed is the least step of the clock that is taken for one.
	simStepNoticed = 5 * time.Second
	// simStepRecorded is within what time of a step forward the records are in line with
	// it, where the disk takes them.
	simStepRecorded = 10 * time.Minute
)

// simSteps are steps of the clock forward over which an old token's overlap goes on.
type simSteps struct {
	forward atomic.Int64 // the last, by the time of the world
	unknown atomic.Int64 // until when overlaps may have begun that a step cuts, by the clock
}

// putOverlaps has what left its places have left them as long ago as it did, where tokend
// sees the clock being set.
func (s *simRun) putOverlaps(d time.Duration) {
	switch {
	case d < 0 || s.p == nil || s.p.isDead():
		s.cutsOverlaps(s.wall().Add(max(0, d)))
	case d >= simStepNoticed:
		s.steps.forward.Store(s.real().UnixNano())
		for _, places := range s.left {
			for place, at := range places {
				places[place] = at.Add(d)
			}
		}
	}
}

func (s *simRun) cutsOverlaps(until time.Time) {
	for was := s.steps.unknown.Load(); until.UnixNano() > was; was = s.steps.unknown.Load() {
		if s.steps.unknown.CompareAndSwap(was, until.UnixNano()) {
			return
		}
	}
}

// forgetsSteps: the process died. Of a step that is not recorded nobody knows then.
func (s *simRun) forgetsSteps() {
	at := s.steps.forward.Load()
	if at == 0 {
		return
	}
	if forward := time.Unix(0, at); s.real().Sub(forward) < simStepRecorded || s.weatherNow().diskFull || s.fullUntil.After(forward) {
		s.cutsOverlaps(s.wall())
	}
}

// overlapsUnknown is until when overlaps may have begun that end early: by a step back, or
// by one forward that tokend could not see, or had no time to record.
func (s *simRun) overlapsUnknown() time.Time { return time.Unix(0, s.steps.unknown.Load()) }
