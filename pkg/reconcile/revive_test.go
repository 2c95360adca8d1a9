package reconcile

import (
	"strings"
	"testing"
	"time"

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
