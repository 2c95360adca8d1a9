package reconcile

import (
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
	row        int  // as many such calls failed before, others' with the same account among them
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
	expired := g != nil && !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt) && o.class != classUnreadable // of which each may bring a token that nobody ends
	f := nextFailure(in.failureOf(o.op), o, now, p, in.Spread, expired)
	if o.op == opGrant && o.lockout && o.reached {
		if at := in.spread(f, now, p); at.After(f.NextAt) {
			f.NextAt = at
		}
	}
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

// replacing says that another token is wanted than the one held, however good it is:
// a person tainted it, or the configuration says something else.
func (in *Input) replacing() bool {
	return in.Record.Head.Flags&state.FlagTainted != 0 || len(in.WantsNew) > 0 || in.Origins != ""
}

// spread is when a grant that counts against an account is tried again while the
// token held is good: the tries that are left before the account is spared are spread
// over what is left of it, none later than by the longest back-off, so that a provider
// that fails for seconds does not cost the whole wait. The zero time: by the back-off.
func (in *Input) spread(f *state.Failure, now time.Time, p spec.RetryPolicy) time.Time {
	g := in.Record.Grant
	switch {
	case g == nil || f.Stopped || f.Reached >= lockoutCount || g.AccessToken.Empty() || g.ExpiresAt.IsZero():
		return time.Time{}
	case in.mayHaveEnded() || in.Record.Verified.Refused == g.Generation:
		return time.Time{} // what is held may not work
	case in.replacing():
		return time.Time{} // somebody waits for another token than the one held
	}
	left := g.ExpiresAt.Sub(now)
	left -= marginOf(left) // of a token that lives for seconds that is all of it
	return now.Add(min(left/time.Duration(lockoutCount-f.Reached), p.Max))
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

// obtained says that a refresh brought a token: what failed before fails no more. Of
// a grant that counts against an account the tries are kept, and until when there is
// none: that a refresh went through says nothing of a password.
func (in *Input) obtained() {
	in.refreshOver()
	f := in.Record.Failure
	switch {
	case f == nil || f.Stopped || in.replacing():
		// A grant that is wanted for another reason than an end fails as before.
	case longAgo(f, in.Now):
		in.Record.Failure = nil
	case in.Want != nil && !in.Traits.Lockout:
		in.Record.Failure = nil
	default:
		kept := *f
		kept.Class, kept.Hint, kept.Message = classCounted, "", "logins that failed before, which count against the account"
		if kept.Reached < lockoutCount {
			kept.NextAt = kept.LastAt
		}
		in.Record.Failure = &kept
	}
}

// unused says of what is ready that a call failed in passing which nobody needs now: an
// order's, say, long before the token held is due. Once it may be made again it is no
// failure any more, and the next that fails begins a row of its own.
func (in *Input) unused(s Step) bool {
	over := func(f *state.Failure) bool { return f == nil || !in.Now.Before(f.NextAt) }
	f := in.Record.Failure
	if f == nil || f.Stopped || s.State != Ready || s.Why != "" || s.acts() || in.Record.Grant == nil || !over(f) || !over(in.RefreshFailure) {
		return false
	}
	passing := f.Class == string(providers.ClassTransient) || f.Class == classThrottled || f.Class == classUnknown
	return passing && (f.Op == opGrant || f.Op == opRefresh)
}

// present is the failure that stands in the way of a token at present, nil for none:
// where the grant was refused for good, or only its tries are kept, that is the
// refresh's.
func (in *Input) present() *state.Failure {
	f := in.Record.Failure
	switch {
	case f == nil || f.Class == classCounted:
		return in.RefreshFailure
	case f.Op == opGrant && f.Stopped && in.RefreshFailure != nil:
		return in.RefreshFailure
	}
	return f
}

// longAgo says that a login which failed is no part of a row any more: for a day there
// was none after it. Only a login that succeeds ends a row before, as it does at the
// API; a refresh does not, which no account counts.
func longAgo(f *state.Failure, now time.Time) bool {
	return f.Op == opGrant && !f.LastAt.IsZero() && now.Sub(f.LastAt) >= lockoutRow
}

// isRefusal says whether a failure is a grant's that may have reached the server,
// or that is not tried again as it is.
func isRefusal(f *state.Failure) bool {
	return f != nil && f.Op == opGrant && (f.Stopped || f.Reached > 0)
}

// nextFailure is the record of a failure that follows prev (nil: the first in a
// row). spread tells the addresses and hosts apart; expired says that the token held
// has expired, which caps the wait.
func nextFailure(prev *state.Failure, o outcome, now time.Time, p spec.RetryPolicy, spread float64, expired bool) *state.Failure {
	f := &state.Failure{Op: o.op, Class: o.class, Message: o.message, Hint: o.hint, Count: 1, FirstAt: now, LastAt: now, InputHash: o.inputs}
	if prev != nil && prev.Op == o.op {
		if f.Reached = prev.Reached; prev.Class != classCounted {
			if f.Count = prev.Count + 1; prev.Stopped == o.stops && (prev.Class == classLogin) == o.login {
				f.FirstAt = prev.FirstAt // else it is since now that it is stopped, or that it is not any more
			}
		}
		if longAgo(prev, now) {
			f.Reached = 0
		}
	}
	if f.Reached = max(f.Reached, o.row); o.reached {
		f.Reached++
	}
	f.Stopped = o.stops
	wait := backoff(p, f.Count, draw(spread, f.Count, now))
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
