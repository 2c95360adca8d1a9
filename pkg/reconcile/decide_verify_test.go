package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

func TestDecideVerify(t *testing.T) {
	refusedNow := func(in *Input) {
		in.Record.Verified = state.Verified{Refused: in.Record.Grant.Generation, At: in.Now, Why: "status 401"}
	}
	unread := func(in *Input) {
		in.Record.Raw = &state.Raw{Op: opRefresh, Generation: in.Record.Grant.Generation, At: in.Now.Add(-time.Hour), Status: 200, Body: secret.New("{}"), Message: "no access_token"}
	}
	for name, c := range map[string]struct {
		change func(*Input)
		action Action
		state  State
		next   time.Duration // after now; 0: any
	}{
		"not yet":                        {func(*Input) {}, ActNone, Ready, 5 * time.Minute},
		"time to ask":                    {func(in *Input) { in.Measured.at = in.Now.Add(-5 * time.Minute) }, ActVerify, Ready, 0},
		"one 401":                        {func(in *Input) { in.Measured.refused = 1 }, ActNone, Ready, verifyConfirm},
		"ask once more":                  {func(in *Input) { in.Measured.refused, in.Measured.at = 1, in.Now.Add(-verifyConfirm) }, ActVerify, Ready, 0},
		"refused":                        {refusedNow, ActRefresh, Failing, 0},
		"another generation was refused": {func(in *Input) { in.Record.Verified.Refused = in.Record.Grant.Generation - 1 }, ActNone, Ready, 0},
		"a refresh did not help": {func(in *Input) {
			refusedNow(in)
			in.Record.Verified.Refreshed = in.Record.Grant.Generation
		}, ActReplace, Failing, 0},
		"nothing to refresh with": {func(in *Input) {
			refusedNow(in)
			in.Record.Grant.RefreshState = state.RefreshRefused
		}, ActReplace, Failing, 0},
		"interactive": {func(in *Input) {
			refusedNow(in)
			in.Traits.Interactive = true
			in.Record.Grant.RefreshState = state.RefreshRefused
		}, ActWait, NeedsLogin, 0},
		"three renewals within the hour": {func(in *Input) {
			refusedNow(in)
			in.Record.Verified.Renewed = []time.Time{in.Now.Add(-50 * time.Minute), in.Now.Add(-2 * time.Minute), in.Now.Add(-time.Minute)}
		}, ActWait, Failing, 5 * time.Minute},
		"the first of three was an hour ago": {func(in *Input) {
			refusedNow(in)
			in.Record.Verified.Renewed = []time.Time{in.Now.Add(-time.Hour), in.Now.Add(-2 * time.Minute), in.Now.Add(-time.Minute)}
		}, ActRefresh, Failing, 0},
		"a person says so": {func(in *Input) {
			refusedNow(in)
			in.Record.Verified.Renewed = []time.Time{in.Now, in.Now, in.Now}
			in.Order.Kind = OrderRetry
		}, ActRefresh, Failing, 0},
		"a static key":       {func(in *Input) { refusedNow(in); in.Traits.Static = true }, ActWait, Failing, 0},
		"not asked any more": {func(in *Input) { refusedNow(in); in.Verify = nil }, ActNone, Ready, 0},
		"held back meanwhile": {func(in *Input) {
			in.WantsNew, in.Guarded = []string{"email"}, "too many"
			in.Measured.at = in.Now.Add(-time.Hour)
		}, ActVerify, Ready, 0},
		"held back before its first token": {func(in *Input) {
			in.WantsNew, in.Guarded = []string{"email"}, "too many"
			g := in.Record.Grant
			g.AccessToken, g.RefreshToken, g.ExpiresAt = secret.Text{}, secret.New("brought"), time.Time{}
			in.Measured.at = in.Now.Add(-time.Hour)
		}, ActWait, Held, 0},
		"a refresh waits for its back-off": {func(in *Input) {
			in.Now = t0.Add(40 * time.Minute)
			in.Record.Failure = &state.Failure{Op: opRefresh, Class: "transient", LastAt: in.Now, NextAt: in.Now.Add(time.Hour)}
			in.Measured.at = in.Now.Add(-time.Hour)
		}, ActVerify, Failing, 0},
		"the same, expired": {func(in *Input) {
			in.Now = t0.Add(2 * time.Hour)
			in.Record.Failure = &state.Failure{Op: opRefresh, Class: "transient", LastAt: in.Now, NextAt: in.Now.Add(time.Second)}
			in.Measured.at = in.Now.Add(-time.Hour)
		}, ActWait, Failing, time.Second},
		"a login is needed soon": {func(in *Input) {
			in.Now, in.Traits.Interactive = t0.Add(50*time.Minute), true
			in.Record.Grant.RefreshState = state.RefreshRefused
			in.Measured.at = in.Now.Add(-time.Hour)
		}, ActVerify, NeedsLogin, 0},
		"the same, asked just now": {func(in *Input) {
			in.Now, in.Traits.Interactive = t0.Add(50*time.Minute), true
			in.Record.Grant.RefreshState = state.RefreshRefused
			in.Measured.at = in.Now
		}, ActWait, NeedsLogin, 5 * time.Minute},
		"held back, and refused": {func(in *Input) {
			refusedNow(in)
			in.WantsNew, in.Guarded = []string{"email"}, "too many"
		}, ActRefresh, Failing, 0},
		"held back, and a refresh did not help": {func(in *Input) {
			refusedNow(in)
			in.WantsNew, in.Guarded = []string{"email"}, "too many"
			in.Record.Verified.Refreshed = in.Record.Grant.Generation
		}, ActWait, Held, 5 * time.Minute},
		"a refresh's reply is kept": {func(in *Input) {
			unread(in)
			in.Measured.at = in.Now.Add(-time.Hour)
		}, ActVerify, Unread, 0},
		"a refresh's reply is kept, asked just now": {func(in *Input) { unread(in) }, ActWait, Unread, 5 * time.Minute},
		"a refresh's reply is kept, and refused":    {func(in *Input) { unread(in); refusedNow(in) }, ActReplace, Unread, 0},
		"a refresh's reply is kept, a token without an end": {func(in *Input) {
			unread(in)
			refusedNow(in)
			in.Record.Grant.ExpiresAt = time.Time{}
		}, ActReplace, Unread, 0},
		"a refresh's reply is kept, a person is needed": {func(in *Input) {
			unread(in)
			refusedNow(in)
			in.Traits.Interactive = true
		}, ActWait, Unread, 5 * time.Minute},
		"a refresh's reply is kept, three renewals": {func(in *Input) {
			unread(in)
			refusedNow(in)
			in.Record.Verified.Renewed = []time.Time{in.Now.Add(-58 * time.Minute), in.Now.Add(-2 * time.Minute), in.Now.Add(-time.Minute)}
		}, ActWait, Unread, 2 * time.Minute},
		"a grant's reply is kept": {func(in *Input) {
			unread(in)
			in.Record.Raw.Op = opGrant
			in.Measured.at = in.Now.Add(-time.Hour)
		}, ActVerify, Ready, 0},
		"a grant's reply is kept, and refused": {func(in *Input) {
			unread(in)
			in.Record.Raw.Op = opGrant
			refusedNow(in)
		}, ActRefresh, Failing, 0},
		"due goes first": {func(in *Input) {
			in.Now = t0.Add(40 * time.Minute)
			in.Measured.at = t0
		}, ActRefresh, Pending, 0},
		"gone": {func(in *Input) {
			in.Measured.at = in.Now.Add(-time.Hour)
			in.Declared, in.Want = false, nil
		}, ActNote, Removing, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := anInput(func(in *Input) {
				in.Verify = &spec.Verify{Path: "/me", Every: 5 * time.Minute}
				in.Measured = measured{generation: in.Record.Grant.Generation, at: in.Now}
			})
			c.change(&in)
			s := Decide(in)
			if s.Action != c.action || s.State != c.state {
				t.Errorf("decided %q, %q (%s); want %q, %q", s.Action, s.State, s.Reason, c.action, c.state)
			}
			if c.next != 0 && !s.Next.Equal(in.Now.Add(c.next)) {
				t.Errorf("looks again after %s, want %s", s.Next.Sub(in.Now), c.next)
			}
			if s.Action == ActRefresh && in.Record.Verified.Refused == in.Record.Grant.Generation && !s.Heals {
				t.Error("the renewal is not counted")
			}
		})
	}
}

// What was measured on another generation counts for nothing.
func TestAMeasureIsOfItsGeneration(t *testing.T) {
	rec := &state.Credential{Grant: &state.Grant{Generation: 4, ObtainedAt: t0}}
	v := &spec.Verify{Every: time.Minute}
	if m := startMeasuring(measured{generation: 3, refused: 1, at: t0}, rec, v, t0, 0.5); m.refused != 0 || m.generation != 4 {
		t.Errorf("measured %+v", m)
	}
	kept := measured{generation: 4, refused: 1, at: t0}
	if m := startMeasuring(kept, rec, v, t0.Add(time.Hour), 0.5); m != kept {
		t.Errorf("measured %+v", m)
	}
	// After a restart the questions are spread over the period, none comes at once.
	now := t0.Add(time.Hour)
	for _, spread := range []float64{0, 0.25, 0.99} {
		next := startMeasuring(measured{}, rec, v, now, spread).at.Add(v.Every)
		if want := now.Add(time.Duration(spread * float64(v.Every))); next.Sub(want).Abs() > time.Millisecond {
			t.Errorf("spread %v: asks at %s, want %s", spread, next, want)
		}
	}
}
