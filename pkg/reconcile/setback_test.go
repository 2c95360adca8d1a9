package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

func TestClockReading(t *testing.T) {
	mono := time.Now()
	for name, c := range map[string]struct {
		from, to clockReading
		want     time.Duration
	}{
		"time goes by":            {clockReading{t0, time.Hour, "b"}, clockReading{t0.Add(time.Minute), time.Hour + time.Minute, "b"}, 0},
		"set back":                {clockReading{t0, time.Hour, "b"}, clockReading{t0.Add(-time.Hour), time.Hour + time.Minute, "b"}, -time.Hour - time.Minute},
		"set back by a little":    {clockReading{t0, time.Hour, "b"}, clockReading{t0.Add(time.Minute - 4*time.Second), time.Hour + time.Minute, "b"}, 0},
		"set forward":             {clockReading{t0, time.Hour, "b"}, clockReading{t0.Add(time.Hour), time.Hour + time.Minute, "b"}, 59 * time.Minute},
		"set forward by a little": {clockReading{t0, time.Hour, "b"}, clockReading{t0.Add(time.Minute + 4*time.Second), time.Hour + time.Minute, "b"}, 0},
		"another boot":            {clockReading{t0, time.Hour, "b"}, clockReading{t0.Add(-time.Hour), time.Minute, "c"}, 0},
		"the first":               {clockReading{}, clockReading{t0, time.Minute, "b"}, 0},
		"no boot is known":        {clockReading{t0, 0, ""}, clockReading{t0.Add(-time.Hour), 0, ""}, 0},
		"the process's disagrees": {clockReading{mono, time.Hour, "b"}, clockReading{mono.Add(time.Second), 2 * time.Hour, "b"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if d := c.from.step(c.to); d != c.want {
				t.Errorf("set by %s, want %s", d, c.want)
			}
		})
	}
}

func TestARecordIsMovedBackWithTheClock(t *testing.T) {
	const hour = time.Hour
	grant := func(obtained time.Duration) *state.Grant {
		return &state.Grant{ObtainedAt: t0.Add(obtained), ExpiresAt: t0.Add(obtained + 4*hour)}
	}
	renewed := func(now time.Duration) []time.Time {
		return []time.Time{t0.Add(now - 3*time.Minute), t0.Add(now - 2*time.Minute), t0.Add(now - time.Minute)}
	}
	for name, c := range map[string]struct {
		rec  state.Credential
		step time.Duration
		want func(*state.Credential) (time.Time, time.Time) // what is compared, and what it shall be
	}{
		"seen: the end of a token": {state.Credential{Grant: grant(-2 * hour)}, -hour,
			func(r *state.Credential) (time.Time, time.Time) { return r.Grant.ExpiresAt, t0.Add(hour) }},
		"nothing happened": {state.Credential{Grant: grant(-2 * hour)}, 0,
			func(r *state.Credential) (time.Time, time.Time) { return r.Grant.ExpiresAt, t0.Add(2 * hour) }},
		"unseen: how old a token is nobody knows, so it is due": {state.Credential{Grant: grant(24 * hour)}, 0,
			func(r *state.Credential) (time.Time, time.Time) { return r.Grant.ExpiresAt, t0.Add(hour) }},
		"unseen: a back-off goes on": {state.Credential{Failure: &state.Failure{LastAt: t0.Add(24 * hour), NextAt: t0.Add(24*hour + 15*time.Minute)}}, 0,
			func(r *state.Credential) (time.Time, time.Time) { return r.Failure.NextAt, t0.Add(15 * time.Minute) }},
		"unseen: an overlap goes on": {state.Credential{Retiring: []state.Grant{{Retired: &state.Retired{Since: t0.Add(23 * hour), DeliveredAt: t0.Add(24 * hour), NextAt: t0.Add(25 * hour)}}}}, 0,
			func(r *state.Credential) (time.Time, time.Time) {
				return r.Retiring[0].Retired.NextAt, t0.Add(hour)
			}},
		"seen: a token that was renewed often": {state.Credential{Verified: state.Verified{Renewed: renewed(5 * hour)}}, -5 * hour,
			func(r *state.Credential) (time.Time, time.Time) {
				return renewableAt(&r.Verified, t0), t0.Add(57 * time.Minute)
			}},
		"unseen: a token that was renewed often": {state.Credential{Grant: grant(5 * hour), Verified: state.Verified{Renewed: renewed(5 * hour)}}, 0,
			func(r *state.Credential) (time.Time, time.Time) {
				return renewableAt(&r.Verified, t0), t0.Add(57 * time.Minute)
			}},
		"set forward: an overlap goes on": {state.Credential{Retiring: []state.Grant{{Retired: &state.Retired{Since: t0.Add(-5*hour - 2*time.Minute), DeliveredAt: t0.Add(-5*hour - time.Minute)}}}}, 5 * hour,
			func(r *state.Credential) (time.Time, time.Time) {
				return r.Retiring[0].Retired.DeliveredAt, t0.Add(-time.Minute)
			}},
		"set forward: an overlap that waits for a sink goes on": {state.Credential{Retiring: []state.Grant{{Retired: &state.Retired{Since: t0.Add(-5*hour - 2*time.Minute)}}}}, 5 * hour,
			func(r *state.Credential) (time.Time, time.Time) {
				return r.Retiring[0].Retired.Since, t0.Add(-2 * time.Minute)
			}},
		"set forward: sinks hold a removal up for as long": {state.Credential{Removing: &state.Removing{Since: t0.Add(-5*hour - 2*time.Minute)}}, 5 * hour,
			func(r *state.Credential) (time.Time, time.Time) { return r.Removing.Since, t0.Add(-2 * time.Minute) }},
		"set back: sinks hold a removal up for no longer": {state.Credential{Removing: &state.Removing{Since: t0.Add(5*hour - 2*time.Minute)}}, -5 * hour,
			func(r *state.Credential) (time.Time, time.Time) { return r.Removing.Since, t0.Add(-2 * time.Minute) }},
		"set forward: an overlap that began after that lasts since now": {state.Credential{Retiring: []state.Grant{{Retired: &state.Retired{Since: t0.Add(-2 * time.Second), DeliveredAt: t0.Add(-time.Second)}}}}, 5 * hour,
			func(r *state.Credential) (time.Time, time.Time) { return r.Retiring[0].Retired.DeliveredAt, t0 }},
		"set forward: a token ends by the clock as it is": {state.Credential{Grant: grant(-2 * hour)}, 5 * hour,
			func(r *state.Credential) (time.Time, time.Time) { return r.Grant.ExpiresAt, t0.Add(2 * hour) }},
		"no end at all": {state.Credential{Grant: &state.Grant{ObtainedAt: t0.Add(24 * hour)}}, 0,
			func(r *state.Credential) (time.Time, time.Time) { return r.Grant.ExpiresAt, time.Time{} }},
	} {
		t.Run(name, func(t *testing.T) {
			withClock(&c.rec, c.step, t0)
			if got, want := c.want(&c.rec); !got.Equal(want) {
				t.Errorf("is %s, want %s", got, want)
			}
			if at := writtenAt(&c.rec); at.After(t0) {
				t.Errorf("it was written %s from now", at.Sub(t0))
			}
			if withClock(&c.rec, 0, t0) {
				t.Error("it is moved twice")
			}
		})
	}
}

// Another's record that is not in line yet with a clock that was set forward is read as if
// it were.
func TestAnotherOnesOverlapIsReadByTheClockAsItIs(t *testing.T) {
	const addr = "credential.x.b"
	token := secret.New("access-2")
	rec := state.Credential{
		Head:      state.Head{Address: addr},
		Lifecycle: state.Lifecycle{Overlap: 20 * time.Minute, MaxOverlap: time.Hour},
		Grant:     &state.Grant{AccessToken: secret.New("access-3")},
		Retiring:  []state.Grant{{AccessToken: token, Retired: &state.Retired{Cause: causeReplace, Since: t0, DeliveredAt: t0}}},
	}
	now := t0.Add(time.Minute)
	w := &worker{now: func() time.Time { return now }}
	for _, step := range []time.Duration{0, time.Hour} {
		now = now.Add(step)
		if w.steps.set(addr, step); !w.lingers(fate{access: token}, rec) {
			t.Errorf("set by %s: it lingers no more", step)
		}
	}
	if !rec.Retiring[0].Retired.Since.Equal(t0) {
		t.Error("the record that was read is changed")
	}
	if now = now.Add(20 * time.Minute); w.lingers(fate{access: token}, rec) {
		t.Error("it lingers for ever")
	}
}
