package main

import (
	"context"
	"errors"
	"time"

	"tokend/pkg/reconcile"
)

// When the configuration is read after its files changed: once they were quiet
// for a moment, but not later than after a while of unrest, and while a git is
// at work in the directory only after more patience: an addition acts within
// two seconds of the last event and within five of the first, the time of the
// reading included. (A removal waits for as long as it takes.)
const (
	configQuiet    = 50 * time.Millisecond
	configMaxDelay = time.Second
	lockQuiet      = 1500 * time.Millisecond // after the last event, a killed git's lock or not
	lockPatient    = 3 * time.Second         // after the first was told
	unlockedLook   = 50 * time.Millisecond
)

// settling is a change that waits until git is done with the directory.
type settling struct {
	since time.Time        // when the first event of it was told; zero: nothing waits
	last  time.Time        // the last event; zero: nobody saw one
	look  <-chan time.Time // when to look again
}

// whenWhole reads the configuration anew unless a git is at work there, which
// writes file after file: a half of a commit may well be a valid configuration.
func (d *service) whenWhole(ctx context.Context, last time.Time) {
	now := time.Now()
	s := d.settling.told(now, last)
	if s.patient(now) && d.unsettled() != "" {
		s.look = time.After(unlockedLook)
		d.settling = s
		return
	}
	o := reloadOptions{SetOptions: reconcile.SetOptions{Changed: last}}
	if s.patient(now) {
		o.whole = func() bool { return d.unsettled() == "" }
	}
	d.settling = settling{}
	if errors.Is(d.tryReload(ctx, o), errHalf) {
		s.look = time.After(unlockedLook)
		d.settling = s
	}
}

// told is what waits once an event was told.
func (s settling) told(now, last time.Time) settling {
	if s.since.IsZero() {
		s.since = now
	}
	s.last = last
	return s
}

// patient says whether whoever is at work in the directory is waited for.
func (s settling) patient(now time.Time) bool {
	return now.Sub(s.since) < lockPatient && now.Sub(later(s.last, s.since)) < lockQuiet
}
