package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/state"
)

// What could not be made is tried once after what prevented it may have changed; what
// reached the provider waits for its back-off, and what it refused stays stopped.
func TestACallThatCouldNotBeMadeIsTriedAnew(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, c := range map[string]struct {
		f       state.Failure
		anew    bool
		blocked bool
	}{
		"config":                        {state.Failure{Op: opGrant, Class: classConfig, Stopped: true, NextAt: now.Add(time.Hour)}, true, false},
		"config, tried":                 {state.Failure{Op: opGrant, Class: classConfig, Stopped: true}, false, true},
		"config after refused logins":   {state.Failure{Op: opGrant, Class: classConfig, Stopped: true, Reached: 3, NextAt: now.Add(time.Hour)}, true, true},
		"config, long after the logins": {state.Failure{Op: opGrant, Class: classConfig, Stopped: true, Reached: 3, NextAt: now.Add(-time.Hour)}, true, false},
		"refused":                       {state.Failure{Op: opGrant, Class: "permanent", Stopped: true}, true, true},
		"ended account":                 {state.Failure{Op: opAction, Class: classConfig, Stopped: true}, true, true},
	} {
		in := Input{Now: now, Anew: c.anew}
		in.Record.Failure = &c.f
		if _, blocked := backedOff(&in); blocked != c.blocked {
			t.Errorf("%s: blocked %v", name, blocked)
		}
		if c.f.Op == opAction {
			continue
		}
		in.Record.Failure.Op = opRefresh
		in.Record.Failure.NextAt = now.Add(time.Hour)
		if _, blocked := refreshBackedOff(&in); blocked != !(c.anew && c.f.Class == classConfig) {
			t.Errorf("%s, of a refresh: blocked %v", name, blocked)
		}
	}
	var u unmade
	if u.note("a", u.now()) || !u.tried("a") || u.tried("b") {
		t.Error("noted, and not tried")
	}
	before := u.now()
	if got := u.changed(); len(got) != 1 || got[0] != "a" || u.tried("a") {
		t.Errorf("a change mends %q", got)
	}
	if !u.note("a", before) || u.tried("a") {
		t.Error("what was begun before a change is not looked at again")
	}
}
