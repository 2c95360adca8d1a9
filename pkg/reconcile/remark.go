package reconcile

import (
	"fmt"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A credential whose token is good is ready, also where something is wrong that will
// be felt later: then nobody has to find that out from what breaks. A remark says so
// while there is time, beside the state.

// remark adds to a step of what is ready what is to be known of it all the same.
func (in *Input) remark(s *Step) {
	if s.State != Ready || !in.Declared || in.Record.Grant == nil || unspent(in.Record.Grant) {
		return
	}
	switch {
	case in.grantStopped() && !in.Fresh && !in.madeAnew(in.Record.Failure):
		in.remarkStopped(s)
	case in.loginMayHaveEnded() && !in.honouredSince():
		s.Why, s.Mend = endedByLogin+"; a login gives a new one", in.mend("login")
	case in.refreshStopped():
		in.remarkRefused(s)
	case in.refreshRefused():
		in.remarkByGrant(s)
	case len(livingReplies(in.Record.Kept, in.Now)) > 0:
		in.remarkBeside(s)
	case in.Verify != nil && in.Measured.silent != "" && s.Why == "":
		s.Why = "whether its API still honours its tokens is not known since " + in.Measured.since.UTC().Format(time.RFC3339) + ": " + in.Measured.silent
		in.remarkSilent(s)
	}
}

// remarkSilent says how often the API was asked in vain, and when it is asked next.
func (in *Input) remarkSilent(s *Step) {
	if n := in.Measured.silences; n > 1 {
		s.Why += fmt.Sprintf(", %d times in a row", n)
		if at := in.verifyAt(); at.After(in.Now) {
			s.Why += "; it is asked again at " + at.UTC().Format(time.RFC3339)
		}
	}
}

// remarkRefused says that only a person can go on, which a good token hides.
func (in *Input) remarkRefused(s *Step) {
	g := in.Record.Grant
	s.Mend, s.Why = in.mend("login"), whyNoRefresh(in, g)
	if f := in.failureOf(opRefresh); f != nil && f.Op == opRefresh {
		s.Why += ": " + f.Message
	}
	s.Stops, s.Why = true, s.Why+" (the token held is good until "+g.ExpiresAt.UTC().Format(time.RFC3339)+"; a login gives a new one)"
	in.isReason(s)
}

// isReason has a plan say what is to be known, where there is nothing else to say.
func (in *Input) isReason(s *Step) {
	if s.Action == ActNone || s.Action == ActWait && len(in.Record.Retiring) == 0 {
		s.Reason = s.Why
	}
}

// refreshStopped says that the refresh token of a person's token was refused, as on an
// order, long before that has to be replaced.
func (in *Input) refreshStopped() bool {
	g := in.Record.Grant
	return in.Traits.Interactive && in.Held.HasRefresh && g.RefreshState == state.RefreshRefused && !g.ExpiresAt.IsZero()
}

// remarkStopped says that the grant was refused for good, which a good token hides.
func (in *Input) remarkStopped(s *Step) {
	g, f := in.Record.Grant, in.Record.Failure
	s.Mend, s.Why = mendFailure(in, f), "obtaining a new token is stopped since "+f.LastAt.UTC().Format(time.RFC3339)+": "+f.Message
	switch {
	case canRefresh(in, g):
		s.Why += " (the token held is refreshed meanwhile)"
	case !g.ExpiresAt.IsZero():
		s.Stops, s.Why = true, s.Why+" (the token held is good until "+g.ExpiresAt.UTC().Format(time.RFC3339)+", and "+whyNoRefresh(in, g)+")"
	}
	in.isReason(s)
}

// grantStopped says that the grant of a token was refused for good, so that it is not
// asked for another one before its inputs change.
func (in *Input) grantStopped() bool {
	f := in.Record.Failure
	return f != nil && f.Op == opGrant && f.Stopped && !in.Traits.Interactive && !in.Traits.Static
}

// grantFailed says that the grant of a token failed when it was asked for another one, as
// by an order to refresh one whose API has no refresh, and that nothing has changed since.
func (in *Input) grantFailed() bool {
	f := in.Record.Failure
	return f != nil && f.Op == opGrant && f.Class != classCounted && !in.Fresh && !in.Traits.Interactive && !in.Traits.Static
}

// triedAgain is a person's word that a grant which failed may be tried again, while the
// token held is good and nothing else has failed. Whether it succeeds is known at once
// then, and not when that token ends.
func triedAgain(in *Input) (Step, bool) {
	if in.Order.Kind != OrderRetry || !in.grantStopped() && !in.grantFailed() || in.Record.Grant == nil || in.failureOf(opRefresh) != nil {
		return Step{}, false
	}
	failed := "failed"
	if in.Record.Failure.Stopped {
		failed = "was stopped"
	}
	return Step{Action: ActReplace, Cause: causeExpired, State: Pending, Reason: "a person wants its grant tried again, which " + failed}, true
}

const endedByLogin = "a login whose answer was lost may have ended its token"

// loginMayHaveEnded says that it is not known whether a person's login came about, which
// ends the token held where an account has but one. Another token is not asked of a
// person for a mere perhaps; but where the API can be asked about the one held, it is.
func (in *Input) loginMayHaveEnded() bool {
	return in.Record.LostPoll != "" && in.Traits.Session == spec.SessionOnePerAccount
}

// honouredSince says that the API honours the token, as it was asked after the answer
// was lost.
func (in *Input) honouredSince() bool {
	return in.Measured.sound && in.Measured.asked == in.Record.LostPoll
}

// stillReady: the token held is good however its grant was refused, as after an order
// to refresh one whose API has no refresh. What the refusal means for it is said.
func (p *performer) stillReady() {
	in := p.ob.in
	if in.Record.Grant == nil {
		return
	}
	in.Now, in.Order, in.Intent, in.Fresh, in.Anew = p.w.now(), Order{}, nil, false, false
	if s := decide(&in); s.State == Ready {
		p.r.again = p.r.again || s.acts()
		p.r.next, p.r.standing, p.r.revokesAt = s.Next, standingOf(s), in.revokesAt(s)
	}
}
