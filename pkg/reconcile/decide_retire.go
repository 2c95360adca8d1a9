package reconcile

import (
	"slices"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// retired works the list of old grants off, oldest first.
func retired(in *Input) (Step, bool) {
	var wait Step
	waiting := false
	for i := range in.Record.Retiring {
		s := retiredAt(in, i)
		if s.Action != ActWait {
			return s, true
		}
		if !waiting || (!s.Next.IsZero() && s.Next.Before(wait.Next)) {
			wait, waiting = s, true
		}
	}
	if !waiting {
		return Step{}, false
	}
	// Waiting for an old token's end does not make the credential less ready.
	wait.State = Ready
	if f := in.fresh(); f.Next.After(in.Now) && (wait.Next.IsZero() || f.Next.Before(wait.Next)) {
		wait.Next = f.Next
	}
	return wait, true
}

// revokesAt is when a step that waits has something to do for an old token, and zero
// where it is for the one in force.
func (in *Input) revokesAt(s Step) time.Time {
	if s.Action != ActWait || s.State != Ready || len(in.Record.Retiring) == 0 || s.Next.Equal(in.fresh().Next) {
		return time.Time{}
	}
	return s.Next
}

// leaving works the old grants of a removed credential off: nobody uses any of
// them any more, so that none waits for its overlap, or for another.
func leaving(in *Input) Step {
	var wait Step
	for i := range in.Record.Retiring {
		s := retiredAt(in, i)
		if s.Action != ActWait {
			return s
		}
		if wait.Action == ActNone || s.Next.Before(wait.Next) {
			wait = s
		}
	}
	return wait
}

// retiredAt decides about one old grant.
func retiredAt(in *Input, i int) Step {
	g := &in.Record.Retiring[i]
	t := in.RetiredTraits[i]
	s := Step{Retiring: i, State: Pending, Cause: g.Retired.Cause}
	if why, done := nothingToRevoke(in, g, t); done {
		s.Action, s.Reason = ActRelease, why
		return s
	}
	if o, waits := in.goesWithLogin(i); waits {
		return o
	}
	if o, waits := in.overlaps(i); waits {
		return o
	}
	if o, waits := in.takesOverlapping(i); waits {
		return o
	}
	if in.Now.Before(g.Retired.NextAt) && in.Order.Kind != OrderRetry && !in.Order.revokes() {
		return Step{Action: ActWait, Retiring: i, Next: g.Retired.NextAt, State: Failing, Reason: "its revocation failed and is retried",
			Why: "revoking the old token failed: " + g.Retired.Message, Mend: in.mendRevocation(g.Retired)}
	}
	if in.takesInForce(g, t) {
		if !in.Declared && in.Record.Removing != nil && in.forgets() {
			s.Action, s.Reason = ActRelease, "revoking the old token would take the one with it that is left alone: "+in.whyForget()
			return s
		}
		// An ordered revocation that failed, and a new token was obtained meanwhile:
		// what was asked for is done with that one's end. Or it is not certain that
		// both are of one account, as after another password.
		var next time.Time // its refresh token may outlive it
		if g.ExpiresAt.After(in.Now) {
			next = g.ExpiresAt
		}
		s = Step{Action: ActWait, Retiring: i, Next: next, State: Ready, Mend: in.mend("revoke"),
			Reason: "revoking the old token now would take the one in force with it; it waits for that one's revocation"}
		if g.Retired.Cause == causeRevoke {
			s.Why = "its revocation failed, and a new token came meanwhile: " + s.Reason
		}
		return s
	}
	wait, also, ok := in.shared(i)
	if ok {
		return wait
	}
	s = revokeStep(in, i)
	s.Reason += also
	return s
}

// takesInForce says that the revocation of an old grant would end the token in force, or
// may: they share their fate, or have one refresh token that it ends.
func (in *Input) takesInForce(g *state.Grant, t Traits) bool {
	cur := in.Record.Grant
	if cur == nil || in.Held.Static {
		return false
	}
	if t.Session == spec.SessionSharedGrant && !in.anotherAccount(g) {
		return true
	}
	return g.Retired.Cause == causeRevoke && ofOneLogin(cur, g) && !in.endsAccessAlone(g, t)
}

// endsAccessAlone says that the revocation of an old grant leaves its refresh token alone:
// its API has access tokens revoked that a refresh replaced.
func (in *Input) endsAccessAlone(g *state.Grant, t Traits) bool {
	return t.RevokeNamesAccess && slices.Contains(t.RevokeOn, causeRefresh) && !accessDead(g, in.Now)
}

// ofOneLogin says that two grants have one refresh token.
func ofOneLogin(a, b *state.Grant) bool {
	return !a.RefreshToken.Empty() && a.RefreshToken.Equal(b.RefreshToken)
}

func accessDead(g *state.Grant, now time.Time) bool {
	return g.AccessToken.Empty() || !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt.Add(g.Late))
}

// goesWithLogin says what becomes of what a kept reply brought to the login in force.
func (in *Input) goesWithLogin(i int) (Step, bool) {
	g := &in.Record.Retiring[i]
	s := Step{Retiring: i, State: Ready, Cause: g.Retired.Cause}
	switch {
	case in.Record.Grant == nil || in.Held.Static || g.Retired.Cause != causeLogin:
		return s, false
	case !in.Declared && in.Record.Removing != nil && in.forgets():
		s.Action, s.Reason = ActRelease, "what a kept reply brought is of the login that is left alone: "+in.whyForget()
		return s, true
	}
	s.Action, s.Reason = ActWait, "what a kept reply brought is of the login in force, and is revoked with it"
	for _, end := range [...]time.Time{g.RefreshUntil, g.ExpiresAt} {
		if !end.IsZero() && end.Add(g.Late).After(in.Now) {
			s.Next = end.Add(g.Late)
		}
	}
	return s, true
}

// overlaps says what an old grant waits for before it may be revoked, beside the new one
// that every sink is to hold. While a token is in force, also of a credential that is
// forgotten, or whose removal waits, it is with whoever uses it, who may not have picked
// it up yet.
func (in *Input) overlaps(i int) (Step, bool) {
	g := &in.Record.Retiring[i]
	s := Step{Retiring: i, State: Pending, Cause: g.Retired.Cause}
	if !in.Declared && in.Record.Grant == nil || g.Retired.Cause == causeRevoke || g.Retired.Cause == causeRemove || in.Order.revokes() {
		return s, false
	}
	lc := in.Record.Lifecycle
	most := max(lc.MaxOverlap, lc.Overlap)
	limit := in.triedBy(g.Retired.Since.Add(most), most)
	switch {
	case !in.Now.Before(limit): // also at that very instant, or it would be looked at again and again
	case g.Retired.DeliveredAt.IsZero() && len(in.Holding) == 0 && !in.Unknown && len(in.Telling) == 0:
		s.Action, s.Cause, s.Reason = ActNote, "", "every sink holds the new token: the old one's overlap begins"
		return s, true
	case g.Retired.DeliveredAt.IsZero():
		s.Action, s.Next, s.Reason = ActWait, limit, "the old token lives on until every sink holds the new one"
		return s, true
	case in.Now.Before(g.Retired.DeliveredAt.Add(lc.Overlap)):
		s.Action, s.Next, s.Reason = ActWait, g.Retired.DeliveredAt.Add(lc.Overlap), "the old token lives on for its overlap"
		return s, true
	}
	return s, false
}

// takesOverlapping says that the revocation of an old grant would end another one, which
// lives on for its overlap.
func (in *Input) takesOverlapping(i int) (Step, bool) {
	g := &in.Record.Retiring[i]
	shared := in.RetiredTraits[i].Session == spec.SessionSharedGrant
	for j := range in.Record.Retiring {
		other := &in.Record.Retiring[j]
		sameLogin := !g.RefreshToken.Empty() && g.RefreshToken.Equal(other.RefreshToken)
		if j == i || !sameLogin && (!shared || in.apart(g, other)) {
			continue
		}
		if o, waits := in.overlaps(j); waits {
			return Step{Action: ActWait, Retiring: i, Next: o.Next, State: Pending, Cause: g.Retired.Cause,
				Reason: "revoking the old token now would take another with it, which is of the same account or login and may still be in use"}, true
		}
	}
	return Step{}, false
}

// triesBeforeGivingUp is how many tries of a revocation have to fail before a
// person is told how to give it up, and let the token live on: until then it may
// be an outage that passes.
const triesBeforeGivingUp = 10

// mendRevocation is the command for a revocation that failed.
func (in *Input) mendRevocation(r *state.Retired) string {
	if r.Attempts < triesBeforeGivingUp {
		return in.mend("retry")
	}
	return in.mend("revoke --forget")
}

// revokes says that an order has tokens revoked at once.
func (o Order) revokes() bool { return o.Kind == OrderRevoke || o.Kind == OrderShutdown }

const shutdownReason = "the daemon stops, and revoke_on_shutdown is set"

// atShutdown revokes what shall not outlive the daemon: the token in force, then
// what waits among the old ones. What its API cannot revoke is kept, and so is what
// the guard has not let go ([observed.takeLifecycle]).
func atShutdown(in *Input) Step {
	const reason = shutdownReason
	switch {
	case in.Record.Grant != nil && in.Held.HasRevoke && !in.Traits.Static && in.Record.Lifecycle.RevokeOnShutdown:
		return Step{Action: ActRetire, Cause: causeRevoke, State: Pending, Reason: reason}
	case in.Record.Grant == nil && len(in.Record.Retiring) > 0:
		return retiredAt(in, 0)
	}
	return Step{Action: ActWait, State: Ready, Reason: reason + ", but there is nothing to revoke, or the guard has not let it go"}
}

// nothingToRevoke says why an old grant can be let go without a call.
func nothingToRevoke(in *Input, g *state.Grant, t Traits) (string, bool) {
	accessDead := accessDead(g, in.Now)
	refreshDead := g.RefreshToken.Empty() || (!g.RefreshUntil.IsZero() && !in.Now.Before(g.RefreshUntil.Add(g.Late)))
	along, ordered := g.Retired.Cause == causeLogin, g.Retired.Cause == causeRevoke
	wanted := slices.Contains(t.RevokeOn, g.Retired.Cause) || ordered || along ||
		(g.Retired.Cause == causeTaint || g.Retired.Cause == causeExpired) && slices.Contains(t.RevokeOn, causeReplace)
	cur := in.Record.Grant
	if in.Held.Static {
		cur = nil // a key is of no session
	}
	switch {
	case !t.HasRevoke:
		return "its API has no revocation; the old token is forgotten", true
	case !wanted:
		return "its API does not ask for a revocation here; the old token is forgotten", true
	case refreshDead && knownDead(&in.Record, g):
		return "the old token is revoked for another credential, which had the same", true
	case accessDead && refreshDead:
		return "the old token has expired by itself", true
	case needsLiving(g, t) && accessDead && !t.HasRefresh:
		return "the old token has expired by itself", true
	case needsLiving(g, t) && g.AccessToken.Empty() && g.RefreshState == state.RefreshRefused:
		return "it was a refresh token alone, which was refused: it is dead", true
	case needsLiving(g, t) && accessDead && g.RefreshState == state.RefreshRefused:
		return "the old token has expired and its refresh token was refused: both are dead", true
	case needsLiving(g, t) && accessDead && g.RefreshState == state.RefreshIndeterminate:
		return "the old token has expired, and revoking what may have come of its refresh token would spend that a second time; it is counted as an orphan", true
	case cur != nil && !ordered && t.Session == spec.SessionSharedGrant && sameAccount(cur, g):
		return "revoking the old token would take the one in force with it", true
	case cur != nil && t.Session == spec.SessionOnePerAccount && !along && sameAccount(cur, g) && !g.GrantedAt.After(cur.GrantedAt):
		return "the new login has ended the old token already", true
	case cur != nil && !along && !ordered && ofOneLogin(cur, g) && !t.RevokeNamesAccess:
		return "the token in force shares its refresh token", true
	case cur != nil && !cur.AccessToken.Empty() && cur.AccessToken.Equal(g.AccessToken):
		return "it is the token in force", true
	case cur != nil && !along && !ordered && ofOneLogin(cur, g) && (accessDead || !slices.Contains(t.RevokeOn, causeRefresh)):
		return "the token in force has the same refresh token, so that both are of one login, which goes on", true
	}
	return "", false
}

const needsAccess = "access_token"

// needsLiving says that a grant's revocation needs a living access token: because its
// API says so, or because the request names one and there has been none yet, as of a
// refresh token that was taken over.
func needsLiving(g *state.Grant, t Traits) bool {
	return t.RevokeNeeds == needsAccess || g.AccessToken.Empty() && t.RevokeNamesAccess && t.HasRefresh
}

func revokeStep(in *Input, i int) Step {
	g := &in.Record.Retiring[i]
	t := in.RetiredTraits[i]
	s := Step{Action: ActRevoke, Retiring: i, Cause: g.Retired.Cause, State: Pending, Reason: in.revokeReason(g.Retired.Cause)}
	if needsLiving(g, t) && accessDead(g, in.Now) {
		s.Action, s.Reason = ActRevive, "revoking the old token needs a living access token, so it is refreshed first"
	}
	return s
}

func (in *Input) revokeReason(cause string) string {
	switch cause {
	case causeRemove:
		if in.Declared {
			return "nothing uses it any more" // declared again, or what a kept reply brought
		}
		return "it is no longer declared"
	case causeRevoke:
		switch {
		case in.Order.Kind == OrderShutdown:
			return shutdownReason
		case in.Record.Lifecycle.RevokeOnShutdown && in.Order.Kind != OrderRevoke:
			return "it was not to outlive the daemon (revoke_on_shutdown), or a person wants it revoked" // the record does not tell them apart
		}
		return "a person wants it revoked"
	case causeRefresh:
		return "a refresh replaced it and the API leaves the old one alive"
	}
	return "a new token replaced it"
}
