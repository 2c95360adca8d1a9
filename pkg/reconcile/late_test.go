package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// A token that was on its way while the machine slept may be younger than is said
// of it: it is revoked until it has certainly ended, and of what comes in its place
// that is not said any more.
func TestATokenThatMayBeYoungerIsRevoked(t *testing.T) {
	for late, want := range map[time.Duration]Action{0: ActRelease, 20 * time.Minute: ActRelease, 40 * time.Minute: ActRevoke} {
		old := retiredGrant(causeRemove, func(g *state.Grant) {
			g.RefreshToken, g.Late = secret.Text{}, late
		})
		in := anInput(func(in *Input) {
			in.Declared, in.Want, in.Record.Grant, in.Record.Removing = false, nil, nil, &state.Removing{Since: in.Now}
			in.Record.Retiring, in.Now = []state.Grant{old}, old.ExpiresAt.Add(30*time.Minute)
		})
		in.RetiredTraits = []Traits{{HasRevoke: true, RevokeOn: []string{causeRemove}, RevokeNamesAccess: true, RevokeNeeds: needsAccess}}
		if s := Decide(in); s.Action != want {
			t.Errorf("perhaps %s younger: %s, want %s", late, s, want)
		}
	}
	g := nextGrant(state.Grant{AccessToken: secret.New("a"), Late: time.Hour}, providers.Token{AccessToken: secret.New("b")}, t0)
	if g.Late != 0 {
		t.Errorf("what a refresh brought may be %s younger", g.Late)
	}
}
