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
// two seconds of the last event and within five of the first. (A removal waits
// for as long as it takes.)
const (
	configQuiet    = 50 * time.Millisecond
	configMaxDelay = time.Second
	lockPatient    = 3 * time.Second
	unlockedLook   = 50 * time.Millisecond
)

// settling is a change that waits until git is done with the directory.
type settling struct {
	since time.Time        // when the first event of it was told; zero: nothing waits
	last  time.Time        // the last event
	look  <-chan time.Time // when to look again
}

// whenWhole reads the configuration anew unless a git is at work there, which
// writes file after file: a half of a commit may well be a valid configuration.
func (d *service) whenWhole(ctx context.Context, last time.Time) {
	atWork := d.unsettled() != ""
	if d.settling.waits(time.Now(), last, atWork) {
		d.settling.look = time.After(unlockedLook)
		return
	}
	o := reloadOptions{SetOptions: reconcile.SetOptions{Changed: last}}
	if !atWork {
		o.whole = func() bool { return d.unsettled() == "" }
	}
	if errors.Is(d.tryReload(ctx, o), errHalf) {
		d.settling.waits(time.Now(), last, true)
		d.settling.look = time.After(unlockedLook)
	}
}

// waits says whether to look again later, as long as somebody is at work and
// patience lasts.
func (s *settling) waits(now, last time.Time, atWork bool) bool {
	if s.since.IsZero() {
		s.since = now
	}
	if atWork && now.Sub(s.since) < lockPatient {
		s.last = last
		return true
	}
	*s = settling{}
	return false
}
