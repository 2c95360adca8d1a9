package reconcile

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// An ordered revocation that failed is retried while a new token is in force, but
// takes that one with it nowhere: where revoking one revokes all, it waits for the
// new one's end, and is done with that.
func TestALateRevocationTakesNothingWithIt(t *testing.T) {
	late := func(session string, more func(*Input)) Step {
		return Decide(anInput(func(in *Input) {
			in.Held.Session = session
			in.Record.Retiring = []state.Grant{retiredGrant(causeRevoke, nil)}
			if more != nil {
				more(in)
			}
		}))
	}
	if s := late(spec.SessionIndependent, nil); s.Action != ActRevoke {
		t.Errorf("independent sessions: %q (%s)", s.Action, s.Reason)
	}
	s := late(spec.SessionSharedGrant, nil)
	if s.Action != ActWait || s.State != Ready || !strings.Contains(s.Reason, "with it") {
		t.Errorf("a shared grant: %q, %q (%s)", s.Action, s.State, s.Reason)
	}
	if s.Next.IsZero() || s.Next.After(t0.Add(30*time.Minute)) {
		t.Errorf("a shared grant is looked at again at %s", s.Next)
	}
	if s = late(spec.SessionSharedGrant, func(in *Input) { in.Now = t0.Add(40 * time.Minute) }); s.Action != ActRefresh {
		t.Errorf("a refresh that is due: %q (%s)", s.Action, s.Reason)
	}
	if s = late(spec.SessionSharedGrant, func(in *Input) { in.Record.Grant = nil; in.Order.Kind = OrderRevoke }); s.Action != ActRevoke {
		t.Errorf("with the new one given up: %q (%s)", s.Action, s.Reason)
	}
	if s = late(spec.SessionSharedGrant, func(in *Input) { in.Order = Order{Kind: OrderRevoke, Forget: true} }); s.Action != ActRelease {
		t.Errorf("given up by a person: %q (%s)", s.Action, s.Reason)
	}
}

// At shutdown only a token that can be revoked is given up.
func TestAtShutdown(t *testing.T) {
	order := func(in *Input) { in.Order.Kind, in.Record.Lifecycle.RevokeOnShutdown = OrderShutdown, true }
	for name, c := range map[string]struct {
		change func(*Input)
		action Action
	}{
		"a token":              {order, ActRetire},
		"one not let go":       {func(in *Input) { order(in); in.Record.Lifecycle.RevokeOnShutdown = false }, ActWait},
		"nothing to revoke by": {func(in *Input) { order(in); in.Held.HasRevoke = false }, ActWait},
		"no token":             {func(in *Input) { order(in); in.Record.Grant = nil }, ActWait},
		"an old token": {func(in *Input) {
			order(in)
			in.Record.Grant = nil
			in.Record.Retiring = []state.Grant{retiredGrant(causeRevoke, nil)}
		}, ActRevoke},
		"a lost reply": {func(in *Input) { order(in); in.Intent = &state.Intent{Op: opRefresh} }, ActSettle},
	} {
		if s := Decide(anInput(c.change)); s.Action != c.action {
			t.Errorf("%s: %q (%s), want %q", name, s.Action, s.Reason, c.action)
		}
	}
}
