package reconcile_test

import (
	"slices"
	"strings"

	"tokend/pkg/state"
)

func repliesKept(c *state.Credential) (kept []string) {
	for i := range c.Kept {
		kept = append(kept, c.Kept[i].Body.Reveal())
	}
	return kept
}

// checkReplies: a refresh's reply that nobody could read is kept until it was read, or
// until what it brought has ended; the oldest go where there are too many.
func (s *simRun) checkReplies(addr string, old, now *simRecord) {
	const most = 4
	all := slices.Clone(old.kept)
	if old.rawOp == "refresh" && !strings.Contains(old.raw, simPage) {
		all = append(all, old.raw)
	}
	if s.skewed || len(now.kept) >= most {
		return
	}
	for _, raw := range all {
		if raw == now.raw || slices.Contains(now.kept, raw) {
			continue
		}
		for _, g := range s.books.grants {
			for _, a := range g.access {
				if g.addr == addr && a.lives(s.real()) && strings.Contains(raw, `"`+a.token+`"`) && !now.names(a.token) {
					s.fail("%s has thrown the reply away that brought %s, which lives", addr, a.token)
				}
			}
		}
	}
}

// names says that a record has an access token.
func (r *simRecord) names(access string) bool {
	return r.access == access || slices.ContainsFunc(r.retiring, func(x simRetired) bool { return x.access == access })
}

// leaves is a credential of whose record nothing is left but its orphans, and replies
// that tell of some.
func (s *simRun) leaves(addr string, orphans state.Orphans, kept []string) {
	old := s.record(addr)
	if n := old.orphans.Living(s.wall()); n > orphans.Living(s.wall()) && !s.skewed {
		s.fail("the record of %s is gone, and with it orphans that may live: %d of %d are left", addr, orphans.Living(s.wall()), n)
	}
	s.mostOrphans[addr] += newOrphans(old.orphans, orphans)
	now := &simRecord{lifecycle: old.lifecycle, orphans: orphans, kept: kept}
	beside := *old
	beside.rawOp = "" // whether the last one may go with the record is another question
	s.checkReplies(addr, &beside, now)
	s.records[addr] = now
	s.note("record gone", addr, "", orphans.Total())
	for _, g := range s.books.grants {
		if g.addr == addr && strings.Contains(old.raw, `"`+g.access[len(g.access)-1].token+`"`) {
			s.forgive(addr, g, "remove", now) // what a kept reply brought goes as the rest does
		}
	}
	for account, r := range s.books.refused {
		if s.concerns(account, addr) {
			r.pardoned, r.atOnce, r.tries = true, true, 0
		}
	}
	s.checkKept(addr, old, now)
}
