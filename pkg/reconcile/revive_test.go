package reconcile

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// TestReviveSpendsNothingTwice: a retired grant whose revocation needs a living
// access token is refreshed for it, but never with a refresh token that may be
// spent already.
func TestReviveSpendsNothingTwice(t *testing.T) {
	for name, c := range map[string]struct {
		state  state.RefreshState
		intent *state.Intent
		action Action
		reason string
	}{
		"usable":        {state.RefreshUsable, nil, ActRevive, "living access token"},
		"indeterminate": {state.RefreshIndeterminate, nil, ActRelease, "orphan"},
		"refused":       {state.RefreshRefused, nil, ActRelease, "dead"},
		"lost reply":    {state.RefreshUsable, &state.Intent{Op: opRevive, Generation: 2}, ActSettle, "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			in := anInput(func(in *Input) {
				in.Held.RevokeNeeds, in.Traits.RevokeNeeds = needsAccess, needsAccess
				in.Record.Retiring = []state.Grant{retiredGrant(causeReplace, func(g *state.Grant) {
					g.RefreshState, g.ExpiresAt = c.state, t0.Add(5*time.Minute)
					g.Retired.DeliveredAt = t0
				})}
				in.Intent = c.intent
			})
			s := Decide(in)
			if s.Action != c.action || !strings.Contains(s.Reason, c.reason) {
				t.Errorf("got %s (%s), want %s (… %s …)", s.Action, s.Reason, c.action, c.reason)
			}
		})
	}
}

// Of several old grants that have one refresh token one is refreshed to be revoked, and the
// others end with it; and what is known of that refresh token is known for all.
func TestOldGrantsOfOneLoginSpendItsRefreshTokenOnce(t *testing.T) {
	living := func(g *state.Grant) { g.ExpiresAt = t0.Add(time.Hour) }
	is := func(s state.RefreshState) func(*state.Grant) { return func(g *state.Grant) { g.RefreshState = s } }
	for name, c := range map[string]struct {
		first, second func(*state.Grant)
		want          [2]Action
	}{
		"both access tokens have ended": {nil, nil, [2]Action{ActRelease, ActRevive}},
		"the first one's lives":         {living, nil, [2]Action{ActRevoke, ActRelease}},
		"the second one's lives":        {nil, living, [2]Action{ActRelease, ActRevoke}},
		"both live":                     {living, living, [2]Action{ActRevoke, ActRevoke}},
		"two logins":                    {nil, func(g *state.Grant) { g.RefreshToken = secret.New("another") }, [2]Action{ActRevive, ActRevive}},
		"its refresh was lost":          {nil, is(state.RefreshIndeterminate), [2]Action{ActRelease, ActRelease}},
		"it was refused":                {is(state.RefreshRefused), nil, [2]Action{ActRelease, ActRelease}},
		"the other is not revoked":      {nil, func(g *state.Grant) { g.Retired.Cause = causeRefresh }, [2]Action{ActRevive, ActRelease}},
	} {
		in := anInput(func(in *Input) {
			in.Declared, in.Want, in.Record.Grant = false, nil, nil
			in.Held.RevokeNeeds = needsAccess
			for _, change := range []func(*state.Grant){c.first, c.second} {
				g := retiredGrant(causeRemove, func(g *state.Grant) { g.ExpiresAt = t0.Add(5 * time.Minute) })
				if change != nil {
					change(&g)
				}
				in.Record.Retiring = append(in.Record.Retiring, g)
			}
		})
		for i, want := range c.want {
			if s := retiredAt(&in, i); s.Action != want {
				t.Errorf("%s: of the %d. %s (%s), want %s", name, i+1, s.Action, s.Reason, want)
			}
		}
	}
}
