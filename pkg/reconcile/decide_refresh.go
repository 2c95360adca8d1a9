package reconcile

import (
	"strings"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

func (in *Input) due() time.Time {
	g := in.Record.Grant
	if in.mayHaveEnded() {
		return g.ObtainedAt // what is tried then, and when, is for back-offs to say
	}
	p := spec.RefreshPolicy{At: 0.66, Jitter: 0.1, MinRemaining: time.Minute}
	if in.Want != nil {
		p = in.Want.Refresh
	}
	if in.Repeats && !g.ExpiresAt.IsZero() {
		return dueAgain(g)
	}
	return due(lifetime{obtained: g.ObtainedAt, expires: g.ExpiresAt, late: in.Held.InvalidatesAccessToken}, p, in.Spread)
}

const (
	// repeatsFor is how much longer a token has to live to be asked for before its end,
	// where its API gave the same one again.
	repeatsFor = time.Minute
	// repeatsLast is how long before its end such a token is asked for once more: enough
	// for an answer, and for its places to be written.
	repeatsLast = 10 * time.Second
	// repeatsLate is how long after its end such a token may live: expires_in is in whole
	// seconds, and the rest is cut off, mostly.
	repeatsLate = time.Second
	// repeatsApart is how far apart two ends may be that are one, told in such seconds by
	// replies that were on their way for a while.
	repeatsApart = 5 * time.Second
)

// dueAgain is when a token is due that its API has given again. Many give one client one
// token until that ends, or until shortly before: to ask ever sooner as the end comes near
// would be many logins for nothing. So it is asked for when half of the rest has passed,
// once more shortly before the end, and at last when it has ended.
func dueAgain(g *state.Grant) time.Time {
	half, last := g.ExpiresAt.Sub(g.ObtainedAt)/2, g.ExpiresAt.Add(-repeatsLast)
	switch {
	case half >= repeatsFor:
		return g.ObtainedAt.Add(half)
	case g.ObtainedAt.Before(last):
		return last
	}
	return g.ExpiresAt.Add(repeatsLate)
}

// repeats says that a call brought the token that was held before, which ends when it did.
func repeats(g *state.Grant, had secret.Text, until time.Time) bool {
	return !had.Empty() && g.AccessToken.Equal(had) && !until.IsZero() && !g.ExpiresAt.IsZero() && g.ExpiresAt.Sub(until) < repeatsApart
}

// mayHaveEnded says that a refresh whose reply was lost, or that was refused after
// such a one, may have ended the access token held, as its API does with each:
// however long it would have lived. So may the refusal of a token that works once, at
// any API: it has seen it used twice, and may end all of its grant (RFC 9700 section
// 4.14.2).
func (in *Input) mayHaveEnded() bool {
	g, f := in.Record.Grant, in.Record.Failure
	lost := g.LostRefresh || f != nil && f.Op == opRefresh && f.Class == classUnknown // the latter in records of old
	refused := g.RefreshState == state.RefreshRefused
	return in.Held.InvalidatesAccessToken && (lost || refused) || g.LostRefresh && refused && singleUse(in.Held, g)
}

// dueInTurn is when the token is due, but earlier where its provider's rate limit
// would not let all in time otherwise; a quarter of its lifetime has to have
// passed all the same.
func (in *Input) dueInTurn() time.Time {
	at, g := in.due(), in.Record.Grant
	if in.Turn.IsZero() || at.IsZero() || in.Repeats || in.Traits.Interactive && !canRefresh(in, g) {
		return at
	}
	turn := in.Turn
	if quarter := g.ObtainedAt.Add(g.ExpiresAt.Sub(g.ObtainedAt) / 4); turn.Before(quarter) {
		turn = quarter
	}
	return earlier(at, turn)
}

// glances says of a credential that is ready that its token is not due when it is looked
// at next: for what is to be done then its provider may not be needed.
func (in *Input) glances(s *Standing, next time.Time) bool {
	if s != nil && s.State != Ready || next.IsZero() || in.Record.Grant == nil {
		return false
	}
	due := in.dueInTurn()
	return due.IsZero() || next.Before(due)
}

// early says that the token cannot be due any earlier, whatever its turn.
func (in *Input) early() bool {
	g := in.Record.Grant
	return !in.Turn.IsZero() && g != nil && !in.dueInTurn().After(g.ObtainedAt.Add(g.ExpiresAt.Sub(g.ObtainedAt)/4))
}

// dueOrWaiting is refresh, but that old tokens are given up while it waits, and that
// the API is asked about the one held.
func dueOrWaiting(in *Input) (Step, bool) {
	s, ok := refresh(in)
	if !ok || s.Action != ActWait {
		return s, ok
	}
	if step, ok := retired(in); ok {
		if step.Action != ActWait {
			return step, true
		}
		if !step.Next.IsZero() && (s.Next.IsZero() || step.Next.Before(s.Next)) && step.Next.After(in.Now) {
			s.Next = step.Next
		}
	}
	return in.asking(s), true
}

// orderedRefresh keeps an order to refresh from carrying out a replacement that
// waits: it spends the refresh token held, or says why it cannot.
func orderedRefresh(in *Input) (Step, bool) {
	g := in.Record.Grant
	if in.Order.Kind != OrderRefresh || g == nil || g.RefreshState == state.RefreshIndeterminate {
		return Step{}, false
	}
	var waits string
	switch {
	case in.Record.Head.Flags&state.FlagTainted != 0:
		waits = in.whyTainted()
	case in.Origins != "":
		waits = in.Origins
	case len(in.WantsNew) > 0:
		waits = strings.Join(in.WantsNew, ", ") + " changed"
	default:
		return Step{}, false // nothing is in the way
	}
	if !in.Traits.Static && canRefresh(in, g) {
		return Step{Action: ActRefresh, State: Pending, Reason: "a person wants it refreshed"}, true
	}
	return Step{Action: ActWait, State: Pending, Next: in.Now, Mend: "tokend apply",
		Reason: waits + ", so it is to be replaced (tokend apply does that), and " + whyNoRefresh(in, g)}, true
}

func refresh(in *Input) (Step, bool) {
	g := in.Record.Grant
	if g == nil {
		return Step{}, false
	}
	at := in.dueInTurn()
	retry := in.Order.Kind == OrderRetry && in.failureOf(opRefresh) != nil
	ordered := in.Order.Kind == OrderRefresh || retry
	if !ordered && (at.IsZero() || in.Now.Before(at)) {
		return Step{}, false
	}
	if in.Traits.Static && !canRefresh(in, g) {
		return Step{}, false // a key has no end, and only a change of the configuration puts it in a token's place
	}
	reason := "it is due"
	if ordered {
		reason = "a person wants it refreshed"
	} else if !g.ExpiresAt.IsZero() && !in.Now.Before(g.ExpiresAt) {
		reason = "its token has expired"
	} else if in.mayHaveEnded() {
		reason = "its token may have ended with a refresh that failed"
	}
	if canRefresh(in, g) {
		if wait, blocked := refreshBackedOff(in); blocked {
			return wait, true
		}
		return Step{Action: ActRefresh, State: Pending, Reason: reason}, true
	}
	if in.Traits.Interactive {
		if g.ExpiresAt.IsZero() || in.Now.Before(g.ExpiresAt) {
			return loginSoon(in, g), true
		}
		return needsLogin(in, "its token has expired and there is nothing to refresh it with"), true
	}
	if wait, blocked := backedOff(in); blocked {
		if wait.State == Stopped && in.Now.Before(g.ExpiresAt) {
			wait.Next = g.ExpiresAt // what is said of the token held holds until then
		}
		return wait, true
	}
	return Step{Action: ActReplace, Cause: causeExpired, State: Pending, Reason: reason + " and " + whyNoRefresh(in, g) + ": a new one is obtained by the grant"}, true
}

func loginSoon(in *Input, g *state.Grant) Step {
	why := "its token ends soon and only a login gives a new one"
	if in.mayHaveEnded() {
		why = "its token may have ended with a refresh that failed, and only a login gives a new one"
	}
	s := needsLogin(in, why)
	s.Next = g.ExpiresAt
	return s
}

// canRefresh says whether the refresh token held may be sent. One that may be spent,
// or that was refused, is not sent again, whoever asks: the API may end all of its
// grant for it. The last try of the former is for [indeterminate] to say.
func canRefresh(in *Input, g *state.Grant) bool {
	if !in.Held.HasRefresh || g.RefreshToken.Empty() {
		return false
	}
	if !g.RefreshUntil.IsZero() && !in.Now.Before(g.RefreshUntil) {
		return false
	}
	if in.unreadRefresh(g) {
		return false
	}
	return g.RefreshState == state.RefreshUsable
}

func whyNoRefresh(in *Input, g *state.Grant) string {
	switch {
	case !in.Held.HasRefresh:
		return "its API has no refresh"
	case g.RefreshToken.Empty():
		return "it came without a refresh token"
	case !g.RefreshUntil.IsZero() && !in.Now.Before(g.RefreshUntil):
		return "its refresh token has ended too"
	case g.RefreshState == state.RefreshIndeterminate:
		return "its refresh token may be spent"
	case in.neverAnswered():
		return neverAnswered
	case in.unreadRefresh(g):
		return "its refreshes are stopped, since the replies to earlier ones could not be read"
	}
	return "its refresh token was refused"
}

func refreshBackedOff(in *Input) (Step, bool) {
	if wait, reads := in.readsRefresh(); reads {
		return wait, true
	}
	f := in.failureOf(opRefresh)
	if f == nil || in.Order.Kind == OrderRetry || in.Order.Kind == OrderRefresh {
		return Step{}, false
	}
	if in.madeAnew(f) {
		return Step{}, false
	}
	if at := in.nextTry(f); in.Now.Before(at) {
		why := f.Message
		if in.Traits.Interactive && in.behindWall() {
			why += "; if that goes on, only a login brings another token"
		}
		return Step{Action: ActWait, State: Failing, Next: at, Reason: "its last refresh failed", Why: why, Mend: mendFailure(in, f)}, true
	}
	return Step{}, false
}

func fresh(in *Input) (Step, bool) { return in.fresh(), true }
