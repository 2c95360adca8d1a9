package reconcile

import "time"

// Action is what one step does.
type Action string

// The actions. Those of credentials first, then those of sinks and hooks.
const (
	ActNone     Action = ""         // nothing to do before Step.Next
	ActWait     Action = "wait"     // nothing can be done: Step.Reason says for what it waits
	ActObtain   Action = "obtain"   // run the grant
	ActReplace  Action = "replace"  // run the grant; the token in force is then given up
	ActExchange Action = "exchange" // run the grant of a login that a person completed
	ActRefresh  Action = "refresh"  // spend the refresh token
	ActReplay   Action = "replay"   // the same refresh once more, inside the type's replay window
	ActStatic   Action = "adopt"    // take a static grant's outputs over
	ActImport   Action = "import"   // take over a refresh token that exists already
	ActReread   Action = "reread"   // read a kept reply again
	ActSettle   Action = "settle"   // write down what an open intent turned out to mean
	ActRetire   Action = "retire"   // stop using the token in force
	ActNote     Action = "note"     // write progress into the record (delivered since, removal begun)
	ActRevive   Action = "revive"   // refresh a retired grant, because revoking it needs a living access token
	ActRevoke   Action = "revoke"   // revoke a retired grant
	ActRelease  Action = "release"  // let a retired grant go: nothing to revoke, or it has expired
	ActDrop     Action = "drop"     // delete the record
	ActAct      Action = "action"   // a provider's imperative call
	ActVerify   Action = "verify"   // ask the API whether it honours the token
	ActWrite    Action = "write"
	ActRepair   Action = "repair"
	ActRecord   Action = "record" // the place is right already: write down that it is
	ActRemove   Action = "remove"
	ActClean    Action = "clean" // remove what was left behind at an earlier place
	ActLeave    Action = "leave" // an earlier place is another sink's by now: write down that it is
	ActHook     Action = "hook"
	ActMove     Action = "move" // a record goes on under another address, as a moved block says
)

// State is the standing of one address, as status shows it.
type State string

// The states.
const (
	Ready         State = "ready"
	Pending       State = "pending"       // work is under way or about to start
	Waiting       State = "waiting"       // for another address
	Failing       State = "failing"       // retried
	Stopped       State = "stopped"       // a permanent refusal; retried when told or when inputs change
	NeedsLogin    State = "needs_login"   // a person is needed
	Indeterminate State = "indeterminate" // a refresh's outcome is unknown
	Unread        State = "unread"        // a reply was kept that could not be read
	Held          State = "held"          // the guard or prevent_destroy holds a change back
	Removing      State = "removing"
	Removed       State = "removed" // nothing of it is left but its orphans, which are counted still
)

// Step is one decision: what to do now with one address, why, and when to look
// again. It is data: plan prints it, apply and the daemon perform it, status
// shows it.
type Step struct {
	Address string `json:"address"`
	Action  Action `json:"action"`
	Reason  string `json:"reason,omitempty"` // in words, without a secret
	// Next is when to look again if nothing happens before; zero means that
	// only an event (a change, a command, another address) calls for a look.
	Next time.Time `json:"next,omitzero"`
	// State, Why and Mend are for status. Of what is Ready, Why is empty but for what
	// is to be known all the same.
	State State  `json:"status,omitempty"`
	Why   string `json:"why,omitempty"`
	Mend  string `json:"mend,omitempty"` // the one command that mends it
	// Retiring is the index of the retired grant that revive, revoke and
	// release are about.
	Retiring int `json:"-"`
	// Cause is recorded with what is given up: "remove", "replace", "refresh",
	// "taint" or "revoke".
	Cause string `json:"cause,omitempty"`
	// Origin says in words that its API's address changed.
	Origin string `json:"origin,omitempty"`
	// From is the address that a moved record leaves.
	From string `json:"from,omitempty"`
	// Inputs are the inputs whose change forces a replacement.
	Inputs []string `json:"inputs,omitempty"`
	// Replaces is what stands at a sink's place, in words, though tokend never
	// wrote there; "" for nothing.
	Replaces string `json:"replaces,omitempty"`
	// Heals says that a token is renewed because its API no longer honours it,
	// which is done so often an hour and no more.
	Heals bool `json:"-"`
	// Stops says of what is Ready that no token follows the one held.
	Stops bool `json:"-"`
	// Grants says of what is Ready that its next token comes by the grant, though it has
	// a refresh token: that was refused.
	Grants bool `json:"-"`
	// Again says, in a plan, that the step failed before, which Why tells, and is tried
	// again.
	Again bool `json:"again,omitempty"`
	// At is, in a plan, when the step will be carried out, if that is not at once.
	At time.Time `json:"at,omitzero"`
}

// revokes says that the step asks the provider to end an old token, or for what that
// needs.
func (s Step) revokes() bool { return s.Action == ActRevoke || s.Action == ActRevive }

// Destructive reports whether the step gives up a token or a sink because the
// configuration changed; the guard counts those.
func (s Step) Destructive() bool {
	switch s.Action {
	case ActReplace:
		return s.Cause == causeReplace
	case ActNote:
		return s.Cause == causeRemove || s.Cause == causeForget
	case ActRemove:
		return true
	}
	return false
}

// Calls reports whether performing the step asks a provider, and so needs its
// rate limit and a place among its requests.
func (s Step) Calls() bool {
	switch s.Action {
	case ActObtain, ActReplace, ActExchange, ActRefresh, ActReplay, ActRevive, ActRevoke, ActAct, ActVerify:
		return true
	}
	return false
}

const (
	causeRemove  = "remove"
	causeReplace = "replace"
	causeRefresh = "refresh"
	causeLogin   = "login" // it goes when the login in force does, and in the same way: [Input.goesWithLogin]
	causeTaint   = "taint"
	causeRevoke  = "revoke"
	causeExpired = "expired"
	causeForget  = "forget"
	causeOrphans = "orphans"
	causeKept    = "kept"
	causeDead    = "dead" // another credential's token is
	causeSession = "session"
)
