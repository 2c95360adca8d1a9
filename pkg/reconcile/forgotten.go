package reconcile

import (
	"context"
	"time"

	"tokend/pkg/state"
)

// forgotten is what takes the place of a record that a person has forgotten: of a
// credential that is still declared its orphans, among which are its tokens now,
// since nobody knows them any more. Where there is nothing to count, where only
// that was left, or where the record cannot be read, it is deleted.
func (l *Loop) forgotten(ctx context.Context, it *item) (change state.Change, orphans int) {
	gone := state.Change{Delete: it.addr}
	if it.kind != kindCredential || it.gone {
		return gone, 0
	}
	rec, intent, err := l.o.Store.Credential(ctx, it.addr)
	if err != nil {
		return gone, 0
	}
	n := lost(&rec, intent, l.o.Now())
	if orphans = rec.Orphans + n; orphans == 0 || n == 0 && rec.Grant == nil {
		return gone, 0
	}
	left := state.Credential{Head: state.Head{Address: it.addr, Kind: state.KindCredential, Version: rec.Head.Version}, Orphans: orphans}
	return state.Change{Credential: &left, IntentFor: it.addr, ClearIntent: intent != nil}, orphans
}

// lost counts the tokens that a record knows, or may know one day, and that may
// live on without it.
func lost(rec *state.Credential, intent *state.Intent, now time.Time) (n int) {
	for _, g := range grantsOf(rec) {
		if livesOn(g, now) {
			n++
		}
	}
	if rec.Raw != nil && !doubtful(rec.Raw) {
		n++
	}
	if intent != nil {
		switch intent.Op {
		case opGrant, opExchange, opPoll, opRefresh, opRevive:
			n++
		}
	}
	return n
}

// livesOn says whether one of a grant's tokens may not have ended yet. A key is no
// token.
func livesOn(g *state.Grant, now time.Time) bool {
	ended := func(until time.Time) bool { return !until.IsZero() && !now.Before(until.Add(g.Late)) }
	return !g.AccessToken.Empty() && !ended(g.ExpiresAt) || !g.RefreshToken.Empty() && !ended(g.RefreshUntil)
}
