package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// What ends a row of logins that count against an account: a day without one that
// failed, besides a login that succeeds (whose record has no failure). A refresh does
// not, nor does a day of which only a part has passed since the last of them.
func TestWhatEndsARowOfLogins(t *testing.T) {
	const day = 24 * time.Hour
	p := spec.RetryPolicy{Initial: time.Second, Max: 5 * time.Minute}
	two := state.Failure{Op: opGrant, Class: "transient", Reached: 2, Count: 2, FirstAt: t0.Add(-5 * day), LastAt: t0}
	counted := two
	counted.Class = classCounted
	for name, c := range map[string]struct {
		prev  *state.Failure
		after time.Duration
		want  int // of the row, with this one
	}{
		"the first":                         {nil, 0, 1},
		"the third":                         {&two, time.Second, 3},
		"the third, after a refresh":        {&counted, time.Second, 3},
		"after an hour":                     {&counted, time.Hour, 3},
		"just within a day":                 {&counted, day - time.Second, 3},
		"a day after, with a refresh since": {&counted, day, 1},
		"a day after":                       {&two, day, 1}, // of a daemon that was stopped, say
		"the clock was set back":            {&counted, -2 * day, 3},
	} {
		now := t0.Add(c.after)
		f := nextFailure(c.prev, outcome{op: opGrant, class: "transient", reached: true, lockout: true}, now, p, 0.5, true)
		if f.Reached != c.want {
			t.Errorf("%s: %d in a row, want %d", name, f.Reached, c.want)
		}
		if spared := !f.NextAt.Before(now.Add(lockoutWait)); spared != (c.want >= lockoutCount) {
			t.Errorf("%s: it waits %s", name, f.NextAt.Sub(now))
		}
	}
}

// However many refreshes go by, a row is kept for a day and no longer; what stands in
// the way of a grant stays.
func TestARefreshKeepsARowForADay(t *testing.T) {
	for name, c := range map[string]struct {
		after  time.Duration
		change func(*Input)
		want   string // the class of the failure that is left; "" for none
		at     time.Duration
	}{
		"at once":                    {time.Minute, func(*Input) {}, classCounted, 15 * time.Minute},
		"hours after":                {23 * time.Hour, func(*Input) {}, classCounted, 15 * time.Minute},
		"a day after":                {24 * time.Hour, func(*Input) {}, "", 0},
		"a day after, refused":       {24 * time.Hour, func(in *Input) { in.Record.Failure.Stopped = true }, "transient", 15 * time.Minute},
		"a day after, to be changed": {24 * time.Hour, func(in *Input) { in.WantsNew = []string{"email"} }, "transient", 15 * time.Minute},
		"no account counts":          {time.Minute, func(in *Input) { in.Traits.Lockout = false }, "", 0},
	} {
		in := anInput(func(in *Input) {
			in.Traits.Lockout, in.Now = true, t0.Add(c.after)
			in.Record.Failure = &state.Failure{Op: opGrant, Class: "transient", Reached: 3, Count: 3, LastAt: t0, NextAt: t0.Add(lockoutWait)}
			c.change(in)
		})
		in.obtained()
		f := in.Record.Failure
		if c.want == "" {
			if f != nil {
				t.Errorf("%s: what is left is %+v", name, f)
			}
			continue
		}
		if f == nil || f.Class != c.want || f.Reached != 3 || !f.NextAt.Equal(t0.Add(c.at)) {
			t.Errorf("%s: what is left is %+v", name, f)
		}
	}
}
