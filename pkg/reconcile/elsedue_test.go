package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/state"
)

// A revocation that waits, since it may end what another credential has got meanwhile, is
// not in the way of the token in force: that is refreshed when it is due.
func TestARevocationThatWaitsForAnotherHoldsNoRefreshUp(t *testing.T) {
	now := t0.Add(10 * time.Minute)
	for name, c := range map[string]struct {
		expires time.Duration
		want    time.Time
	}{
		"the token lives on":         {time.Hour, now.Add(sharedLook)},
		"it is due before":           {20*time.Minute + 10*time.Second, now.Add(5 * time.Second)},
		"it became due a moment ago": {20 * time.Minute, now.Add(sharedSoon)},
	} {
		t.Run(name, func(t *testing.T) {
			in := anInput(func(i *Input) {
				i.Record.Grant = aGrant(func(g *state.Grant) { g.ExpiresAt = t0.Add(c.expires) })
				i.Record.Retiring, i.RetiredTraits = []state.Grant{retiredGrant(causeReplace, nil)}, []Traits{i.Traits}
			})
			p := performer{w: &worker{now: func() time.Time { return now }}, j: &job{}, ob: &observed{in: in}, r: &result{}}
			p.notBegun(&sharedError{})
			if !p.r.next.Equal(c.want) {
				t.Errorf("it is looked at %s from now, want %s", p.r.next.Sub(now), c.want.Sub(now))
			}
			if len(p.ob.in.Record.Retiring) != 1 {
				t.Error("what is to be revoked is forgotten")
			}
		})
	}
}
