package reconcile

import (
	"fmt"
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
	RevokeNamesRefresh     bool
	Rotates                string // spec.RotatesAlways, …Never, …Observe
	ReplayWindow           time.Duration
	InvalidatesAccessToken bool
	Session                string
	Secrets                []string      // its sensitive inputs
	Lifetime               time.Duration // of an access token, as the type or the credential says; 0: neither does
	RefreshLifetime        time.Duration // of a refresh token, as the type says; 0: it does not
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
	Anew     bool             // a call that could not be made was not tried since what says how changed

	// Import is what an import block says where nothing is held; ImportError why
	// it cannot be read.
	Import      importState
	ImportError string
	// Turn is when its refresh has to begin, so that all tokens that share its
	// provider's rate limit are in time; zero: when it is due by itself.
	Turn time.Time
	// Needed: a sink or a credential names its token.
	Needed bool

	// What is recorded.
	Record state.Credential
	// RefreshFailure is the last failure of refreshing the token held, where
	// Record.Failure is that of the grant which would replace it.
	RefreshFailure *state.Failure
	// Repeats says that the last call brought the token that was held already, with the
	// end that it had: its API gives one token until that ends. It is known since the
	// start.
	Repeats bool
	Intent  *state.Intent
	Held    Traits // of the grant in force
	// Former is the newest generation that a place may hold of an earlier record of
	// this address, where this one has had no token yet: see [Input.nextGeneration].
	Former uint64
	// RetiredTraits are those of Record.Retiring, index by index.
	RetiredTraits []Traits
	// Untried is the start since which sinks that may hold a token of it were not tried;
	// zero: they were.
	Untried time.Time
	// Shared is what is known, of those of Record.Retiring of which it was asked, of others
	// that have something in force, or had until a moment ago, which their revocation would
	// end: their access token, their refresh token, or one of their account, where these
	// share their fate. It goes index by index; see [worker.decided].
	Shared []sharing
	// Dying: the revocation of the token in force, for another credential, is under way.
	Dying bool
	// Session is who holds the one session of its account, where that is another
	// credential: its own login waits, or was followed by that one's.
	Session *rival
	// SinceIntent is the time that has passed since the open intent by a clock
	// that nobody can step; ok is false when that cannot be told (a reboot).
	SinceIntent   time.Duration
	SinceIntentOK bool

	// What the sinks hold.
	Holding []string // sinks that still hold an older or removed token
	Unknown bool     // there are sinks of which that is not known yet
	Telling []string // hooks that are about to tell consumers of what changed in its sinks

	// Lacks, in a plan, is a credential whose token its grant needs, and that has
	// none yet.
	Lacks string

	// What holds a change back, in words; "" for nothing.
	Guarded string
	// Stuck is why its record cannot follow a moved block, in words.
	Stuck string
	// Forgotten: a removed block says that its token is left alone.
	Forgotten bool
	// Quiet is when the files have been quiet long enough for a removal.
	Quiet time.Time
	// Unsettled says why the files are not whole at this moment; "" when they
	// are.
	Unsettled string

	// What a person asked for.
	Order Order

	// Reading is what its calls wait for: secrets that are still being read.
	Reading readings

	Verify   *spec.Verify // nil: the API is not asked about the token
	Measured measured
}

// Order is what a person asked for, by the command line.
type Order struct {
	Kind   OrderKind
	Action string // of OrderAction
	Forget bool   // of OrderRevoke: give a pending revocation up
	read   bool   // of OrderRetry: the kept reply was read for it, and cannot be
	beside bool   // of OrderRetry: those that are kept beside the token were read for it
	unread string // and why one of them still cannot be
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
	// OrderShutdown: the daemon stops, and the token shall not outlive it.
	OrderShutdown OrderKind = "shutdown"
	OrderOrphans  OrderKind = "orphans" // those tokens that nobody knows were looked after
	OrderLogin    OrderKind = "login"   // a person has completed a login: its code waits to be exchanged
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
		{"a poll's outcome is unknown", openPoll},                  // before whoever polls asks again
		{"a refresh's outcome is unknown", openRefresh},            // before anything may spend the token again
		{"an old grant's refresh is unknown", openRevive},          // before anything may spend that token again
		{"a grant's outcome is unknown", openGrant},                // an orphan may exist; count it and go on
		{"a revocation's outcome is unknown", openRevocation},      // others may have lost a token, and another call would hide it
		{"a person wants a kept reply read again", rereadRaw},      // spends nothing
		{"a person gives a pending revocation up", forgetRetiring}, //
		{"a person has looked after its orphans", forgetOrphans},   //
		{"a person wants an action", orderedAction},                //
		{"a person wants it revoked", orderedRevoke},               // before a refresh would spend a request on it
		{"a person tainted it", orderedTaint},                      // remembered, then worked on like any reason to replace it
		{"a login was completed", completedLogin},                  // a code lives for seconds
		{"it is no longer declared", undeclared},                   // nothing below concerns an undeclared one
		{"a kept reply waits", heldRaw},                            // what it holds may be the only refresh token
		{"its account was ended", ended},                           // whatever it still has is of no use
		{"a person wants it refreshed", orderedRefresh},            // and not what the configuration wants of it besides
		{"its origin changed", changedOrigin},                      // nothing of the old grant goes to the new origin
		{"a refresh token is there to be taken over", imports},     // before another token is obtained
		{"it has no token", obtain},                                //
		{"another credential's login ended its token", overtaken},  // written down, and then replaced as soon as that may be
		{"its refresh token may be spent", indeterminate},          // before anything may spend it again
		{"it has to be replaced", replace},                         // taint, a changed input
		{"its refresh token was taken over", adopted},              // it is due when something needs it
		{"the API no longer honours its token", disowned},          // however fresh it looks
		{"web pages refuse its refreshes", walled},                 // before another of them is waited for
		{"it is due", dueOrWaiting},                                // before what can wait
		{"a person wants a failed grant tried", triedAgain},        // though its token is good for a while
		{"it is time to ask whether it works", verifyDue},          // a question delays nothing
		{"an old token waits to be given up", retired},             //
		{"it is fresh", fresh},                                     //
	}
}

// ruleTable is the table, made once.
var ruleTable = rules()

// Decide says what to do now with one credential.
func Decide(in Input) Step { return decide(&in) }

// decide is Decide without a copy of all that it looks at.
func decide(in *Input) Step {
	for _, r := range ruleTable {
		if s, ok := r.when(in); ok {
			s.Address = in.Address
			in.remark(&s)
			return s
		}
	}
	return Step{Address: in.Address, Action: ActNone, State: Ready}
}

func (in *Input) mend(command string) string {
	return "tokend " + command + " " + ShellAddress(in.Address)
}

// ShellAddress is an address as a person would type it into a shell.
func ShellAddress(a string) string {
	s := spec.Address(a).Short()
	if strings.ContainsAny(s, `"[]$* `) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

func rereadRaw(in *Input) (Step, bool) {
	if in.Order.Kind != OrderRetry {
		return Step{}, false
	}
	if len(in.Record.Kept) > 0 && !in.Order.beside {
		return Step{Action: ActReread, Cause: causeKept, State: Pending, Reason: "a person wants the replies read again that are kept beside its token"}, true
	}
	if in.Record.Raw == nil || in.Order.read && in.costsNothing() {
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
	if in.Order.Kind == OrderShutdown {
		return atShutdown(in), true
	}
	if in.Order.Kind != OrderRevoke || in.Order.Forget {
		return Step{}, false
	}
	if in.Record.Grant != nil {
		s := Step{Action: ActRetire, Cause: causeRevoke, State: Pending, Reason: "a person wants its token revoked"}
		if in.Record.Lifecycle.PreventDestroy {
			s.Reason += ", though prevent_destroy is set, which holds back changes of the configuration only"
		}
		return s, true
	}
	if len(in.Record.Retiring) > 0 {
		return retiredAt(in, 0), true
	}
	return Step{}, false
}

func orderedTaint(in *Input) (Step, bool) {
	if in.Order.Kind != OrderTaint || in.Record.Grant == nil && in.Record.Raw == nil {
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

// list names a few things in words.
func list(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (in *Input) fresh() Step {
	if in.Record.Grant == nil {
		return Step{Action: ActNone, State: Ready}
	}
	s := Step{Action: ActNone, State: Ready, Next: earlier(in.dueInTurn(), in.verifyAt()), Reason: "its token is fresh"}
	return s
}

// The operations, as intents and failures name them.
const (
	opGrant    = "grant"
	opRefresh  = "refresh"
	opRevive   = "revive" // the refresh of a grant that is given up
	opExchange = "exchange"
	opPoll     = "poll" // an exchange that asks whether a person has approved a device code
	opRevoke   = "revoke"
	opAction   = "action"
	opVerify   = "verify"
)

// Classes of failure that decisions look at, as providers names them.
const (
	classLogin     = "login"
	classThrottled = "throttled"
	classUnknown   = "unknown"
	classConfig    = "config"
	// classUnreadable is what the record says of a grant that is asked again, since
	// its reply could not be read and cost nothing.
	classUnreadable = "unreadable"
	// classWalled is what the record says of a transient refusal by a web page,
	// which may stand for a lasting one.
	classWalled = "walled"
	// classCounted is what the record says of a grant's failures that are over, since
	// a refresh brought a token, and that count against an account all the same.
	classCounted = "counted"
)
