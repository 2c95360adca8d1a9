package reconcile_test

import (
	"slices"
	"strings"
	"time"

	"tokend/pkg/providers"
)

// checkRevocation: no token is revoked while it is in force, while a place
// holds it, or before its overlap has passed.
func (b *simBooks) checkRevocation(a *simAccess, r *simRefresh, c providers.Call) {
	s, real := b.s, b.s.real()
	var named *simGrant
	switch {
	case a != nil:
		named = a.grant
	case r != nil:
		named = r.grant
	}
	by := s.asks(c, named)
	dies := map[*simAccess]bool{}
	if a != nil {
		dies[a] = true
	}
	for _, g := range b.dying(a, r) {
		for _, x := range g.access {
			dies[x] = true
		}
	}
	for x := range dies {
		if !x.lives(real) {
			continue
		}
		if s.checkTaken(x, by); x.grant.isOf(by) {
			s.checkDeath(x, by)
		}
	}
}

func (s *simRun) checkDeath(x *simAccess, by string) {
	rec := s.record(by)
	if x.grant.spared && !s.said.revoked[by] && rec.has(x.grant) && !rec.gaveWay(x) { // else it shares its grant with one that came later
		s.fail("%s is revoked, and a removed block said that it is left alone", x.token)
	}
	if rec.open != "revoke" {
		s.fail("%s is revoked, and no intent says so", x.token)
	}
	if rec.access == x.token {
		s.fail("%s is revoked, which is in force", x.token)
	}
	var ret *simRetired
	for i := range rec.retiring {
		if rec.retiring[i].access == x.token {
			ret = &rec.retiring[i]
		}
	}
	if ret == nil || s.revoking[by] > 0 || s.ending[by] || rec.orderedGone(x.grant) {
		return
	}
	wall := s.wall()
	longest, overlap := s.overlaps(by, rec)
	limit := ret.since.Add(max(longest, overlap))
	switch {
	case ret.cause == "remove":
		limit, overlap = rec.removing.Add(longest), 0
	case !rec.removing.IsZero() && rec.access == "":
		overlap = 0 // the token that came after it was given up too: there is nothing to pick up
	}
	if !wall.Before(limit) {
		return
	}
	if held := s.heldBy(x.token, by); len(held) > 0 {
		s.fail("%s is revoked (%s) while %s holds it", x.token, ret.cause, strings.Join(held, ", "))
	}
	if left := s.leftAt(x.token, by); !left.IsZero() && !s.overlapsUnknown().After(left) && wall.Sub(left) < overlap {
		s.fail("%s is revoked (%s) %s after the last place let go of it; its overlap is %s", x.token, ret.cause, wall.Sub(left), overlap)
	}
}

// gaveWay says that a refresh had replaced a token before its removal began: it was
// not the live one any more that a removed block leaves alone, and its API is told of
// it as of any other that a refresh replaced.
func (r *simRecord) gaveWay(x *simAccess) bool {
	return r.access != x.token && slices.ContainsFunc(r.retiring, func(old simRetired) bool {
		return old.access == x.token && old.cause == "refresh" && slices.Contains(x.grant.typ.traits.RevokeOn, "refresh") && !old.since.After(r.removing)
	})
}

// orderedGone says that a person wants a grant revoked, which takes along whatever
// tokens of it wait for their overlap.
func (r *simRecord) orderedGone(g *simGrant) bool {
	return slices.ContainsFunc(r.retiring, func(x simRetired) bool { return x.grant == g && x.cause == "revoke" })
}

// overlaps are how long an old token may hold on and how long it must. A record
// keeps what the configuration said when it was written, for when it no longer
// says it; of what is declared the configuration in force goes first, also where
// it is another one since and nothing has been recorded yet, and what a step goes
// by that began a moment before the last change.
func (s *simRun) overlaps(addr string, rec *simRecord) (longest, overlap time.Duration) {
	longest, overlap = rec.lifecycle.MaxOverlap, rec.lifecycle.Overlap
	for _, c := range s.saidOfLate() {
		if c.declares(slices.Index(simCredentials[:], addr)) {
			l, o := c.overlaps()
			longest, overlap = min(longest, l), min(overlap, o)
		}
	}
	return longest, overlap
}
