package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/state"
)

// Refreshes that a web page refuses are waited for while that costs nothing; then a
// new token is obtained, where nobody and no account is needed for it.
func TestDecideBehindAWall(t *testing.T) {
	// The token ends after an hour, and has to be replaced a minute before.
	at := func(after time.Duration, change func(*Input)) Input {
		return anInput(func(in *Input) {
			in.Now = t0.Add(after)
			in.Record.Failure = &state.Failure{Op: opRefresh, Class: classWalled, Message: "a page", Reached: 1,
				FirstAt: t0.Add(30 * time.Minute), LastAt: t0.Add(58 * time.Minute), NextAt: t0.Add(3 * time.Hour)}
			if change != nil {
				change(in)
			}
		})
	}
	late := 59 * time.Minute
	grantFailed := func(stopped bool, next time.Duration) func(*Input) {
		return func(in *Input) {
			in.RefreshFailure = in.Record.Failure
			in.Record.Failure = &state.Failure{Op: opGrant, Stopped: stopped, LastAt: t0.Add(58 * time.Minute), NextAt: t0.Add(next)}
		}
	}
	for name, c := range map[string]struct {
		in     Input
		action Action
		next   time.Time
	}{
		"the token lives":                 {at(58*time.Minute, nil), ActWait, t0.Add(late)},
		"the token is about to end":       {at(late, nil), ActReplace, time.Time{}},
		"another passing refusal":         {at(late, func(in *Input) { in.Record.Failure.Class = "transient" }), ActWait, t0.Add(time.Hour + expiredBackoff)},
		"a person is needed":              {at(late, func(in *Input) { in.Traits.Interactive = true }), ActWait, t0.Add(time.Hour + expiredBackoff)},
		"it counts against an account":    {at(late, func(in *Input) { in.Traits.Lockout = true }), ActWait, t0.Add(time.Hour)},
		"and its token has ended":         {at(time.Hour, func(in *Input) { in.Traits.Lockout = true }), ActReplace, time.Time{}},
		"a person is needed at its end":   {at(time.Hour, func(in *Input) { in.Traits.Interactive = true }), ActWait, t0.Add(time.Hour + expiredBackoff)},
		"and refreshing goes on for them": {at(late+2*time.Minute, func(in *Input) { in.Traits.Interactive = true }), ActRefresh, time.Time{}},
		"a person wants it refreshed":     {at(late, func(in *Input) { in.Order.Kind = OrderRefresh }), ActRefresh, time.Time{}},
		"the grant fails, too":            {at(late, grantFailed(false, 59*time.Minute+time.Second)), ActWait, t0.Add(late + time.Second)},
		"the grant may be tried again":    {at(late, grantFailed(false, late)), ActReplace, time.Time{}},
		"the grant is refused for good":   {at(late, grantFailed(true, late)), ActWait, t0.Add(time.Hour + expiredBackoff)},
		"and then refreshing goes on":     {at(late+2*time.Minute, grantFailed(true, late)), ActRefresh, time.Time{}},
		"the token may have ended":        {at(31*time.Minute, func(in *Input) { in.Held.InvalidatesAccessToken, in.Record.Grant.LostRefresh = true, true }), ActReplace, time.Time{}},
		"the first refusal came just now": {at(late, func(in *Input) { in.Record.Failure.FirstAt = in.Now }), ActWait, t0.Add(late + time.Second)},
	} {
		s := Decide(c.in)
		if s.Action != c.action || c.action == ActWait && !s.Next.Equal(c.next) {
			t.Errorf("%s: %q, next %s (%s); want %q, next %s", name, s.Action, s.Next, s.Reason, c.action, c.next)
		}
	}
}
