package reconcile

import (
	"net/http"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// outcome is a failed call, classified, as the record keeps it.
type outcome struct {
	op         string
	class      string
	message    string // scrubbed
	hint       string
	reached    bool // may have reached the server
	stops      bool // trying again without a change is pointless
	login      bool // only a person can go on
	retryAfter time.Duration
	lockout    bool // the call counts against an account
	inputs     map[string]string
}

// failed notes a failure.
func (p *performer) failed(o outcome) *state.Failure {
	return p.ob.in.failed(o, p.w.now(), p.retry())
}

// failed notes a failure: in the record, but that what becomes of a refresh and
// what becomes of the grant that would replace its token are kept apart, each with
// a back-off of its own. Where both fail, the record holds the grant's: a refused
// password is not sent again because a refresh came between, nor an account locked.
// The refresh's is kept in memory then, so that a start tries it once at once.
func (in *Input) failed(o outcome, now time.Time, p spec.RetryPolicy) *state.Failure {
	rec := &in.Record
	g, held := rec.Grant, rec.Failure
	expired := g != nil && !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt)
	f := nextFailure(in.failureOf(o.op), o, now, p, in.Spread, expired)
	switch {
	case o.op == opRefresh && held != nil && held.Op == opGrant:
		in.RefreshFailure = f
	case o.op == opAction && (isRefusal(held) || accountEnded(held)): // which outlive an action that failed
	case o.op == opGrant && held != nil && held.Op == opRefresh:
		in.RefreshFailure, rec.Failure = held, f
	default:
		rec.Failure = f
	}
	return f
}

// failureOf is the last failure that a call of the kind op follows.
func (in *Input) failureOf(op string) *state.Failure {
	if f := in.Record.Failure; op != opRefresh || f != nil && f.Op == opRefresh {
		return f
	}
	return in.RefreshFailure
}

// refreshOver drops what is noted of failed refreshes, and of what else failed
// but for refusals of the grant, which outlive it.
func (in *Input) refreshOver() {
	in.RefreshFailure = nil
	if !isRefusal(in.Record.Failure) {
		in.Record.Failure = nil
	}
}

// isRefusal says whether a failure is a grant's that may have reached the server,
// or that is not tried again as it is.
func isRefusal(f *state.Failure) bool {
	return f != nil && f.Op == opGrant && (f.Stopped || f.Reached > 0)
}

// nextFailure is the record of a failure that follows prev (nil: the first in a
// row). expired says that the token held has expired, which caps the wait.
func nextFailure(prev *state.Failure, o outcome, now time.Time, p spec.RetryPolicy, spread float64, expired bool) *state.Failure {
	f := &state.Failure{Op: o.op, Class: o.class, Message: o.message, Hint: o.hint, Count: 1, FirstAt: now, LastAt: now, InputHash: o.inputs}
	if prev != nil && prev.Op == o.op {
		f.Count, f.FirstAt, f.Reached = prev.Count+1, prev.FirstAt, prev.Reached
	}
	if o.reached {
		f.Reached++
	}
	f.Stopped = o.stops
	wait := backoff(p, f.Count, spread)
	if expired {
		wait = min(wait, expiredBackoff)
	}
	// A refusal that the provider asks to be left alone for, and an account
	// that more tries would lock, go before any haste.
	wait = max(wait, o.retryAfter)
	if o.lockout && f.Reached >= lockoutCount {
		wait = max(wait, lockoutWait)
	}
	f.NextAt = now.Add(wait)
	return f
}

// blamesTheClient says that a refusal is about who asked and how, and says
// nothing of the token that was sent: a wrong client secret, a wrong address.
func blamesTheClient(e *providers.Error) bool {
	if e.Class == providers.ClassConfig {
		return true
	}
	if e.Class != providers.ClassPermanent {
		return false
	}
	switch e.Code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return true
	}
	return e.Status >= 300 && e.Status < 400 || e.Code == "" && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed)
}
