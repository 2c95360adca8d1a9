package reconcile

import (
	"slices"
	"time"

	"tokend/pkg/state"
)

// sameOverlap is what a credential has that got another token a moment ago.
const sameOverlap = "held the same access token until a moment ago, which lives on for its overlap"

// lingers says that the token which another credential had until a moment ago, and which
// its consumers may still use, ends with a revocation.
func (f fate) lingers(rec *state.Credential, now time.Time) bool {
	g := lingering(rec)
	if f.access.Empty() || g == nil || !g.AccessToken.Equal(f.access) {
		return false
	}
	r, lc := g.Retired, rec.Lifecycle
	if most := max(lc.MaxOverlap, lc.Overlap); !now.Before(r.Since.Add(most)) {
		return false
	}
	return r.DeliveredAt.IsZero() || now.Before(r.DeliveredAt.Add(lc.Overlap))
}

// lingers says it of a record that may not be in line with the clock yet.
func (w *worker) lingers(f fate, rec state.Credential) bool {
	now := w.now()
	withClock(&rec, w.steps.since(rec.Head.Address), now)
	return f.lingers(&rec, now)
}

// lingering is the token that a credential had before the one in force, where that took
// its place; nil: there is none.
func lingering(rec *state.Credential) (last *state.Grant) {
	if rec.Grant == nil {
		return nil
	}
	for i := range rec.Retiring {
		g := &rec.Retiring[i]
		if r := g.Retired; r.Cause != causeRemove && r.Cause != causeRevoke && r.Cause != causeLogin && (last == nil || !r.Since.Before(last.Retired.Since)) {
			last = g
		}
	}
	return last
}

// lingeringMark is the place of the token that lingers among the marks of a credential.
const lingeringMark = 3

// known are the marks of what the index keeps of a credential: of the token in force, and
// of the one before it.
func (t *tokens) known(rec *state.Credential) marks {
	m := t.marks(rec.Grant)
	if g := lingering(rec); g != nil {
		if h := t.sum(g.AccessToken); !slices.Contains(m[:], h) {
			m[lingeringMark] = h
		}
	}
	return m
}
