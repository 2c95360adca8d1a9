package reconcile

import (
	"slices"
	"time"

	"tokend/pkg/state"
)

// orphanMargin is how much later than it is counted a token may have been issued whose
// reply was lost: its request may have been held up on its way.
const orphanMargin = time.Minute

// unseenUntil is when what a call may have brought that nobody saw has certainly ended
// by itself: an access token, and where fresh a refresh token too. What tells are the
// provider type, and what it brought before by the same grant (like, nil where there
// is none), of which the longer counts. The zero time: nobody knows.
func unseenUntil(t Traits, like *state.Grant, fresh bool, now time.Time) time.Time {
	access, refresh := t.Lifetime, t.RefreshLifetime
	if like != nil && !like.AccessToken.Empty() {
		if like.ExpiresAt.IsZero() {
			return time.Time{}
		}
		access = max(access, like.ExpiresAt.Sub(like.ObtainedAt)+like.Late)
		if like.RefreshToken.Empty() {
			fresh = false // none comes by this grant
		} else if !like.RefreshUntil.IsZero() {
			issued := like.ObtainedAt
			if like.Rotation == state.RotationKept && !like.GrantedAt.IsZero() {
				issued = like.GrantedAt // a refresh that left it as it was shortened no new one's life
			}
			refresh = max(refresh, like.RefreshUntil.Sub(issued)+like.Late)
		}
	}
	if access <= 0 || fresh && refresh <= 0 {
		return time.Time{}
	}
	if fresh {
		access = max(access, refresh)
	}
	return now.Add(access + orphanMargin)
}

// endsBy is when all tokens of a grant have ended by themselves; zero: not known.
func endsBy(g *state.Grant) time.Time {
	var until time.Time
	for _, x := range []struct {
		none bool
		at   time.Time
	}{{g.AccessToken.Empty(), g.ExpiresAt}, {g.RefreshToken.Empty(), g.RefreshUntil}} {
		switch {
		case x.none:
		case x.at.IsZero():
			return time.Time{}
		case x.at.After(until):
			until = x.at
		}
	}
	if until.IsZero() {
		return until
	}
	return until.Add(g.Late)
}

// outlives says that the refresh token of a grant may live on though its revocation was
// carried out. That named the access token alone, at an API that ends each of them by
// itself, as one says that wants to be told of those that a refresh replaced; and it may
// not have been the newest, with which the grant would have ended: the reply that brought
// another was lost.
func outlives(g *state.Grant, t Traits) bool {
	return g.LostRefresh && g.Retired.Cause != causeRefresh && t.HasRefresh && !g.RefreshToken.Empty() && g.RefreshState == state.RefreshUsable &&
		!t.RevokeNamesRefresh && slices.Contains(t.RevokeOn, causeRefresh)
}

// refreshEndsBy is when the refresh token of a grant has ended by itself; zero: not known.
func refreshEndsBy(g *state.Grant) time.Time {
	if g.RefreshUntil.IsZero() {
		return time.Time{}
	}
	return g.RefreshUntil.Add(g.Late)
}

// orphan counts a token that may live until a time (zero: nobody knows) and that is
// known to nobody.
func (p *performer) orphan(until time.Time) {
	rec := &p.ob.in.Record
	rec.Orphans = rec.Orphans.With(p.w.now(), until)
}

// orphanOf counts what a grant, or a login, may have brought.
func (p *performer) orphanOf() {
	in := &p.ob.in
	like := in.Record.Grant
	if like != nil && (in.Want == nil || in.Want.Grant == nil || like.GrantType != in.Want.Grant.Name) {
		like = nil
	}
	p.orphan(unseenUntil(in.Traits, like, in.Traits.HasRefresh, p.w.now()))
}

// orphanOfRefresh counts what a refresh of the grant in force may have brought.
func (p *performer) orphanOfRefresh() {
	in := &p.ob.in
	p.orphan(unseenUntil(in.Held, in.Record.Grant, singleUse(in.Held, in.Record.Grant), p.w.now()))
}

// forgetOrphans: a person has looked after them where they were issued.
func forgetOrphans(in *Input) (Step, bool) {
	if in.Order.Kind != OrderOrphans || in.Record.Orphans.Living(in.Now) == 0 {
		return Step{}, false
	}
	return Step{Action: ActNote, Cause: causeOrphans, State: Pending, Reason: "a person has looked after the tokens that nobody knows"}, true
}
