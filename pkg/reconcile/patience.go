package reconcile

import (
	"fmt"
	"time"

	"tokend/pkg/state"
)

// A refresh token that works once is sent again twice at most after the reply to its
// refresh was lost: within its API's replay window, and as the one last try. Where only
// a person could replace it, neither is made while what cut the first one off may still
// go on: a front that starts anew answers nobody for some seconds, and passes nothing on.
const (
	replayWait      = 10 * time.Second // from the first sending to the replay, at most
	replayWaitEnded = 2 * time.Second  // the same, where no token works meanwhile
	lastTryWait     = 10 * time.Second // from the last lost reply to the one last try, at least
	lastTryMargin   = 30 * time.Second // before the end of the access token the last try is made, at most
)

// onlyAPerson says that nothing but the refresh token held leads to another token now: a
// login is needed, or the grant would be another one, which is held back.
func (in *Input) onlyAPerson() bool { return in.Traits.Interactive || in.holdsBack() }

// holdsBack says that by the grant as the configuration says it now the token would be
// replaced, and that this is held back.
func (in *Input) holdsBack() bool {
	return len(in.WantsNew) > 0 && (in.Guarded != "" || in.preventsDestroy())
}

// replayAfter is how long after it was first sent a refresh is repeated at the soonest:
// a sixth of its window, bounded, so that most of it is left for a rate limit and the
// like; and while the access token lives, not before half of what is left has gone by at
// most, so that it ends in no place. Where a person orders something it is none.
func (in *Input) replayAfter() time.Duration {
	if !in.onlyAPerson() || in.Order.Kind != OrderNone {
		return 0
	}
	window, g := in.Held.ReplayWindow, in.Record.Grant
	soon := min(window/6, replayWaitEnded)
	wait := min(window/6, replayWait)
	switch {
	case in.Held.InvalidatesAccessToken || in.mayHaveEnded() || in.disowns():
		wait = soon // what is held may not work
	case !g.ExpiresAt.IsZero():
		sent := in.Now.Add(-in.SinceIntent)
		wait = max(soon, min(wait, g.ExpiresAt.Sub(sent)/2))
	}
	return min(wait, replayLeft(window, 0)/2)
}

// notYetRepeated waits for the moment to repeat a refresh whose reply was lost.
func (in *Input) notYetRepeated() (Step, bool) {
	left := in.replayAfter() - in.SinceIntent
	if left <= 0 {
		return Step{}, false
	}
	at := in.Now.Add(left)
	reason := fmt.Sprintf("%s; it is repeated once a moment has gone by, since its API answers a repeated one alike for %s", in.unknown(opRefresh, "a refresh"), in.Held.ReplayWindow)
	return Step{Action: ActWait, State: Failing, Next: at, Reason: reason, Why: in.withMessage(reason), Mend: in.mend("retry")}, true
}

// withMessage adds to a reason what the last refresh failed with.
func (in *Input) withMessage(reason string) string {
	if f := in.failureOf(opRefresh); f != nil && f.Op == opRefresh && f.Message != "" {
		return reason + " (" + f.Message + ")"
	}
	return reason
}

// lostAt is when the last reply to a refresh of the token held was lost; the zero time
// where that is not known, or a call was made since that did not get there.
func (in *Input) lostAt() time.Time {
	f := in.failureOf(opRefresh)
	if f == nil || f.Op != opRefresh || f.Class != classUnknown && f.Class != classWalled || f.LastAt.After(in.Now) {
		return time.Time{}
	}
	return f.LastAt
}

// lastTryAt is when the last try of an indeterminate grant is made whose access token
// lives: shortly before its end, and of one that lives for seconds, in the last quarter
// of what was left. It is the zero time where the token has no end.
func (in *Input) lastTryAt() time.Time {
	g := in.Record.Grant
	if g.ExpiresAt.IsZero() {
		return time.Time{}
	}
	from := in.lostAt()
	if from.IsZero() {
		from = g.ObtainedAt
	}
	return g.ExpiresAt.Add(-marginOf(g.ExpiresAt.Sub(from)))
}

// marginOf is how long before its end a token that lives so long is given up hope of.
func marginOf(left time.Duration) time.Duration { return min(lastTryMargin, max(left, 0)/4) }

// notYetTriedLast waits with the last try of an indeterminate grant, whatever its access
// token is worth, while the last lost reply is near, and while the try is backed off:
// the last time is one that reached its API. An order of a person waits for neither.
func (in *Input) notYetTriedLast(lost string) (Step, bool) {
	wait, blocked := refreshBackedOff(in)
	if in.Order.Kind == OrderRetry || in.Order.Kind == OrderRefresh {
		return wait, blocked
	}
	at := in.lostAt()
	if at.IsZero() || !in.Now.Before(at.Add(lastTryWait)) {
		return wait, blocked
	}
	if at = at.Add(lastTryWait); blocked && wait.Next.After(at) {
		at = wait.Next
	}
	why := lost + ": the refresh token is tried one last time once a moment has gone by"
	return Step{Action: ActWait, State: Indeterminate, Next: at, Reason: why, Why: in.withMessage(why), Mend: in.mend("retry")}, true
}

// neverAnswered is said of a refresh token that is given up though nobody refused it.
const neverAnswered = "its refresh token may be spent, since what became of its refreshes is not known, and it is sent no more"

// neverAnswered says of a refresh token that is given up that nobody refused it: the
// replies to its refresh and to what was sent after it were lost.
func (in *Input) neverAnswered() bool {
	g := in.Record.Grant
	return g != nil && g.RefreshState == state.RefreshRefused && !in.lostAt().IsZero()
}
