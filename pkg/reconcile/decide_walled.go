package reconcile

import "time"

// walled is a refresh that web pages refuse. Mostly a wall before the API shows
// them, and goes away; but an API may say so of a refresh token that it refuses for
// good. Nobody can tell, so the refresh token is kept as it is, and is tried again as
// long as that costs nothing: once the access token is about to end, a new one is
// obtained by the grant. While the grant fails, too, refreshing goes on.
func walled(in *Input) (Step, bool) {
	at, ok := in.pastTheWall()
	if !ok || in.Order.Kind == OrderRefresh || in.Order.Kind == OrderRetry {
		return Step{}, false
	}
	if f := in.Record.Failure; f != nil && f.Op == opGrant {
		if wait, blocked := backedOff(in); blocked && wait.Next.IsZero() {
			return Step{}, false // it was refused for good
		} else if blocked && wait.Next.After(at) {
			at = wait.Next
		}
	}
	if !in.Now.Before(at) {
		why := in.failureOf(opRefresh).Message
		return Step{Action: ActReplace, Cause: causeExpired, State: Failing, Why: why,
			Reason: "a web page refuses to refresh its token, which is about to end: a new one is obtained by the grant"}, true
	}
	s, ok := dueOrWaiting(in)
	if ok && s.Action == ActWait {
		s.Next = earlier(s.Next, at)
	}
	return s, ok
}

// pastTheWall is when a new token is obtained although its refresh token may be as
// good as ever: when the access token has to be replaced at the latest. It is never
// where only a person could log in, nor where the grant counts against an account.
func (in *Input) pastTheWall() (time.Time, bool) {
	g, f := in.Record.Grant, in.failureOf(opRefresh)
	if g == nil || in.Want == nil || f == nil || f.Class != classWalled || !canRefresh(in, g) {
		return time.Time{}, false
	}
	if t := in.Traits; t.Interactive || t.Static || t.Lockout {
		return time.Time{}, false
	}
	soonest := f.FirstAt.Add(in.Want.Retry.Initial)
	if in.mayHaveEnded() {
		return soonest, true
	}
	if g.ExpiresAt.IsZero() {
		return time.Time{}, false
	}
	if at := g.ExpiresAt.Add(-in.Want.Refresh.MinRemaining); at.After(soonest) {
		return at, true
	}
	return soonest, true
}
