package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// How long a refresh waits after a start for places that may say that its refresh token
// is spent already: long while the token held serves, not where it serves nobody.
func TestHowLongARefreshWaitsForPlaces(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*observed, *job, *Step)
		want   time.Duration // since the start; zero: it does not wait
	}{
		"it lives":                {func(*observed, *job, *Step) {}, 44 * time.Minute},
		"it lives for long":       {func(ob *observed, _ *job, _ *Step) { ob.in.Record.Grant.ExpiresAt = start.Add(1000 * time.Hour) }, markLimit},
		"it has ended":            {func(ob *observed, _ *job, _ *Step) { ob.in.Record.Grant.ExpiresAt = start }, markPatience},
		"the API has disowned it": {func(ob *observed, _ *job, _ *Step) { ob.in.Record.Verified.Refused = 7 }, markPatience},
		"one before it was":       {func(ob *observed, _ *job, _ *Step) { ob.in.Record.Verified.Refused = 6 }, 44 * time.Minute},
		"a person orders it":      {func(_ *observed, j *job, _ *Step) { j.order = &waiter{} }, markPatience},
		"a run that ends":         {func(_ *observed, j *job, _ *Step) { j.once = true }, markPatience},
		"nothing is spent":        {func(_ *observed, _ *job, s *Step) { s.Action = ActReplace }, 0},
		"it does not change":      {func(ob *observed, _ *job, _ *Step) { ob.in.Held.Rotates = spec.RotatesNever }, 0},
		"they were seen":          {func(_ *observed, j *job, _ *Step) { j.unseen = time.Time{} }, 0},
	} {
		ob, j, s := &observed{}, &job{now: start.Add(time.Second), unseen: start}, Step{Action: ActRefresh}
		ob.in.Now = j.now
		ob.in.Held.Rotates, ob.in.Verify = spec.RotatesAlways, &spec.Verify{}
		ob.in.Record.Grant = &state.Grant{Generation: 7, ObtainedAt: start.Add(-10 * time.Minute), ExpiresAt: start.Add(50 * time.Minute)}
		c.change(ob, j, &s)
		var got time.Duration
		if until := ob.waitsForPlaces(j, s); !until.IsZero() {
			got = until.Sub(start)
		}
		if got != c.want {
			t.Errorf("%s: it waits for %s, want %s", name, got, c.want)
		}
	}
}
