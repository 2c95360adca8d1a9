package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// What the simulation found first, each as one decision.
func TestDecideWhatTheSimulationFound(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	grant := func(n int, account string) state.Grant {
		return state.Grant{Generation: uint64(n), AccessToken: secret.New("at" + account), ObtainedAt: now.Add(-time.Hour), ExpiresAt: now.Add(time.Hour),
			Origins: []string{"https://one.example"}, InputHashes: map[string]string{"account": account}}
	}
	expired := grant(1, "a")
	expired.ExpiresAt = now.Add(-time.Minute)
	retired := func(cause, account string) state.Grant {
		g := grant(1, account)
		g.Retired = &state.Retired{Since: now.Add(-time.Minute), Cause: cause, DeliveredAt: now.Add(-time.Minute)}
		return g
	}
	elsewhere := retired(causeReplace, "a")
	elsewhere.Origins = []string{"https://two.example"}
	later := retired(causeReplace, "a") // by a reply that was read late, say
	later.GrantedAt = now.Add(time.Second)
	held := grant(2, "a")
	held.AccessToken = secret.New("another")
	revokes := func(session string) Traits {
		return Traits{HasRevoke: true, RevokeOn: []string{causeRemove, causeReplace}, Session: session}
	}
	want := &spec.Credential{Refresh: spec.RefreshPolicy{At: 0.66, MinRemaining: time.Minute}}
	in := func(traits Traits, g *state.Grant, old ...state.Grant) Input {
		i := Input{Now: now, Declared: true, Want: want, Traits: traits, Held: traits}
		i.Record.Grant, i.Record.Retiring = g, old
		i.Record.Lifecycle = state.Lifecycle{Overlap: time.Second, MaxOverlap: time.Hour}
		for range old {
			i.RetiredTraits = append(i.RetiredTraits, traits)
		}
		return i
	}
	unread := in(revokes(spec.SessionIndependent), &expired)
	unread.Record.Raw = &state.Raw{Op: opGrant}
	gone := in(revokes(spec.SessionIndependent), nil)
	gone.Declared, gone.Want, gone.Record.Raw = false, nil, &state.Raw{Op: opGrant}
	failing := in(revokes(spec.SessionIndependent), &expired, retired(causeReplace, "b"))
	failing.Record.Retiring[0].Retired.DeliveredAt = time.Time{}
	failing.Holding = []string{"sink.file.x"}
	failing.Record.Failure = &state.Failure{Op: opGrant, NextAt: now.Add(time.Minute), LastAt: now}
	prevented := in(revokes(spec.SessionIndependent), &held, retired(causeReplace, "a"))
	prevented.Declared, prevented.Want, prevented.Record.Lifecycle.PreventDestroy = false, nil, true
	prevented.Record.Retiring[0].Retired.DeliveredAt = time.Time{}
	prevented.Holding = []string{"sink.file.x"}
	for name, c := range map[string]struct {
		in   Input
		want Action
	}{
		"a person's token has expired":                                     {in(Traits{Interactive: true}, &expired), ActWait},
		"a kept reply, and the token has expired":                          {unread, ActWait},
		"a failed grant, and an old token that waits":                      {failing, ActWait},
		"a removal that is prevented, and a sink that holds the old token": {prevented, ActWait},
		"a kept reply of what is no longer declared":                       {gone, ActWait},
		"one session an account, and the old one is another account's":     {in(revokes(spec.SessionOnePerAccount), &held, retired(causeReplace, "b")), ActRevoke},
		"one session an account, and the old one is of another address":    {in(revokes(spec.SessionOnePerAccount), &held, elsewhere), ActRevoke},
		"one session an account":                                           {in(revokes(spec.SessionOnePerAccount), &held, retired(causeReplace, "a")), ActRelease},
		"one session an account, and the old one is of a later login":      {in(revokes(spec.SessionOnePerAccount), &held, later), ActRevoke},
	} {
		t.Run(name, func(t *testing.T) {
			s := Decide(c.in)
			if s.Action != c.want {
				t.Errorf("decided %s, want %s", s, c.want)
			}
			if s.Action == ActWait && !s.Next.IsZero() && !s.Next.After(now) {
				t.Errorf("it is looked at again at %s, which is past: without an end", s.Next)
			}
		})
	}
}
