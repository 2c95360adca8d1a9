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

// failed notes a failure in the record. The refusals of a grant outlive what
// happens to refreshes of the token held meanwhile: a refused password is not
// sent again because a refresh came between, nor an account locked.
func (p *performer) failed(o outcome) *state.Failure {
	rec := &p.ob.in.Record
	f := nextFailure(rec.Failure, o, p.w.now(), p.retry(), p.ob.in.Spread, p.expired())
	if !p.keepsRefusal(o.op) {
		rec.Failure = f
		return f
	}
	wait := backoff(p.retry(), refusedRefreshTry, p.ob.in.Spread)
	if p.expired() {
		wait = min(wait, expiredBackoff)
	}
	f.NextAt = p.w.now().Add(max(wait, o.retryAfter))
	return f
}

// refusedRefreshTry is the place in the row of failures by which a refresh is
// tried again whose own failures are not counted.
const refusedRefreshTry = 5

// keepsRefusal says whether the record holds refusals of its grant, which what
// became of another call must not wipe out.
func (p *performer) keepsRefusal(op string) bool {
	f := p.ob.in.Record.Failure
	return (op == opRefresh || op == opAction) && f != nil && f.Op == opGrant && (f.Stopped || f.Reached > 0)
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
