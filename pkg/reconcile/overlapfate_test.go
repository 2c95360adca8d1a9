package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Where revoking one token of an account ends all of them, an old one that is to be
// revoked at once waits for the overlap of another old one, though the one in force is of
// another account and would not end with it.
func TestARevocationEndsNoOtherInItsOverlap(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	grant := func(generation uint64, account, cause string, delivered time.Time) state.Grant {
		g := state.Grant{Generation: generation, Type: "mine", AccessToken: secret.New("t" + account + string(rune('0'+generation))), ExpiresAt: now.Add(time.Hour),
			InputHashes: map[string]string{"user": account}}
		if cause != "" {
			g.Retired = &state.Retired{Since: now.Add(-time.Minute), Cause: cause, DeliveredAt: delivered}
		}
		return g
	}
	for name, c := range map[string]struct {
		session string
		other   string
		passed  time.Duration // since the overlap began
		order   OrderKind
		want    Action
	}{
		"in its overlap":         {spec.SessionSharedGrant, "a", 10 * time.Second, OrderNone, ActWait},
		"after its overlap":      {spec.SessionSharedGrant, "a", 31 * time.Second, OrderNone, ActRevoke},
		"of another account":     {spec.SessionSharedGrant, "c", 10 * time.Second, OrderNone, ActRevoke},
		"tokens end by one":      {spec.SessionIndependent, "a", 10 * time.Second, OrderNone, ActRevoke},
		"a person wants it dead": {spec.SessionSharedGrant, "a", 10 * time.Second, OrderRevoke, ActRevoke},
	} {
		cur := grant(3, "b", "", time.Time{})
		in := &Input{Now: now, Declared: true, Order: Order{Kind: c.order}}
		in.Want = &spec.Credential{Type: &spec.ProviderType{Name: "mine"}, Inputs: []spec.Input{{Name: "user"}}, Grant: &spec.GrantType{}}
		in.Record.Grant = &cur
		in.Record.Lifecycle.Overlap, in.Record.Lifecycle.MaxOverlap = 30*time.Second, time.Hour
		in.Record.Retiring = []state.Grant{grant(1, "a", causeRevoke, time.Time{}), grant(2, c.other, causeReplace, now.Add(-c.passed))}
		traits := Traits{HasRevoke: true, RevokeOn: []string{causeReplace, causeRemove}, Session: c.session}
		in.RetiredTraits = []Traits{traits, traits}
		if s := retiredAt(in, 0); s.Action != c.want {
			t.Errorf("%s: %+v, want %q", name, s, c.want)
		}
	}
}
