package reconcile

import (
	"iter"
	"time"

	"tokend/pkg/state"
)

// sameOverlap is what a credential has that got another token a moment ago.
const sameOverlap = "had a token until a moment ago which the revocation would end, and which lives on for its overlap"

// lingers says that a token which another credential had until a moment ago, and which its
// consumers may still use, ends with a revocation. It need not be the last that it had: in
// one overlap a token may be replaced twice.
func (f fate) lingers(rec *state.Credential, now time.Time) bool {
	for g := range lingering(rec) {
		if overlaps(&rec.Lifecycle, g, now) && f.takes(g) != "" {
			return true
		}
	}
	return false
}

// overlaps says that a token which another one replaced may still be in use.
func overlaps(lc *state.Lifecycle, g *state.Grant, now time.Time) bool {
	r := g.Retired
	switch most := max(lc.MaxOverlap, lc.Overlap); {
	case g.AccessToken.Empty() || !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt.Add(g.Late)):
		return false // it is of no use
	case !now.Before(r.Since.Add(most)):
		return false
	}
	return r.DeliveredAt.IsZero() || now.Before(r.DeliveredAt.Add(lc.Overlap))
}

// lingers says it of a record that may not be in line with the clock yet.
func (w *worker) lingers(f fate, rec state.Credential) bool {
	now, step := w.now(), w.steps.since(rec.Head.Address)
	if step < 0 && f.lingers(&rec, now) {
		return true // it may have been brought in line a moment ago, and its step not be forgotten yet
	}
	withClock(&rec, step, now)
	return f.lingers(&rec, now)
}

// lingering are the tokens that a credential had before the one in force, where another
// took their place.
func lingering(rec *state.Credential) iter.Seq[*state.Grant] {
	return func(yield func(*state.Grant) bool) {
		for i := range rec.Retiring {
			g := &rec.Retiring[i]
			if r := g.Retired; rec.Grant != nil && r.Cause != causeRemove && r.Cause != causeRevoke && r.Cause != causeLogin && !yield(g) {
				return
			}
		}
	}
}
