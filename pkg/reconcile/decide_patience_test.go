package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// When a refresh whose reply was lost is repeated: never where less than the margin of
// its window is left, never at once where only a person could replace its token, and
// sooner where no token works meanwhile.
func TestDecideWhenALostRefreshIsRepeated(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		window, left time.Duration // of the API; of the access token, when it was sent
		since        time.Duration
		change       func(*Input)
		wait         time.Duration // 0: at once
	}{
		"a minute":                  {window: 60 * s, left: time.Hour, wait: 10 * s},
		"an hour":                   {window: time.Hour, left: time.Hour, wait: 10 * s},
		"half of it has gone by":    {window: 60 * s, left: time.Hour, since: 5 * s, wait: 5 * s},
		"it has gone by":            {window: 60 * s, left: time.Hour, since: 10 * s},
		"12 seconds":                {window: 12 * s, left: time.Hour, wait: 2 * s},
		"as good as none":           {window: 6 * s, left: time.Hour, wait: s / 2},
		"its token ends soon":       {window: 60 * s, left: 10 * s, wait: 5 * s},
		"its token ends now":        {window: 60 * s, left: s, wait: 2 * s},
		"its token has ended":       {window: 60 * s, left: -time.Minute, wait: 2 * s},
		"its token has no end":      {window: 60 * s, wait: 10 * s},
		"its token may be dead":     {window: 60 * s, left: time.Hour, change: func(in *Input) { in.Held.InvalidatesAccessToken = true }, wait: 2 * s},
		"a person says so":          {window: 60 * s, left: time.Hour, change: func(in *Input) { in.Order.Kind = OrderRetry }},
		"a person refreshes":        {window: 60 * s, left: time.Hour, change: func(in *Input) { in.Order.Kind = OrderRefresh }},
		"a person revokes":          {window: 60 * s, left: time.Hour, change: func(in *Input) { in.Order.Kind = OrderRevoke }},
		"the grant gives another":   {window: 60 * s, left: time.Hour, change: func(in *Input) { in.Traits.Interactive = false }},
		"the grant is held back":    {window: 60 * s, left: time.Hour, change: func(in *Input) { in.Traits.Interactive, in.WantsNew, in.Guarded = false, []string{"email"}, "too many" }, wait: 10 * s},
		"it is declared no longer":  {window: 60 * s, left: time.Hour, change: func(in *Input) { in.Declared, in.Want, in.Traits = false, nil, Traits{} }},
		"nobody knows why (killed)": {window: 60 * s, left: time.Hour, change: func(in *Input) { in.Record.Failure = nil }, wait: 10 * s},
	} {
		t.Run(name, func(t *testing.T) {
			in := anInput(func(in *Input) {
				in.Traits.Interactive, in.Held.Interactive, in.Held.Rotates, in.Held.ReplayWindow = true, true, spec.RotatesAlways, c.window
				in.Now, in.SinceIntent, in.SinceIntentOK = t0.Add(c.since), c.since, true
				in.Intent = &state.Intent{Op: opRefresh, At: t0}
				in.Record.Failure = &state.Failure{Op: opRefresh, Class: classUnknown, LastAt: in.Now, NextAt: in.Now.Add(s)}
				if in.Record.Grant.ExpiresAt = t0.Add(c.left); c.left == 0 {
					in.Record.Grant.ExpiresAt = time.Time{}
				}
				if c.change != nil {
					c.change(in)
				}
			})
			d := Decide(in)
			if c.wait == 0 && d.Action != ActReplay || c.wait > 0 && (d.Action != ActWait || !d.Next.Equal(in.Now.Add(c.wait)) || d.Why == "") {
				t.Fatalf("decided %s (%s), next %s after now, want %s", d, d.Why, d.Next.Sub(in.Now), c.wait)
			}
			if in.Now = d.Next; c.wait > 0 {
				if in.SinceIntent += c.wait; replayLeft(c.window, in.SinceIntent) <= 0 || Decide(in).Action != ActReplay {
					t.Errorf("then, too late: %s", Decide(in))
				}
			}
		})
	}
}

// When the last try of a refresh token that may be spent is made.
func TestDecideWhenTheLastTryIsMade(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		left   time.Duration // of the access token, when the reply was lost
		change func(*Input)
		wait   time.Duration // since then; 0: at once
	}{
		"it lives for an hour":          {left: time.Hour, wait: time.Hour - 30*s},
		"it lives for two minutes":      {left: 120 * s, wait: 90 * s},
		"it lives for 40 seconds":       {left: 40 * s, wait: 30 * s},
		"it is about to end":            {left: 4 * s, wait: 10 * s},
		"it has ended":                  {left: -time.Minute, wait: 10 * s},
		"it has no end":                 {wait: 10 * s},
		"it may be dead":                {left: time.Hour, change: func(in *Input) { in.Held.InvalidatesAccessToken = true }, wait: 10 * s},
		"the API disowns it":            {left: time.Hour, change: func(in *Input) { in.Verify, in.Record.Verified.Refused = &spec.Verify{}, in.Record.Grant.Generation }, wait: 10 * s},
		"it backs off for longer":       {left: -time.Minute, change: func(in *Input) { in.Record.Failure.NextAt = t0.Add(20 * s) }, wait: 20 * s},
		"a person says so":              {left: -time.Minute, change: func(in *Input) { in.Order.Kind = OrderRetry }},
		"a web page took its place":     {left: -time.Minute, change: func(in *Input) { in.Record.Failure.Class = classWalled }, wait: 10 * s},
		"a try did not get there":       {left: -time.Minute, change: func(in *Input) { in.Record.Failure.Class = "transient" }, wait: s},
		"the clock was put back":        {left: -time.Minute, change: func(in *Input) { in.Record.Failure.LastAt = t0.Add(time.Hour) }, wait: s},
		"it may be dead, a person asks": {left: time.Hour, change: func(in *Input) { in.Held.InvalidatesAccessToken, in.Order.Kind = true, OrderRefresh }},
	} {
		t.Run(name, func(t *testing.T) {
			in := anInput(func(in *Input) {
				in.Traits.Interactive, in.Held.Interactive, in.Held.Rotates = true, true, spec.RotatesAlways
				in.Now = t0
				in.Record.Failure = &state.Failure{Op: opRefresh, Class: classUnknown, LastAt: t0, NextAt: t0.Add(s)}
				g := in.Record.Grant
				g.Generation, g.RefreshState, g.LostRefresh = 3, state.RefreshIndeterminate, true
				if g.ExpiresAt = t0.Add(c.left); c.left == 0 {
					g.ExpiresAt = time.Time{}
				}
				if c.change != nil {
					c.change(in)
				}
			})
			d := Decide(in)
			for range 3 { // what there is to look at before then changes nothing
				if d.Action == ActWait && d.Next.Before(t0.Add(c.wait)) && d.Next.After(in.Now) {
					in.Now = d.Next
					d = Decide(in)
				}
			}
			if c.wait == 0 && d.Action != ActRefresh || c.wait > 0 && (d.Action != ActWait || !d.Next.Equal(t0.Add(c.wait))) {
				t.Fatalf("decided %s (%s), next %s after the loss, want %s", d, d.Why, d.Next.Sub(t0), c.wait)
			}
			if in.Now = d.Next; c.wait > 0 && Decide(in).Action != ActRefresh {
				t.Errorf("then: %s", Decide(in))
			}
		})
	}
}
