package main

import (
	"fmt"
	"time"

	"tokend/pkg/reconcile"
)

// expiryLook is how often it is looked whether a login has run out: a timer stands
// still while the machine sleeps.
const expiryLook = 30 * time.Second

// resumeLogins goes on with the logins that wait since before a restart, and ends
// those that ran out meanwhile.
func (e *engine) resumeLogins() {
	e.knownLogins()
	var waiting []*openLogin
	e.keepLogins(func() (stale bool) { // what the state has of one is more than it is to have
		for id, l := range e.logins.known {
			switch {
			case time.Since(l.until) > loginLasts:
				delete(e.logins.known, id)
				stale = true
			case l.waits(time.Now()):
				waiting = append(waiting, l)
				stale = stale || l.older
			case l.sent.IsZero():
				stale = l.end(loginLate(l)) || stale || l.device != nil // its code is not kept
			}
		}
		return stale
	})
	for _, l := range waiting {
		e.log.Info("a login that began before the restart waits for its person", "address", l.address, "until", l.until)
		if l.device != nil {
			e.pollInBackground(l)
		} else {
			e.expireInBackground(l)
		}
	}
}

func (e *engine) expireInBackground(l *openLogin) {
	e.ended.Add(1)
	go func() {
		defer e.ended.Done()
		e.expire(l)
	}()
}

// expire ends a login that nobody completes in time: the state keeps no longer what
// it waits with.
func (e *engine) expire(l *openLogin) {
	for {
		select {
		case <-time.After(min(max(time.Until(l.until), time.Second), expiryLook)):
		case <-l.done:
			return
		case <-e.ctx.Done():
			return // the next start does
		}
		e.keepLogins(func() bool {
			return l.sent.IsZero() && time.Now().After(l.until) && l.end(loginLate(l))
		})
	}
}

func loginLate(l *openLogin) error {
	if l.device != nil {
		return deviceLate(l)
	}
	return withHint(fmt.Errorf("nobody completed this login within %s", l.until.Sub(l.began).Round(time.Second)), "begin again: tokend login %s", reconcile.ShellAddress(l.address))
}
