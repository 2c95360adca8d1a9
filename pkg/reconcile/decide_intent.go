package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"tokend/pkg/providers"
	"tokend/pkg/state"
)

func openAction(in *Input) (Step, bool) {
	if in.Intent == nil || in.Intent.Op != opAction {
		return Step{}, false
	}
	return Step{Action: ActSettle, State: Failing,
		Reason: fmt.Sprintf("whether the action %q reached the provider is unknown; it is not repeated", in.Intent.Action)}, true
}

func openExchange(in *Input) (Step, bool) {
	if in.Intent == nil || in.Intent.Op != opExchange {
		return Step{}, false
	}
	return Step{Action: ActSettle, State: NeedsLogin, Mend: in.mend("login"),
		Reason: "the reply to a login's code exchange was lost; a code works once, so a person has to log in again"}, true
}

// openPoll: a device code may be asked about again (RFC 8628 section 3.5), which
// whoever polls does. The lost reply may have brought the token, though.
func openPoll(in *Input) (Step, bool) {
	if in.Intent == nil || in.Intent.Op != opPoll {
		return Step{}, false
	}
	return Step{Action: ActSettle, State: NeedsLogin, Mend: in.mend("login"),
		Reason: "the reply to a question whether a login was approved was lost; if it brought the token, nobody saw it"}, true
}

// openRevive: the refresh token of a grant that is given up may be spent.
func openRevive(in *Input) (Step, bool) {
	if in.Intent == nil || in.Intent.Op != opRevive {
		return Step{}, false
	}
	return Step{Action: ActSettle, State: Pending,
		Reason: "the reply to the refresh of an old token, which its revocation needed, was lost"}, true
}

func openGrant(in *Input) (Step, bool) {
	if in.Intent == nil || in.Intent.Op != opGrant {
		return Step{}, false
	}
	return Step{Action: ActSettle, State: Pending,
		Reason: in.unknown(opGrant, "a grant") + "; a token that nobody saw may exist (counted as an orphan)"}, true
}

// openRevocation: a revocation may have been carried out, and nobody has told those whose
// token it has ended. It is repeated when its time has come.
func openRevocation(in *Input) (Step, bool) {
	i := in.revocationOpen()
	if i < 0 {
		return Step{}, false
	}
	x := in.sharing(i)
	return in.tellsOthers(i), x.with != "" && x.what != sameOverlap
}

// revocationOpen is the retired grant whose revocation was begun and has no answer; -1:
// none's.
func (in *Input) revocationOpen() int {
	if in.Intent == nil || in.Intent.Op != opRevoke {
		return -1
	}
	return slices.IndexFunc(in.Record.Retiring, func(g state.Grant) bool { return g.Generation == in.Intent.Generation })
}

// openRefresh is what an open refresh intent means: a replay inside the type's
// window; nothing special for a refresh token that does not rotate; else the
// token's state is unknown from now on, which the rules below know.
func openRefresh(in *Input) (Step, bool) {
	if in.Intent == nil || in.Intent.Op != opRefresh {
		return Step{}, false
	}
	if in.Record.Grant == nil {
		return Step{Action: ActSettle, State: Pending, Reason: "the grant that was being refreshed is gone"}, true
	}
	if !singleUse(in.Held, in.Record.Grant) {
		return Step{Action: ActSettle, State: Failing,
			Reason: in.unknown(opRefresh, "a refresh") + "; this API's refresh tokens do not change, so it is tried again"}, true
	}
	if w := in.Held.ReplayWindow; w > 0 && !in.Intent.Replay && !in.Intent.LastTry && in.SinceIntentOK && replayLeft(w, in.SinceIntent) > 0 {
		if wait, blocked := refreshBackedOff(in); blocked && in.failureOf(opRefresh).Class != classUnknown {
			if end := in.Now.Add(replayLeft(w, in.SinceIntent)); end.Before(wait.Next) {
				wait.Next = end
			}
			return wait, true
		}
		if wait, early := in.notYetRepeated(); early {
			return wait, true
		}
		return Step{Action: ActReplay, State: Pending,
			Reason: fmt.Sprintf("%s; the API answers a repeated one alike for %s", in.unknown(opRefresh, "a refresh"), w)}, true
	}
	return Step{Action: ActSettle, State: Indeterminate,
		Reason: in.unknown(opRefresh, "a refresh") + "; its refresh token works once, so its state is unknown from now on"}, true
}

// unknown says why it is not known what became of the last call of the kind op: what
// it was answered with does not tell, as far as that is remembered, or nothing was.
func (in *Input) unknown(op, call string) string {
	if f := in.failureOf(op); f != nil && f.Op == op && (f.Class == classUnknown || f.Class == classWalled) && providers.Answered(f.Message) {
		return "the answer to " + call + " does not tell whether it was carried out"
	}
	return "the reply to " + call + " was lost"
}

// indeterminate is what is done with a grant whose refresh token may be spent:
// a new grant at once where no person is needed; else the access token is kept
// while it lives, and the refresh token is tried once more at its end.
func indeterminate(in *Input) (Step, bool) {
	g := in.Record.Grant
	if g == nil || g.RefreshState != state.RefreshIndeterminate {
		return Step{}, false
	}
	lost := in.unknown(opRefresh, "a refresh") + " and its refresh token works once"
	restored := in.Record.Restored.After(g.ObtainedAt)
	if restored {
		lost = "the state went back to an older copy, and its refresh token, which works once, may have been spent since"
	}
	changed := strings.Join(in.WantsNew, ", ") + " changed"
	// By the grant as the configuration says it now, its token would be replaced.
	holds := in.holdsBack()
	if !in.onlyAPerson() {
		if wait, blocked := backedOff(in); blocked {
			if _, reads := in.readsGrant(); reads {
				wait = kept(in, wait) // for how long is not known
			}
			return wait, true
		}
		s := Step{Action: ActReplace, State: Indeterminate, Cause: causeExpired, Why: lost, Reason: lost + ": a new token is obtained by the grant"}
		if len(in.WantsNew) > 0 { // which the guard has to see
			s.Cause, s.Inputs, s.Reason = causeReplace, in.WantsNew, changed+", and "+lost
		}
		return s, true
	}
	if in.mayHaveEnded() {
		// Where the lost refresh took place the access token is gone, too, and else
		// the refresh token is as good as it was: there is nothing to wait for.
		if wait, early := in.notYetTriedLast(lost); early {
			return kept(in, wait), true
		}
		return Step{Action: ActRefresh, State: Indeterminate, Why: lost, Reason: lost + "; the access token may have ended with it, so it is tried one last time"}, true
	}
	if in.disowns() && !restored { // else a newer one may be at work, which the try could end
		if wait, early := in.notYetTriedLast(lost); early {
			return kept(in, wait), true
		}
		return Step{Action: ActRefresh, State: Indeterminate, Why: lost, Reason: lost + "; the API no longer honours its access token, so it is tried one last time"}, true
	}
	at := in.lastTryAt()
	if holds && !g.ExpiresAt.IsZero() && in.Now.Before(at) {
		wait := prevented(in, lost+", and "+changed)
		if in.Guarded != "" {
			wait = Step{Action: ActWait, State: Held, Reason: lost + ", and " + changed + ", but " + in.Guarded, Why: in.Guarded, Mend: "tokend approve"}
		}
		wait.Next, wait.Reason = at, wait.Reason+": the access token is kept while it lives, then the refresh token is tried once more"
		return kept(in, wait), true
	}
	if !g.ExpiresAt.IsZero() && in.Now.Before(at) {
		return kept(in, Step{Action: ActWait, State: Indeterminate, Next: at, Mend: in.mend("login"), Why: lost + ": the token held is kept, and shortly before its end the refresh token is tried one last time; a login now avoids an outage then",
			Reason: lost + "; the access token is kept while it lives, then the refresh token is tried once more"}), true
	}
	if wait, early := in.notYetTriedLast(lost); early {
		return kept(in, wait), true
	}
	return Step{Action: ActRefresh, State: Indeterminate, Why: lost, Reason: lost + "; the access token ends, so it is tried one last time"}, true
}
