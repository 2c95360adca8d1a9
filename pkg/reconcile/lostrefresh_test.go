package reconcile

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Where a refresh ends the access token, one whose reply was lost may have: what
// is held is renewed at once then, however long it would have lived. Elsewhere it
// is as good as it was.
func TestALostRefreshMayHaveEndedTheToken(t *testing.T) {
	lost := func(in *Input) {
		in.Record.Failure = &state.Failure{Op: opRefresh, Class: classUnknown, Count: 1, LastAt: t0.Add(9 * time.Minute), NextAt: t0.Add(9*time.Minute + time.Second)}
		in.Held.Rotates = spec.RotatesNever
	}
	thenDown := func(in *Input) { // the try that followed did not get through
		lost(in)
		in.Record.Grant.LostRefresh, in.Record.Failure.Class = true, "transient"
	}
	refused := func(in *Input) { in.Record.Grant.RefreshState = state.RefreshRefused }
	byHand := func(in *Input) { in.Traits.Interactive, in.Held.Interactive = true, true }
	inDoubt := func(in *Input) {
		lost(in)
		byHand(in)
		in.Held.Rotates, in.Record.Grant.RefreshState = spec.RotatesAlways, state.RefreshIndeterminate
	}
	for name, c := range map[string]struct {
		change           func(*Input)
		ends, leaves     Action // what is done where a refresh ends the access token, and elsewhere
		endsIn, leavesIn State
	}{
		"lost":                   {lost, ActRefresh, ActNone, Pending, Ready},
		"lost, to be waited":     {func(in *Input) { lost(in); in.Record.Failure.NextAt = t0.Add(time.Hour / 2) }, ActWait, ActNone, Failing, Ready},
		"refused":                {refused, ActReplace, ActNone, Pending, Ready},
		"refused, by hand":       {func(in *Input) { refused(in); byHand(in) }, ActWait, ActNone, NeedsLogin, Ready},
		"in doubt, by hand":      {inDoubt, ActRefresh, ActWait, Indeterminate, Indeterminate},
		"in doubt, to be waited": {func(in *Input) { inDoubt(in); in.Record.Failure.NextAt = t0.Add(time.Hour / 2) }, ActWait, ActWait, Failing, Indeterminate},
		"lost, then down":        {thenDown, ActRefresh, ActNone, Pending, Ready},
		"in doubt, then down":    {func(in *Input) { inDoubt(in); thenDown(in); in.Held.Rotates = spec.RotatesAlways }, ActRefresh, ActWait, Indeterminate, Indeterminate},
		"lost, a refusal kept":   {func(in *Input) { thenDown(in); in.Record.Failure.Op, in.Record.Failure.Stopped = opGrant, true }, ActRefresh, ActNone, Pending, Ready},
		"lost, then refused": {func(in *Input) { // as a token that was used twice, which may end all of its grant
			thenDown(in)
			in.Held.Rotates, in.Record.Failure, in.Record.Grant.RefreshState = spec.RotatesAlways, nil, state.RefreshRefused
		}, ActReplace, ActReplace, Pending, Pending},
		"lost, then refused, kept": {func(in *Input) {
			thenDown(in)
			in.Record.Failure, in.Record.Grant.RefreshState = nil, state.RefreshRefused
		}, ActReplace, ActNone, Pending, Ready},
		"throttled": {func(in *Input) { lost(in); in.Record.Failure.Class = classThrottled }, ActNone, ActNone, Ready, Ready},
	} {
		t.Run(name, func(t *testing.T) {
			for ends, want := range map[bool]struct {
				Action
				State
			}{true: {c.ends, c.endsIn}, false: {c.leaves, c.leavesIn}} {
				s := Decide(anInput(func(in *Input) {
					c.change(in)
					in.Held.InvalidatesAccessToken = ends
				}))
				if s.Action != want.Action || s.State != want.State {
					t.Errorf("where a refresh ends the access token %v: %q, %q (%s); want %q, %q", ends, s.Action, s.State, s.Reason, want.Action, want.State)
				}
			}
		})
	}
}

// Why only a person can go on is said as it is: the token does not end soon, it
// may have ended.
func TestALoginAfterALostRefreshSaysWhy(t *testing.T) {
	for ends, want := range map[bool]string{true: "may have ended with a refresh that failed", false: "ends soon"} {
		s := Decide(anInput(func(in *Input) {
			in.Traits.Interactive, in.Held.Interactive, in.Held.InvalidatesAccessToken = true, true, ends
			in.Record.Grant.RefreshState = state.RefreshRefused
			if !ends {
				in.Now = in.Record.Grant.ExpiresAt.Add(-30 * time.Second)
			}
		}))
		if s.State != NeedsLogin || !strings.Contains(s.Reason, want) || !strings.Contains(s.Why, want) {
			t.Errorf("%q: %s; want it to say that it %s", s.State, s.Reason, want)
		}
	}
}

// What was to be revoked, and shares its grant with a token that is left alone,
// is left alone with it.
func TestAForgottenCredentialTakesALateRevocationAlong(t *testing.T) {
	decide := func(onRemove string) Step {
		return Decide(anInput(func(in *Input) {
			in.Declared, in.Want, in.Held.Session = false, nil, spec.SessionSharedGrant
			in.Record.Lifecycle.OnRemove, in.Record.Removing = onRemove, &state.Removing{Since: t0}
			in.Record.Retiring = []state.Grant{retiredGrant(causeRevoke, nil)}
		}))
	}
	if s := decide(spec.OnRemoveForget); s.Action != ActRelease || !strings.Contains(s.Reason, "left alone") {
		t.Errorf("forgotten: %q (%s)", s.Action, s.Reason)
	}
	if s := decide(spec.OnRemoveRevoke); s.Action != ActRetire {
		t.Errorf("revoked: %q (%s)", s.Action, s.Reason)
	}
}
