package reconcile

import (
	"fmt"
	"strings"
	"time"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

func heldRaw(in *Input) (Step, bool) {
	if in.Record.Raw == nil || doubtful(in.Record.Raw) || in.asksAgain() || in.Order.read && in.costsNothing() {
		return Step{}, false // these hold nothing up: they are kept for a person alone
	}
	s := Step{Action: ActWait, State: Unread, Mend: in.unreadMend(in.Record.Raw),
		Reason: "a reply that spent something could not be read and is kept",
		Why:    unreadWhy(in.Record.Raw)}
	// The access token held stays in force; retired ones are still given up. Where
	// the reply was a new grant's, the one held is refreshed as ever.
	if in.Record.Raw.Op != opRefresh && in.Record.Grant != nil {
		return kept(in, s), true
	}
	if in.disowns() {
		s.Why += "; " + disownedReason + ": " + in.Record.Verified.Why
	}
	if at, ok := in.anewAt(); ok {
		if !in.Now.Before(at) {
			return in.anew(s), true
		}
		s.Next, s.Reason = at, s.Reason+"; a new token is obtained by the grant when the one held is about to end, or no longer honoured"
	}
	if step, ok := retired(in); ok {
		if step.Action != ActWait {
			return step, true
		}
		s.Next = earlier(s.Next, step.Next)
	}
	return in.asking(s), true
}

// anewAt is when a new token is obtained although a refresh's reply is kept that
// could not be read: when the access token held is about to end, and until then
// a person has the time to mend the type and to retry. It is never where only a
// person could log in, nor where the configuration asks for another token: what
// replaces the one held is no matter of a reply.
func (in *Input) anewAt() (time.Time, bool) {
	raw, g := in.Record.Raw, in.Record.Grant
	if raw.Op != opRefresh || g == nil || g.ExpiresAt.IsZero() && !in.disowns() || in.Want == nil || in.Traits.Interactive || in.Traits.Static {
		return time.Time{}, false
	}
	if in.Origins != "" || in.Guarded != "" || len(in.WantsNew) > 0 {
		return time.Time{}, false // it would be another token than the one held: that is judged first
	}
	var at time.Time
	if !g.ExpiresAt.IsZero() {
		at = g.ExpiresAt.Add(-in.Want.Refresh.MinRemaining)
	}
	if in.disowns() { // it is of no use any more, however long it would live
		at = earlier(at, renewableAt(&in.Record.Verified, in.Now))
	}
	if soonest := raw.At.Add(in.Want.Retry.Initial); at.Before(soonest) {
		at = soonest
	}
	return at, true
}

// anew obtains a new token by the grant while a reply is kept. It is kept until
// the new one is there.
func (in *Input) anew(s Step) Step {
	if wait, blocked := backedOff(in); blocked {
		if step, ok := retired(in); ok && step.Action != ActWait {
			return step
		}
		return wait
	}
	s.Action, s.Cause = ActReplace, causeExpired
	if s.Heals = in.disowns(); s.Heals {
		s.Reason += ", and " + disownedReason + ": a new one is obtained by the grant"
		return s
	}
	s.Reason += ", and the token held is about to end: a new one is obtained by the grant"
	return s
}

// ended is a credential whose account was ended by an action: no login will
// succeed again, unless it is another account's, or one at another address, or a
// person knows better: by a login of theirs, where one is needed.
func ended(in *Input) (Step, bool) {
	f := in.Record.Failure
	if !accountEnded(f) || in.Fresh || len(in.WantsNew) > 0 || in.Origins != "" {
		return Step{}, false
	}
	if in.Order.Kind == OrderRetry && in.Traits.Interactive {
		return needsLogin(in, f.Message), true
	}
	if in.Order.Kind == OrderRetry {
		return Step{Action: ActReplace, Cause: causeExpired, State: Pending, Reason: f.Message + ", and a person says that it may be used again"}, true
	}
	if step, ok := retired(in); ok && step.Action != ActWait {
		return step, true
	}
	return Step{Action: ActWait, State: Stopped, Reason: f.Message, Why: f.Message, Mend: f.Hint}, true
}

// accountEnded says whether a failure stands for the end of an account.
func accountEnded(f *state.Failure) bool { return f != nil && f.Op == opAction && f.Stopped }

func changedOrigin(in *Input) (Step, bool) {
	if in.Origins == "" || in.Record.Grant == nil {
		return Step{}, false
	}
	if in.Guarded == "" && in.preventsDestroy() {
		return kept(in, prevented(in, in.Origins)), true
	}
	if in.Guarded == "" && in.Traits.Interactive && in.Order.Kind != OrderLogin {
		return kept(in, needsAnotherLogin(in, in.Origins+": the new address needs a login of its own")), true
	}
	if in.Guarded == "" {
		if wait, blocked := backedOff(in); blocked {
			return kept(in, wait), true
		}
		return Step{Action: ActReplace, Cause: causeReplace, State: Pending, Reason: in.Origins + ": a new grant begins there", Origin: in.Origins}, true
	}
	return kept(in, Step{Action: ActWait, State: Held, Mend: "tokend approve", Reason: in.Origins + "; nothing is sent there before a person approves", Why: in.Guarded}), true
}

func obtain(in *Input) (Step, bool) {
	if in.Record.Grant != nil {
		return Step{}, false
	}
	if in.Traits.Static {
		if wait, blocked := backedOff(in); blocked {
			return wait, true
		}
		return Step{Action: ActStatic, State: Pending, Reason: "its key is taken over: there is nothing to obtain"}, true
	}
	if in.Traits.Interactive {
		if step, ok := retired(in); ok && step.Action != ActWait {
			return step, true
		}
		why := "nobody has logged in yet"
		if in.Record.Head.Generation > 0 {
			why = "its token was given up"
		}
		return needsLogin(in, why+in.unlessImported()), true
	}
	if wait, blocked := backedOff(in); blocked {
		if step, ok := retired(in); ok && step.Action != ActWait {
			return step, true
		}
		return wait, true
	}
	reason := "it has no token yet"
	if in.Record.Head.Generation > 0 {
		reason = "its token was given up"
	}
	return Step{Action: ActObtain, State: Pending, Reason: reason + in.unlessImported()}, true
}

// unlessImported says what else may come where no secret was read.
func (in *Input) unlessImported() string {
	if in.Import != importRepeated || !in.Traits.HasRefresh {
		return ""
	}
	return "; an import block brought it a refresh token before, and whether that brings another one is known at apply"
}

func needsLogin(in *Input, why string) Step {
	s := Step{Action: ActWait, State: NeedsLogin, Reason: "a person has to log in: " + why, Why: why, Mend: in.mend("login")}
	if f := in.Record.Failure; f != nil && f.Class == classLogin {
		s.Why = f.Message
	} else if f := in.failureOf(opRefresh); f != nil && f.Op == opRefresh && in.Record.Grant != nil && in.Record.Grant.RefreshState == state.RefreshRefused {
		said := "its refresh token was refused"
		if in.neverAnswered() {
			said = neverAnswered
		}
		s.Why += " (" + said + ": " + f.Message + ")"
	}
	if g := in.Record.Grant; g != nil && g.ExpiresAt.After(in.Now) {
		s.Next = g.ExpiresAt // in the past it would be looked at again at once, and again
	}
	return s
}

// needsAnotherLogin is needsLogin where the token held works and is to be replaced
// all the same. That is the reason, and no failure from before is: what became of the
// last login is said after it.
func needsAnotherLogin(in *Input, why string) Step {
	s := needsLogin(in, why)
	s.Why = why
	if f := in.Record.Failure; f != nil && f.Class == classLogin && (f.Op == opExchange || f.Op == opPoll) {
		s.Why += " (the last login failed: " + f.Message + ")"
	}
	return s
}

// backedOff says whether a failure, or a secret that is still being read, keeps the
// grant from being tried now, and until when.
func backedOff(in *Input) (Step, bool) {
	if wait, reads := in.readsGrant(); reads {
		return wait, true
	}
	f := in.Record.Failure
	if in.Session != nil && !in.Fresh && in.Order.Kind != OrderRetry {
		return in.waitsForSession(), true
	}
	if f == nil || in.Fresh || in.Order.Kind == OrderRetry {
		return Step{}, false
	}
	if in.madeAnew(f) && f.Reached == 0 {
		return Step{}, false
	}
	if f.Stopped && !in.madeAnew(f) {
		s := Step{Action: ActWait, State: Stopped, Reason: "the provider refused it for good", Why: f.Message, Mend: mendFailure(in, f)}
		s.Why += in.stillGood()
		return s, true
	}
	if at := in.nextTry(f); in.Now.Before(at) {
		if f.Class == classUnreadable && in.asksAgain() {
			return in.unreadAgain(at), true
		}
		if f.Class == classCounted {
			return Step{Action: ActWait, State: Failing, Next: at, Reason: in.sparesAccount(f), Why: in.whyFailed(f), Mend: mendFailure(in, f)}, true
		}
		return Step{Action: ActWait, State: Failing, Next: at, Reason: "its last try failed", Why: in.whyFailed(f), Mend: mendFailure(in, f)}, true
	}
	return Step{}, false
}

// stillGood says of a credential whose grant is stopped that the token which it holds
// works all the same, and until when; "" where it may not.
func (in *Input) stillGood() string {
	g := in.Record.Grant
	switch {
	case g == nil || g.AccessToken.Empty() || in.disowns() || in.mayHaveEnded() || !g.ExpiresAt.IsZero() && !in.Now.Before(g.ExpiresAt):
		return ""
	case canRefresh(in, g):
		return " (the token held is refreshed meanwhile)"
	case g.ExpiresAt.IsZero():
		return " (the token held has no end that is known)"
	}
	return " (the token held is good until " + g.ExpiresAt.UTC().Format(time.RFC3339) + ", and " + whyNoRefresh(in, g) + ")"
}

// locks says that a grant's failures count against an account, and that there have
// been as many as it is given in a row.
func (in *Input) locks(f *state.Failure) bool {
	return f.Op == opGrant && in.Traits.Lockout && f.Reached >= lockoutCount
}

// sparesAccount says what an account that counts failures is spared.
func (in *Input) sparesAccount(f *state.Failure) string {
	return fmt.Sprintf("%d logins in a row may count against its account, so there is none before %s (tokend retry allows one at once)", f.Reached, f.NextAt.UTC().Format(time.RFC3339))
}

// whyFailed is why a call fails, and why it is not tried sooner where that has a
// reason of its own.
func (in *Input) whyFailed(f *state.Failure) string {
	why := f.Message
	if f.Class == classCounted {
		if why = "a new token has to be obtained by the grant"; in.RefreshFailure != nil {
			why = in.RefreshFailure.Message
		}
	}
	if in.locks(f) && !f.Stopped {
		why += "; " + in.sparesAccount(f)
	}
	return why
}

// nextTry is when a failed call is tried again: as the failure says, but soon
// once the token held has expired, since a sink then holds one that no longer
// works. What the provider asked for, and an account that more tries would
// lock, go before haste.
func (in *Input) nextTry(f *state.Failure) time.Time {
	g := in.Record.Grant
	patient := f.Class == classThrottled || f.Class == classUnreadable || in.locks(f)
	if patient || g == nil || g.ExpiresAt.IsZero() {
		return f.NextAt
	}
	soon := g.ExpiresAt
	if f.LastAt.After(soon) {
		soon = f.LastAt
	}
	if soon = soon.Add(expiredBackoff); soon.Before(f.NextAt) {
		return soon
	}
	return f.NextAt
}

func mendFailure(in *Input, f *state.Failure) string {
	if f.Class == classSession && in.Session != nil {
		return in.waitsForSession().Mend
	}
	if f.Hint != "" {
		return f.Hint + ", then: " + in.mend("retry")
	}
	return in.mend("retry")
}

func replace(in *Input) (Step, bool) {
	tainted := in.Record.Head.Flags&state.FlagTainted != 0
	if !tainted && len(in.WantsNew) == 0 {
		return Step{}, false
	}
	s := Step{Action: ActReplace, State: Pending, Cause: causeTaint, Reason: in.whyTainted()}
	if len(in.WantsNew) > 0 {
		// A taint does not carry a change past the guard.
		s.Cause, s.Inputs = causeReplace, in.WantsNew
		s.Reason = strings.Join(in.WantsNew, ", ") + " changed"
		if in.Guarded != "" {
			return heldReplace(in, s), true
		}
	}
	if wait, reads := in.readsGrant(); reads && in.followsKey() {
		return kept(in, wait), true
	}
	if in.followsKey() {
		s.Action, s.Reason = ActStatic, s.Reason+": its key is taken over anew"
		return s, true
	}
	if len(in.WantsNew) > 0 && in.preventsDestroy() {
		return kept(in, prevented(in, s.Reason)), true
	}
	if in.Traits.Interactive {
		return kept(in, needsAnotherLogin(in, s.Reason+"; the old token stays in force until then")), true
	}
	if wait, blocked := backedOff(in); blocked {
		return kept(in, wait), true
	}
	if in.Lacks != "" {
		return kept(in, Step{Action: ActWait, State: Waiting, Reason: waitsFor([]string{in.Lacks}), Why: waitsFor([]string{in.Lacks})}), true
	}
	return s, true
}

// whyTainted says why a token is replaced that looks good.
func (in *Input) whyTainted() string {
	f := in.Record.Failure
	switch {
	case in.Traits.Session != spec.SessionOnePerAccount:
	case f != nil && f.Class == classSession:
		return "a login of another credential, with the same account, has ended its token"
	case in.Record.LostPoll != "" || f != nil && (f.Op == opGrant && f.Class == classUnknown || f.Op == opExchange):
		return "a login whose reply was lost may have ended its token"
	}
	return "a person tainted it"
}

// preventsDestroy says whether a change of configuration may not give the token
// up. Unlike a removal, a replacement is of a block that is there to say so.
func (in *Input) preventsDestroy() bool { return in.Want != nil && in.Want.Lifecycle.PreventDestroy }

func prevented(in *Input, why string) Step {
	return Step{Action: ActWait, State: Held, Reason: why + ", but prevent_destroy holds its replacement back", Why: why + ", but prevent_destroy is set",
		Mend: "set lifecycle { prevent_destroy = false } in its block, or undo the change"}
}

// heldReplace keeps the old grant going while the guard holds its replacement.
func heldReplace(in *Input, s Step) Step {
	return kept(in, Step{Action: ActWait, State: Held, Reason: s.Reason + ", but " + in.Guarded, Why: in.Guarded, Mend: "tokend approve"})
}

// kept waits for something, and meanwhile keeps the grant in force alive and
// lets the retired ones go.
func kept(in *Input, wait Step) Step {
	if step, ok := upkeep(in); ok {
		return step
	}
	if at := in.upkeepAt(); !at.IsZero() && (wait.Next.IsZero() || at.Before(wait.Next)) {
		wait.Next = at
	}
	return wait
}

// upkeepAt is when upkeep will have something to do.
func (in *Input) upkeepAt() time.Time {
	var next time.Time
	if g := in.Record.Grant; g != nil && canRefresh(in, g) {
		if next = in.dueInTurn(); !in.Now.Before(next) {
			s, _ := refresh(in)
			next = s.Next
		}
	}
	if s, ok := in.healing(); ok {
		next = earlier(next, s.Next)
	}
	next = earlier(next, in.verifyAt())
	if s, ok := retired(in); ok && !s.Next.IsZero() && (next.IsZero() || s.Next.Before(next)) {
		next = s.Next
	}
	return next
}

// upkeep is what keeps the grant in force alive and the retired ones going
// away while something else is waited for.
func upkeep(in *Input) (Step, bool) {
	if step, ok := refresh(in); ok && step.Calls() && step.Action == ActRefresh {
		return step, true
	}
	if step, ok := in.healing(); ok && step.Action == ActRefresh {
		return step, true
	}
	if step, ok := verifyDue(in); ok {
		return step, true
	}
	if step, ok := retired(in); ok && step.Action != ActWait {
		return step, true
	}
	return Step{}, false
}
