package reconcile

import (
	"context"
	"time"

	"tokend/pkg/state"
)

// forgotten is what takes the place of a record that a person has forgotten: of a
// credential its orphans, among which are its tokens now, since nobody knows them
// any more. Where there is nothing to count, where only
// that was left, or where the record cannot be read, it is deleted.
func (l *Loop) forgotten(ctx context.Context, it *item) (change state.Change, orphans state.Orphans) {
	gone := state.Change{Delete: it.addr}
	if it.kind != kindCredential {
		return gone, nil
	}
	rec, intent, err := l.o.Store.Credential(ctx, it.addr)
	if err != nil {
		return gone, nil
	}
	now := l.o.Now()
	orphans = withLost(&rec, intent, now)
	if n := orphans.Living(now) - rec.Orphans.Living(now); orphans.Living(now) == 0 || n == 0 && rec.Grant == nil {
		return gone, nil
	}
	left := state.Credential{Head: state.Head{Address: it.addr, Kind: state.KindCredential, Version: rec.Head.Version}, Orphans: orphans}
	return state.Change{Credential: &left, IntentFor: it.addr, ClearIntent: intent != nil}, orphans
}

// withLost are the orphans of a record with those tokens that it knows, or may know one
// day, and that may live on without it.
func withLost(rec *state.Credential, intent *state.Intent, now time.Time) state.Orphans {
	all := rec.Orphans
	for _, g := range grantsOf(rec) {
		if livesOn(g, now) {
			all = all.With(now, endsBy(g))
		}
	}
	if rec.Raw != nil && !doubtful(rec.Raw) {
		all = all.With(now, time.Time{})
	}
	if intent != nil {
		switch intent.Op {
		case opGrant, opExchange, opPoll, opRefresh, opRevive:
			all = all.With(now, time.Time{})
		}
	}
	return all
}

// livesOn says whether one of a grant's tokens may not have ended yet. A key is no
// token.
func livesOn(g *state.Grant, now time.Time) bool {
	ended := func(until time.Time) bool { return !until.IsZero() && !now.Before(until.Add(g.Late)) }
	return !g.AccessToken.Empty() && !ended(g.ExpiresAt) || !g.RefreshToken.Empty() && !ended(g.RefreshUntil)
}
