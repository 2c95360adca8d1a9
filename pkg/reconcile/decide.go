package reconcile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Traits are what the decision needs to know of a provider type's grant.
type Traits struct {
	Interactive            bool
	Static                 bool
	Lockout                bool
	HasRefresh             bool
	HasRevoke              bool
	RevokeOn               []string
	RevokeNeeds            string
	RevokeNamesAccess      bool
	Rotates                string // spec.RotatesAlways, …Never, …Observe
	ReplayWindow           time.Duration
	InvalidatesAccessToken bool
	Session                string
}

// Input is everything that one decision about a credential looks at. It is
// gathered first; deciding does no I/O and reads no clock.
type Input struct {
	Now     time.Time
	Address string
	Spread  float64 // in [0,1), fixed for this address on this host

	// What the configuration in force says.
	Declared bool
	Want     *spec.Credential // nil when not Declared
	WantsNew []string         // inputs (and "scopes", "grant", …) whose change forces a new grant
	Origins  string           // words for a changed origin, "" for none
	Traits   Traits           // of the wanted grant
	Fresh    bool             // inputs that were refused have changed since

	// What is recorded.
	Record state.Credential
	Intent *state.Intent
	Held   Traits // of the grant in force
	// RetiredTraits are those of Record.Retiring, index by index.
	RetiredTraits []Traits
	// SinceIntent is the time that has passed since the open intent by a clock
	// that nobody can step; ok is false when that cannot be told (a reboot).
	SinceIntent   time.Duration
	SinceIntentOK bool

	// What the sinks hold.
	Holding []string // sinks that still hold an older or removed token
	Unknown bool     // there are sinks of which that is not known yet
	Telling []string // hooks that are about to tell consumers of what changed in its sinks

	// What holds a change back, in words; "" for nothing.
	Guarded string
	// Quiet is when the files have been quiet long enough for a removal.
	Quiet time.Time

	// What a person asked for.
	Order Order
}

// Order is what a person asked for, by the command line.
type Order struct {
	Kind   OrderKind
	Action string // of OrderAction
	Forget bool   // of OrderRevoke: give a pending revocation up
}

// OrderKind tells orders apart.
type OrderKind string

// The orders.
const (
	OrderNone    OrderKind = ""
	OrderRefresh OrderKind = "refresh"
	OrderRevoke  OrderKind = "revoke"
	OrderTaint   OrderKind = "taint"
	OrderRetry   OrderKind = "retry"
	OrderAction  OrderKind = "action"
	OrderLogin   OrderKind = "login" // a person has completed a login: its code waits to be exchanged
)

// rule is one line of the decision table. It returns false when it does not
// apply.
type rule struct {
	name string
	when func(*Input) (Step, bool)
}

// rules is the decision table of credentials: the first rule that applies
// decides. The order is the meaning; each line says why it stands where it
// stands.
func rules() []rule {
	return []rule{
		{"an action's outcome is unknown", openAction},             // never repeated, so it is settled before anything else happens
		{"a code exchange's outcome is unknown", openExchange},     // a code is never sent twice
		{"a refresh's outcome is unknown", openRefresh},            // before anything may spend the token again
		{"an old grant's refresh is unknown", openRevive},          // before anything may spend that token again
		{"a grant's outcome is unknown", openGrant},                // an orphan may exist; count it and go on
		{"a person wants a kept reply read again", rereadRaw},      // spends nothing
		{"a person gives a pending revocation up", forgetRetiring}, //
		{"a person wants an action", orderedAction},                //
		{"a person wants it revoked", orderedRevoke},               // before a refresh would spend a request on it
		{"a person tainted it", orderedTaint},                      // remembered, then worked on like any reason to replace it
		{"a login was completed", completedLogin},                  // a code lives for seconds
		{"it is no longer declared", undeclared},                   // nothing below concerns an undeclared one
		{"a kept reply waits", heldRaw},                            // what it holds may be the only refresh token
		{"its account was ended", ended},                           // whatever it still has is of no use
		{"its origin changed", changedOrigin},                      // nothing of the old grant goes to the new origin
		{"it has no token", obtain},                                //
		{"its refresh token may be spent", indeterminate},          // before anything may spend it again
		{"it has to be replaced", replace},                         // taint, a changed input
		{"it is due", refresh},                                     // before what can wait
		{"an old token waits to be given up", retired},             //
		{"it is fresh", fresh},                                     //
	}
}

// Decide says what to do now with one credential.
func Decide(in Input) Step {
	for _, r := range rules() {
		if s, ok := r.when(&in); ok {
			s.Address = in.Address
			return s
		}
	}
	return Step{Address: in.Address, Action: ActNone, State: Ready}
}

func (in *Input) mend(command string) string {
	return "tokend " + command + " " + shellAddress(in.Address)
}

// shellAddress is the address as a person would type it into a shell.
func shellAddress(a string) string {
	s := spec.Address(a).Short()
	if strings.ContainsAny(s, `"[]$* `) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// ---- open intents -------------------------------------------------------

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
		Reason: "the reply to a grant was lost; a token that nobody saw may exist (counted as an orphan)"}, true
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
			Reason: "the reply to a refresh was lost; this API's refresh tokens do not change, so it is tried again"}, true
	}
	if w := in.Held.ReplayWindow; w > 0 && !in.Intent.Replay && !in.Intent.LastTry && in.SinceIntentOK && in.SinceIntent < w {
		return Step{Action: ActReplay, State: Pending,
			Reason: fmt.Sprintf("the reply to a refresh was lost; the API answers a repeated one alike for %s", w)}, true
	}
	return Step{Action: ActSettle, State: Indeterminate,
		Reason: "the reply to a refresh was lost; its refresh token works once, so its state is unknown from now on"}, true
}

// lastTryMargin is how long before the end of the access token the last try of
// an indeterminate grant is made.
const lastTryMargin = 30 * time.Second

// indeterminate is what is done with a grant whose refresh token may be spent:
// a new grant at once where no person is needed; else the access token is kept
// while it lives, and the refresh token is tried once more at its end.
func indeterminate(in *Input) (Step, bool) {
	g := in.Record.Grant
	if g == nil || g.RefreshState != state.RefreshIndeterminate || in.Order.Kind == OrderRetry && canRefresh(in, g) {
		return Step{}, false
	}
	const lost = "the reply to a refresh was lost and its refresh token works once"
	if !in.Traits.Interactive {
		if wait, blocked := backedOff(in); blocked {
			return wait, true
		}
		return Step{Action: ActReplace, State: Indeterminate, Cause: causeExpired, Why: lost, Reason: lost + ": a new token is obtained by the grant"}, true
	}
	at := g.ExpiresAt.Add(-lastTryMargin)
	if !g.ExpiresAt.IsZero() && in.Now.Before(at) {
		if step, ok := retired(in); ok && step.Action != ActWait {
			return step, true
		}
		return Step{Action: ActWait, State: Indeterminate, Next: at, Mend: in.mend("login"), Why: lost + ": a login now avoids an outage at the token's end",
			Reason: lost + "; the access token is kept while it lives, then the refresh token is tried once more"}, true
	}
	return Step{Action: ActRefresh, State: Indeterminate, Why: lost, Reason: lost + "; the access token ends, so it is tried one last time"}, true
}

// singleUse reports whether a grant's refresh token must be taken for one that
// works once.
func singleUse(t Traits, g *state.Grant) bool {
	switch t.Rotates {
	case spec.RotatesNever:
		return false
	case spec.RotatesAlways:
		return true
	}
	return g.Rotation != state.RotationKept
}

// ---- orders -------------------------------------------------------------

func rereadRaw(in *Input) (Step, bool) {
	if in.Record.Raw == nil || in.Order.Kind != OrderRetry {
		return Step{}, false
	}
	return Step{Action: ActReread, State: Pending, Reason: "a person wants the kept reply read again"}, true
}

func forgetRetiring(in *Input) (Step, bool) {
	if in.Order.Kind != OrderRevoke || !in.Order.Forget || len(in.Record.Retiring) == 0 {
		return Step{}, false
	}
	return Step{Action: ActRelease, Retiring: 0, State: Pending, Reason: "a person gave its revocation up"}, true
}

func orderedAction(in *Input) (Step, bool) {
	if in.Order.Kind != OrderAction {
		return Step{}, false
	}
	return Step{Action: ActAct, State: Pending, Reason: fmt.Sprintf("a person wants the action %q", in.Order.Action)}, true
}

func orderedRevoke(in *Input) (Step, bool) {
	if in.Order.Kind != OrderRevoke || in.Order.Forget {
		return Step{}, false
	}
	if in.Record.Grant != nil {
		return Step{Action: ActRetire, Cause: causeRevoke, State: Pending, Reason: "a person wants its token revoked"}, true
	}
	if len(in.Record.Retiring) > 0 {
		return retiredAt(in, 0), true
	}
	return Step{}, false
}

func orderedTaint(in *Input) (Step, bool) {
	if in.Order.Kind != OrderTaint || in.Record.Grant == nil {
		return Step{}, false
	}
	return Step{Action: ActNote, Cause: causeTaint, State: Pending, Reason: "a person tainted it"}, true
}

func completedLogin(in *Input) (Step, bool) {
	if in.Order.Kind != OrderLogin || !in.Declared {
		return Step{}, false
	}
	return Step{Action: ActExchange, State: Pending, Cause: causeReplace, Reason: "a person completed a login"}, true
}

// ---- removal ------------------------------------------------------------

func undeclared(in *Input) (Step, bool) {
	if in.Declared {
		return Step{}, false
	}
	r := &in.Record
	switch {
	case r.Grant != nil && r.Lifecycle.PreventDestroy:
		return Step{Action: ActWait, State: Held, Reason: "prevent_destroy holds its removal back",
			Why:  "it is no longer declared, but prevent_destroy was set when it was",
			Mend: "set lifecycle { prevent_destroy = false } in its block and apply, then remove it"}, true
	case in.Guarded != "":
		return Step{Action: ActWait, State: Held, Reason: in.Guarded, Why: in.Guarded, Mend: "tokend approve"}, true
	case in.Now.Before(in.Quiet):
		return Step{Action: ActWait, State: Removing, Next: in.Quiet,
			Reason: "it is no longer declared; the removal waits until the configuration has been quiet for a while",
			Why:    "it is no longer declared"}, true
	case r.Removing == nil && r.Grant != nil:
		cause := causeRemove
		if r.Lifecycle.OnRemove == spec.OnRemoveForget {
			cause = causeForget
		}
		return Step{Action: ActNote, Cause: cause, State: Removing, Reason: "it is no longer declared", Why: "it is no longer declared"}, true
	case in.Unknown && in.Now.Before(removalLimit(r)):
		return Step{Action: ActWait, State: Removing, Next: removalLimit(r), Reason: "its removal waits until its sinks have been looked at", Why: "it is no longer declared"}, true
	case len(in.Holding) > 0 && in.Now.Before(removalLimit(r)):
		return Step{Action: ActWait, State: Removing, Next: removalLimit(r),
			Reason: "its removal waits until " + list(in.Holding) + " no longer holds its token",
			Why:    "waiting for " + list(in.Holding)}, true
	case len(in.Telling) > 0 && in.Now.Before(removalLimit(r)):
		return Step{Action: ActWait, State: Removing, Next: removalLimit(r),
			Reason: "its removal waits until " + list(in.Telling) + " has run", Why: "waiting for " + list(in.Telling)}, true
	case r.Grant != nil && r.Lifecycle.OnRemove == spec.OnRemoveForget:
		return Step{Action: ActDrop, Cause: causeRemove, State: Removing, Reason: "it is no longer declared, and on_remove = \"forget\": its token is left alone"}, true
	case r.Grant != nil:
		return Step{Action: ActRetire, Cause: causeRemove, State: Removing, Reason: "it is no longer declared: its token is given up", Why: "it is no longer declared"}, true
	case len(r.Retiring) > 0:
		return retiredAt(in, 0), true
	}
	return Step{Action: ActDrop, Cause: causeRemove, State: Removing, Reason: "it is no longer declared and nothing of it is left"}, true
}

func removalLimit(r *state.Credential) time.Time {
	if r.Removing == nil {
		return time.Time{}
	}
	return r.Removing.Since.Add(r.Lifecycle.MaxOverlap)
}

// list names a few things in words.
func list(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// ---- obtaining ----------------------------------------------------------

func heldRaw(in *Input) (Step, bool) {
	if in.Record.Raw == nil {
		return Step{}, false
	}
	s := Step{Action: ActWait, State: Unread, Mend: in.mend("retry"),
		Reason: "a reply that spent something could not be read and is kept",
		Why:    "the provider's reply could not be read: " + in.Record.Raw.Message}
	// The access token held stays in force; retired ones are still given up.
	if step, ok := retired(in); ok && step.Action != ActWait {
		return step, true
	}
	return s, true
}

// ended is a credential whose account was ended by an action: no login will
// succeed again, unless it is another account's or a person knows better.
func ended(in *Input) (Step, bool) {
	f := in.Record.Failure
	if f == nil || f.Op != opAction || !f.Stopped || in.Fresh || len(in.WantsNew) > 0 {
		return Step{}, false
	}
	if in.Order.Kind == OrderRetry {
		return Step{Action: ActReplace, Cause: causeExpired, State: Pending, Reason: f.Message + ", and a person says that it may be used again"}, true
	}
	if step, ok := retired(in); ok && step.Action != ActWait {
		return step, true
	}
	return Step{Action: ActWait, State: Stopped, Reason: f.Message, Why: f.Message, Mend: f.Hint}, true
}

func changedOrigin(in *Input) (Step, bool) {
	if in.Origins == "" || in.Record.Grant == nil {
		return Step{}, false
	}
	if in.Guarded == "" && in.Traits.Interactive && in.Order.Kind != OrderLogin {
		return needsLogin(in, in.Origins+": the new address needs a login of its own"), true
	}
	if in.Guarded == "" {
		if wait, blocked := backedOff(in); blocked {
			return wait, true
		}
		return Step{Action: ActReplace, Cause: causeReplace, State: Pending, Reason: in.Origins + ": a new grant begins there", Origin: in.Origins}, true
	}
	return Step{Action: ActWait, State: Held, Mend: "tokend approve", Reason: in.Origins + "; nothing is sent there before a person approves", Why: in.Guarded}, true
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
		return needsLogin(in, "nobody has logged in yet"), true
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
	return Step{Action: ActObtain, State: Pending, Reason: reason}, true
}

func needsLogin(in *Input, why string) Step {
	s := Step{Action: ActWait, State: NeedsLogin, Reason: "a person has to log in: " + why, Why: why, Mend: in.mend("login")}
	if f := in.Record.Failure; f != nil && f.Class == classLogin {
		s.Why = f.Message
	}
	if g := in.Record.Grant; g != nil {
		s.Next = g.ExpiresAt
	}
	return s
}

// backedOff says whether a failure keeps the grant from being tried now, and
// until when.
func backedOff(in *Input) (Step, bool) {
	f := in.Record.Failure
	if f == nil || f.Once || in.Fresh || in.Order.Kind == OrderRetry {
		return Step{}, false
	}
	if f.Stopped {
		return Step{Action: ActWait, State: Stopped, Reason: "the provider refused it for good", Why: f.Message, Mend: mendFailure(in, f)}, true
	}
	if at := in.nextTry(f); in.Now.Before(at) {
		return Step{Action: ActWait, State: Failing, Next: at, Reason: "its last try failed", Why: f.Message, Mend: mendFailure(in, f)}, true
	}
	return Step{}, false
}

// nextTry is when a failed call is tried again: as the failure says, but soon
// once the token held has expired, since a sink then holds one that no longer
// works. What the provider asked for, and an account that more tries would
// lock, go before haste.
func (in *Input) nextTry(f *state.Failure) time.Time {
	g := in.Record.Grant
	patient := f.Class == classThrottled || f.Op == opGrant && in.Traits.Lockout && f.Reached >= lockoutCount
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
	s := Step{Action: ActReplace, State: Pending, Cause: causeTaint, Reason: "a person tainted it"}
	if !tainted {
		s.Cause, s.Inputs = causeReplace, in.WantsNew
		s.Reason = strings.Join(in.WantsNew, ", ") + " changed"
		if in.Guarded != "" {
			return heldReplace(in, s), true
		}
	}
	if in.Traits.Static {
		s.Action, s.Reason = ActStatic, s.Reason+": its key is taken over anew"
		return s, true
	}
	if in.Traits.Interactive {
		if step, ok := upkeep(in); ok {
			return step, true
		}
		return needsLogin(in, s.Reason+"; the old token stays in force until then"), true
	}
	if wait, blocked := backedOff(in); blocked {
		// What is held is kept alive while its replacement fails.
		if step, ok := upkeep(in); ok {
			return step, true
		}
		return wait, true
	}
	return s, true
}

// heldReplace keeps the old grant going while the guard holds its replacement.
func heldReplace(in *Input, s Step) Step {
	if step, ok := upkeep(in); ok {
		return step
	}
	next := time.Time{}
	if g := in.Record.Grant; g != nil && in.Held.HasRefresh {
		next = in.due()
	}
	return Step{Action: ActWait, State: Held, Next: next, Reason: s.Reason + ", but " + in.Guarded, Why: in.Guarded, Mend: "tokend approve"}
}

// upkeep is what keeps the grant in force alive and the retired ones going
// away while something else is waited for.
func upkeep(in *Input) (Step, bool) {
	if step, ok := refresh(in); ok && step.Calls() && step.Action == ActRefresh {
		return step, true
	}
	if step, ok := retired(in); ok && step.Action != ActWait {
		return step, true
	}
	return Step{}, false
}

// ---- refreshing ---------------------------------------------------------

func (in *Input) due() time.Time {
	g := in.Record.Grant
	p := spec.RefreshPolicy{At: 0.66, Jitter: 0.1, MinRemaining: time.Minute}
	if in.Want != nil {
		p = in.Want.Refresh
	}
	return due(lifetime{obtained: g.ObtainedAt, expires: g.ExpiresAt, late: in.Held.InvalidatesAccessToken}, p, in.Spread)
}

func refresh(in *Input) (Step, bool) {
	g := in.Record.Grant
	if g == nil {
		return Step{}, false
	}
	at := in.due()
	retry := in.Order.Kind == OrderRetry && in.Record.Failure != nil && in.Record.Failure.Op == opRefresh
	ordered := in.Order.Kind == OrderRefresh || retry
	if !ordered && (at.IsZero() || in.Now.Before(at)) {
		return Step{}, false
	}
	if in.Traits.Static {
		return Step{}, false
	}
	reason := "it is due"
	if ordered {
		reason = "a person wants it refreshed"
	} else if !g.ExpiresAt.IsZero() && !in.Now.Before(g.ExpiresAt) {
		reason = "its token has expired"
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
		return wait, true
	}
	return Step{Action: ActReplace, Cause: causeExpired, State: Pending, Reason: reason + " and " + whyNoRefresh(in, g) + ": a new one is obtained by the grant"}, true
}

func loginSoon(in *Input, g *state.Grant) Step {
	s := needsLogin(in, "its token ends soon and only a login gives a new one")
	s.Next = g.ExpiresAt
	return s
}

// canRefresh says whether the refresh token held is worth a try.
func canRefresh(in *Input, g *state.Grant) bool {
	if !in.Held.HasRefresh || g.RefreshToken.Empty() {
		return false
	}
	if !g.RefreshUntil.IsZero() && !in.Now.Before(g.RefreshUntil) {
		return false
	}
	return g.RefreshState == state.RefreshUsable || in.Order.Kind == OrderRetry
}

func whyNoRefresh(in *Input, g *state.Grant) string {
	switch {
	case !in.Held.HasRefresh:
		return "its API has no refresh"
	case g.RefreshToken.Empty():
		return "it came without a refresh token"
	case !g.RefreshUntil.IsZero() && !in.Now.Before(g.RefreshUntil):
		return "its refresh token has ended too"
	}
	return "its refresh token was refused"
}

func refreshBackedOff(in *Input) (Step, bool) {
	f := in.Record.Failure
	if f == nil || f.Op != opRefresh || f.Once || in.Order.Kind == OrderRetry || in.Order.Kind == OrderRefresh {
		return Step{}, false
	}
	if at := in.nextTry(f); in.Now.Before(at) {
		return Step{Action: ActWait, State: Failing, Next: at, Reason: "its last refresh failed", Why: f.Message, Mend: mendFailure(in, f)}, true
	}
	return Step{}, false
}

// ---- retiring -----------------------------------------------------------

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
	if f := in.fresh(); !f.Next.IsZero() && (wait.Next.IsZero() || f.Next.Before(wait.Next)) {
		wait.Next = f.Next
	}
	return wait, true
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
	if g.Retired.Cause != causeRevoke && g.Retired.Cause != causeRemove && in.Order.Kind != OrderRevoke {
		lc := in.Record.Lifecycle
		limit := g.Retired.Since.Add(max(lc.MaxOverlap, lc.Overlap))
		switch {
		case in.Now.After(limit):
		case g.Retired.DeliveredAt.IsZero() && len(in.Holding) == 0 && !in.Unknown && len(in.Telling) == 0:
			s.Action, s.Cause, s.Reason = ActNote, "", "every sink holds the new token: the old one's overlap begins"
			return s
		case g.Retired.DeliveredAt.IsZero():
			s.Action, s.Next, s.Reason = ActWait, limit, "the old token lives on until every sink holds the new one"
			return s
		case in.Now.Before(g.Retired.DeliveredAt.Add(lc.Overlap)):
			s.Action, s.Next, s.Reason = ActWait, g.Retired.DeliveredAt.Add(lc.Overlap), "the old token lives on for its overlap"
			return s
		}
	}
	if in.Now.Before(g.Retired.NextAt) && in.Order.Kind != OrderRetry && in.Order.Kind != OrderRevoke {
		return Step{Action: ActWait, Retiring: i, Next: g.Retired.NextAt, State: Failing, Reason: "its revocation failed and is retried",
			Why: "revoking the old token failed: " + g.Retired.Message, Mend: in.mend("revoke --forget")}
	}
	return revokeStep(in, i)
}

// nothingToRevoke says why an old grant can be let go without a call.
func nothingToRevoke(in *Input, g *state.Grant, t Traits) (string, bool) {
	accessDead := !g.ExpiresAt.IsZero() && !in.Now.Before(g.ExpiresAt)
	refreshDead := g.RefreshToken.Empty() || (!g.RefreshUntil.IsZero() && !in.Now.Before(g.RefreshUntil))
	wanted := slices.Contains(t.RevokeOn, g.Retired.Cause) || g.Retired.Cause == causeRevoke ||
		(g.Retired.Cause == causeTaint || g.Retired.Cause == causeExpired) && slices.Contains(t.RevokeOn, causeReplace)
	cur := in.Record.Grant
	switch {
	case !t.HasRevoke:
		return "its API has no revocation; the old token is forgotten", true
	case !wanted:
		return "its API does not ask for a revocation here; the old token is forgotten", true
	case accessDead && refreshDead:
		return "the old token has expired by itself", true
	case t.RevokeNeeds == needsAccess && accessDead && !t.HasRefresh:
		return "the old token has expired by itself", true
	case t.RevokeNeeds == needsAccess && accessDead && g.RefreshState == state.RefreshRefused:
		return "the old token has expired and its refresh token was refused: both are dead", true
	case t.RevokeNeeds == needsAccess && accessDead && g.RefreshState == state.RefreshIndeterminate:
		return "the old token has expired, and revoking what may have come of its refresh token would spend that a second time; it is counted as an orphan", true
	case cur != nil && g.Retired.Cause != causeRevoke && t.Session == spec.SessionSharedGrant:
		return "revoking the old token would take the one in force with it", true
	case cur != nil && t.Session == spec.SessionOnePerAccount:
		return "the new login has ended the old token already", true
	case cur != nil && !cur.RefreshToken.Empty() && cur.RefreshToken.Equal(g.RefreshToken) && !t.RevokeNamesAccess:
		return "the token in force shares its refresh token", true
	case cur != nil && cur.AccessToken.Equal(g.AccessToken):
		return "it is the token in force", true
	}
	return "", false
}

const needsAccess = "access_token"

func revokeStep(in *Input, i int) Step {
	g := &in.Record.Retiring[i]
	t := in.RetiredTraits[i]
	s := Step{Action: ActRevoke, Retiring: i, Cause: g.Retired.Cause, State: Pending, Reason: revokeReason(g.Retired.Cause)}
	dead := !g.ExpiresAt.IsZero() && !in.Now.Before(g.ExpiresAt)
	if t.RevokeNeeds == needsAccess && dead {
		s.Action, s.Reason = ActRevive, "revoking the old token needs a living access token, so it is refreshed first"
	}
	return s
}

func revokeReason(cause string) string {
	switch cause {
	case causeRemove:
		return "it is no longer declared"
	case causeRevoke:
		return "a person wants it revoked"
	case causeRefresh:
		return "a refresh replaced it and the API leaves the old one alive"
	}
	return "a new token replaced it"
}

func fresh(in *Input) (Step, bool) { return in.fresh(), true }

func (in *Input) fresh() Step {
	if in.Record.Grant == nil {
		return Step{Action: ActNone, State: Ready}
	}
	s := Step{Action: ActNone, State: Ready, Next: in.due(), Reason: "its token is fresh"}
	if f := in.Record.Failure; f != nil && f.Op == opVerify {
		s.State, s.Why = Failing, f.Message
	}
	return s
}

// The operations, as intents and failures name them.
const (
	opGrant    = "grant"
	opRefresh  = "refresh"
	opRevive   = "revive" // the refresh of a grant that is given up
	opExchange = "exchange"
	opRevoke   = "revoke"
	opAction   = "action"
	opVerify   = "verify"
)

// Classes of failure that decisions look at, as providers names them.
const (
	classLogin     = "login"
	classThrottled = "throttled"
)
