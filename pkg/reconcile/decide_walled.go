package reconcile

import (
	"time"

	"tokend/pkg/state"
)

// walled is a refresh that web pages refuse, or, where only a login gives another token,
// something on the way ([tokenDoubted]). Mostly a wall before the API shows
// them, and goes away; but an API may say so of a refresh token that it refuses for
// good. Nobody can tell, so the refresh token is kept as it is, and is tried again as
// long as that costs nothing: once the access token is about to end, a new one is
// obtained by the grant. While the grant fails, too, refreshing goes on.
func walled(in *Input) (Step, bool) {
	at, ok := in.pastTheWall()
	switch {
	case in.Order.Kind == OrderRefresh || in.Order.Kind == OrderRetry:
		return Step{}, false
	case in.shutOut(in.Now):
		s, ok := dueOrWaiting(in)
		return in.loginOpens(s), ok
	case !ok:
		return Step{}, false
	}
	if f := in.Record.Failure; f != nil && f.Op == opGrant {
		if wait, blocked := backedOff(in); blocked && wait.Next.IsZero() && in.Reading.grant == "" {
			return Step{}, false // it was refused for good
		} else if blocked && wait.Next.After(at) {
			at = wait.Next
		}
	}
	if !in.Now.Before(at) {
		return in.aroundTheWall(), true
	}
	s, ok := dueOrWaiting(in)
	if ok && s.Action == ActWait {
		s.Next = earlier(s.Next, at)
	}
	return s, ok
}

// aroundTheWall obtains a new token by the grant.
func (in *Input) aroundTheWall() Step {
	reason := "a web page refuses to refresh its token, which is about to end: a new one is obtained by the grant"
	if in.tokenOver(in.Now) {
		reason = "a web page refuses to refresh its token, which has ended: a new one is obtained by the grant"
	}
	return Step{Action: ActReplace, Cause: causeExpired, State: Failing, Why: in.failureOf(opRefresh).Message, Reason: reason}
}

// pastTheWall is when a new token is obtained although its refresh token may be as
// good as ever: when the access token has to be replaced at the latest. A grant that
// counts against an account is not risked before that token has ended, and no oftener
// than any other that fails ([lockoutCount]). It is never where only a person could log in.
func (in *Input) pastTheWall() (time.Time, bool) {
	g, f := in.Record.Grant, in.failureOf(opRefresh)
	if in.Want == nil || in.Traits.Interactive || in.Traits.Static || !in.behindWall() {
		return time.Time{}, false
	}
	soonest := f.FirstAt.Add(in.Want.Retry.Initial)
	switch {
	case in.mayHaveEnded() || unspent(g):
		return soonest, true
	case g.ExpiresAt.IsZero():
		return time.Time{}, false
	}
	at := g.ExpiresAt
	if !in.Traits.Lockout {
		at = at.Add(-in.Want.Refresh.MinRemaining)
	}
	if at.After(soonest) {
		return at, true
	}
	return soonest, true
}

// behindWall says that the refreshes of the token held are refused, and perhaps not by
// the API.
func (in *Input) behindWall() bool {
	f := in.failureOf(opRefresh)
	return in.Record.Grant != nil && f != nil && f.Op == opRefresh && f.Class == classWalled && canRefresh(in, in.Record.Grant)
}

// tokenOver says that what is held is of no use any more without a refresh.
func (in *Input) tokenOver(now time.Time) bool {
	g := in.Record.Grant
	return unspent(g) || in.mayHaveEnded() || !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt)
}

// shutOut says that a person is needed, for all that is known: what is perhaps not the API
// refuses the refreshes of a token that has ended, and only a login gives another. The wall may
// fall, so refreshing goes on.
func (in *Input) shutOut(now time.Time) bool {
	return in.Traits.Interactive && in.behindWall() && in.tokenOver(now)
}

// loginOpens says so of what is waited for.
func (in *Input) loginOpens(s Step) Step {
	if s.Action == ActWait {
		s.State, s.Why, s.Mend = NeedsLogin, shutOutWhy(in.failureOf(opRefresh)), in.mend("login")
	}
	return s
}

func shutOutWhy(f *state.Failure) string {
	return "there is no token that works, and to refresh it is refused: " + f.Message
}
