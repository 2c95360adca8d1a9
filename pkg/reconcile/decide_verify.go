package reconcile

import (
	"fmt"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// measured is what asking the API for a token has found so far. It is kept in
// memory and counts only for the generation that it was measured on.
type measured struct {
	generation uint64
	at         time.Time // when it was asked last, or as if
	next       time.Time // when it is asked next
	refused    int       // 401 in a row
	warned     bool      // that the path answers, but with something odd, was said
	asked      string    // the [state.Credential].LostPoll after which it was asked; "" after none
	sound      bool      // and it honoured the token then

	// What holds for the next generation too.
	turn   time.Time // when the API was asked last, or as if: who waits for longest is asked next
	silent string    // why it gave no answer when it was asked last; "": it did
	since  time.Time // since when it gives none
	// silences is how many questions in a row were asked until now to which no reply came
	// at all.
	silences int
}

const (
	// verifyConfirm is how soon a first 401 is asked about again: an API that
	// reads a lagging replica refuses a new token for a moment.
	verifyConfirm = 5 * time.Second
	// renewalsPerHour bounds refreshes and grants that happen because the API no
	// longer honours a token: an API that honours none must not see a storm of
	// logins.
	renewalsPerHour = 3
)

// causeVerify: a refresh because the API no longer honours the token.
const causeVerify = "verify"

// startMeasuring is what is taken for measured on a generation that was not
// asked about yet: a new token is asked about after the period, less a jitter;
// after a restart the first questions are spread over the period; and what
// replaced a refused token is asked about at once.
func startMeasuring(m measured, rec *state.Credential, v *spec.Verify, now time.Time, spread float64) measured {
	g := rec.Grant
	if v == nil || g == nil || m.generation == g.Generation {
		return m
	}
	n := measured{generation: g.Generation, at: g.ObtainedAt.Add(-time.Duration(spread * float64(v.Every) / 10)), warned: m.warned, turn: m.turn, silent: m.silent, since: m.since, silences: m.silences}
	switch {
	case rec.Verified.Refused != 0 && now.Sub(g.ObtainedAt) < v.Every && g.ObtainedAt.Sub(rec.Verified.At) < time.Hour:
		n.at = g.ObtainedAt.Add(verifyConfirm - v.Every)
	case now.Sub(n.at) > v.Every || n.at.After(now):
		n.at = now.Add(-time.Duration((1 - spread) * float64(v.Every)))
	}
	return n
}

// verifyAt is when the API is asked next; zero: never. Of a refresh token that was
// taken over there is no token to ask about yet, whatever it waits for.
func (in *Input) verifyAt() time.Time {
	switch {
	case in.Verify == nil || in.Record.Grant == nil || unspent(in.Record.Grant):
		return time.Time{}
	case in.Reading.verify != "":
		return time.Time{} // it is looked at when that was read
	case in.Measured.refused == 1:
		return in.Measured.at.Add(min(verifyConfirm, in.Verify.Every))
	case in.loginMayHaveEnded() && in.Measured.asked != in.Record.LostPoll:
		return in.Measured.at // at once, or when its API asked for
	}
	return in.inTimeFor(in.Measured.at.Add(in.Verify.Every))
}

// verifyTime is how long the API has for an answer before the token is due.
const verifyTime = 3 * time.Second

// inTimeFor is when to ask a question whose period ends at a time. The first that
// would be dropped since the token is due right after that is asked so much earlier that
// it can be answered, but not before half of the period is over.
func (in *Input) inTimeFor(at time.Time) time.Time {
	due := in.due()
	if due.IsZero() || at.After(due) {
		return at
	}
	if due = due.Add(-verifyTime); !in.Measured.at.Before(due) {
		return at
	}
	if half := at.Add(-in.Verify.Every / 2); due.Before(half) {
		return half
	}
	return earlier(due, at)
}

// verifyDue asks the API whether it still honours the token. It spends nothing,
// so it needs no intent.
func verifyDue(in *Input) (Step, bool) {
	if at := in.verifyAt(); at.IsZero() || in.Now.Before(at) {
		return Step{}, false
	}
	return Step{Action: ActVerify, State: Ready, Reason: "it is time to ask the API whether it still honours its token"}, true
}

const disownedReason = "the API no longer honours its token"

// disowned is a token that the API refused twice: refreshed, and where that does
// not help granted anew, at most so often an hour.
func disowned(in *Input) (Step, bool) {
	g, v := in.Record.Grant, &in.Record.Verified
	if !in.disowns() {
		return Step{}, false
	}
	const reason = disownedReason
	why := reason + ": " + v.Why
	wait := Step{Action: ActWait, State: Failing, Reason: reason, Why: why, Mend: in.mend("retry")}
	if in.Dying {
		wait.Next = in.Now.Add(sharedSoon) // until then another grant might bring the same again
		return in.askingOn(wait), true
	}
	if in.Traits.Static {
		wait.Mend = "give its inputs values that the API honours"
		return in.askingOn(wait), true
	}
	if at := renewableAt(v, in.Now); in.Now.Before(at) && in.Order.Kind != OrderRetry {
		wait.Next = at
		often := fmt.Sprintf("; it was renewed %d times within the hour, so the next time is %s", renewalsPerHour, at.UTC().Format(time.RFC3339))
		wait.Why += often
		wait.Reason = wait.Why
		return in.askingOn(wait), true
	}
	if _, useless := in.pastTheWall(); !useless && canRefresh(in, g) && v.Refreshed != g.Generation {
		if blocked, ok := refreshBackedOff(in); ok {
			return in.askingOn(blocked), true
		}
		return Step{Action: ActRefresh, Cause: causeVerify, State: Failing, Heals: true, Reason: reason + ": it is refreshed", Why: why}, true
	}
	if in.Traits.Interactive {
		s := needsLogin(in, why)
		return in.askingOn(s), true
	}
	if blocked, ok := backedOff(in); ok {
		return in.askingOn(blocked), true
	}
	return Step{Action: ActReplace, Cause: causeExpired, State: Failing, Heals: true, Reason: reason + ": a new one is obtained by the grant", Why: why}, true
}

// disowns says that the API refused the token in force, or would.
func (in *Input) disowns() bool {
	g := in.Record.Grant
	return g != nil && in.Record.Verified.Refused == g.Generation && (in.Verify != nil || knownDead(&in.Record, g))
}

// healing is the refresh of a token that the API refused, while something else is
// waited for that keeps a new grant from being asked for; or when it may be made.
func (in *Input) healing() (Step, bool) {
	g, v := in.Record.Grant, &in.Record.Verified
	if !in.disowns() || in.Dying || in.Traits.Static || !canRefresh(in, g) || v.Refreshed == g.Generation {
		return Step{}, false
	}
	if _, useless := in.pastTheWall(); useless {
		return Step{}, false
	}
	if at := renewableAt(v, in.Now); in.Now.Before(at) && in.Order.Kind != OrderRetry {
		return Step{Action: ActWait, Next: at}, true
	}
	if blocked, ok := refreshBackedOff(in); ok {
		return blocked, true
	}
	return Step{Action: ActRefresh, Cause: causeVerify, State: Failing, Heals: true, Reason: disownedReason + ": it is refreshed", Why: disownedReason + ": " + v.Why}, true
}

// asking goes on asking about a token that lives while something else is waited for. A
// person's order is answered first.
func (in *Input) asking(wait Step) Step {
	g := in.Record.Grant
	if g == nil || !g.ExpiresAt.IsZero() && !in.Now.Before(g.ExpiresAt) {
		return wait
	}
	if s, ok := verifyDue(in); ok && in.Order.Kind == OrderNone {
		s.State, s.Why, s.Mend = wait.State, wait.Why, wait.Mend
		return s
	}
	wait.Next = earlier(wait.Next, in.verifyAt())
	return wait
}

// askingOn waits, keeps the grant alive meanwhile, and goes on asking: the API
// may come to honour the token again.
func (in *Input) askingOn(wait Step) Step {
	if s, ok := verifyDue(in); ok {
		s.State, s.Why, s.Mend = wait.State, wait.Why, wait.Mend
		return s
	}
	wait.Next = earlier(wait.Next, in.verifyAt())
	return kept(in, wait)
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// renewableAt is when a token may be renewed once more because the API does not
// honour it.
func renewableAt(v *state.Verified, now time.Time) time.Time {
	var within []time.Time
	for _, t := range v.Renewed {
		if now.Sub(t) < time.Hour {
			within = append(within, t)
		}
	}
	if len(within) < renewalsPerHour {
		return now
	}
	return within[len(within)-renewalsPerHour].Add(time.Hour)
}
