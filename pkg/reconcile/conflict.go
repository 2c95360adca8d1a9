package reconcile

import (
	"errors"
	"fmt"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// saveTries is how often a record is written over what another writer made of
// it.
const saveTries = 5

// errOtherToken: another writer has put another token in force, and nothing new
// is known here.
var errOtherToken = errors.New("another writer has put another token in force")

// saveOver writes a record that another writer changed since it was read. What
// a call brought cannot be had again: so it goes over what the other one wrote
// where that has the same token in force, and to the retired grants, to be
// revoked, where it has another.
func (p *performer) saveOver(what string, more []state.Change) error {
	stored, _, err := p.w.store.Credential(p.ctx, p.j.addr)
	if err != nil {
		return fmt.Errorf("reading what another writer made of %s: %w", p.j.addr, err)
	}
	rec := &p.ob.in.Record
	switch {
	case tokenIn(stored.Grant).Equal(p.ob.had):
		rec.Head.Version = stored.Head.Version
		keepDoubt(rec, &stored, p.w.now())
	case rec.Grant == nil || rec.Grant.AccessToken.Equal(p.ob.had):
		return errOtherToken
	default:
		p.log().Warn("another writer has put another token in force; the one that came is given up", "what", what)
		stored.Retiring = append(stored.Retiring, p.retiring(*rec.Grant, causeReplace))
		stored.Head.Generation = max(stored.Head.Generation, rec.Head.Generation)
		*rec = stored
		p.head(rec)
		defer p.w.tokens.comesNot(p.j.addr)
	}
	return p.w.commit(p.ctx, p.j.addr, what, append([]state.Change{{Credential: rec}}, more...)...)
}

// keepDoubt takes over what another writer found out: that the state is an older
// copy, so that a refresh token may have been spent. What a call has renewed
// meanwhile is in no doubt, though its refresh token may have stayed the same: it
// has just worked. Or that the token in force has ended with another's: one that a call
// has brought meanwhile is another.
func keepDoubt(rec, stored *state.Credential, now time.Time) {
	if g := rec.Grant; g != nil && stored.Grant != nil && g.Generation == stored.Grant.Generation && knownDead(stored, stored.Grant) {
		rec.Verified = stored.Verified
	}
	if stored.Restored.After(rec.Restored) {
		rec.Restored = stored.Restored
		if stored.Orphans.Living(now) > rec.Orphans.Living(now) {
			rec.Orphans = stored.Orphans
		}
	}
	for _, as := range grantsOf(stored) {
		if as.RefreshState != state.RefreshIndeterminate {
			continue
		}
		for _, g := range grantsOf(rec) {
			same := g.Generation == as.Generation && g.AccessToken.Equal(as.AccessToken) && g.RefreshToken.Equal(as.RefreshToken)
			if same && g.RefreshState == state.RefreshUsable {
				g.RefreshState = state.RefreshIndeterminate
			}
		}
	}
}

// grantsOf are the grant in force and those that are retiring. What was in force
// when a call began may be retiring at its end.
func grantsOf(c *state.Credential) []*state.Grant {
	var all []*state.Grant
	if c.Grant != nil {
		all = append(all, c.Grant)
	}
	for i := range c.Retiring {
		all = append(all, &c.Retiring[i])
	}
	return all
}

// tokenIn is the access token of a grant, which may be none.
func tokenIn(g *state.Grant) secret.Text {
	if g == nil {
		return secret.Text{}
	}
	return g.AccessToken
}
