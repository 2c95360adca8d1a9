package reconcile

import (
	"fmt"
	"strings"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// SinkInput is everything that one decision about a sink looks at.
type SinkInput struct {
	Now     time.Time
	Address string

	Declared bool
	Missing  []string // credentials that it names and that have no token yet
	Newer    []string // credentials whose token is newer than the one recorded as delivered there
	Changed  bool     // what the configuration says of it changed since it was last written
	Drift    string   // how the place differs from what it shall hold, in words; "" for not at all
	Moved    bool     // it shall be at another place than where it was last written
	Named    bool     // it is about to be written for the first time, and perhaps was
	Claimed  bool     // another declared sink has the place now
	Heir     string   // which, where it is known
	Keeps    bool     // it is removed, and goes on there as it was declared until that sink can write
	Taken    bool     // and has written it
	Checked  bool     // Drift was measured in this look
	Another  bool     // it holds what it shall hold, by another write than the recorded one: a crash came between
	Foreign  string   // in a plan: what stands, in words, where it is about to be written for the first time
	Becomes  string   // and how that changes besides its content
	Deferred bool     // what it shall hold is not known without reading secrets
	Told     bool     // and that it has to be written all the same is
	LeftTo   []string // sinks that claim the earlier places that it leaves, and have not written them yet; nil where one of those is nobody's
	Left     string   // and those places, in words
	Heirs    bool     // other sinks have all of those places by now
	Awaits   []string // credentials whose next grant alone has what it names
	AsBefore bool     // so it is looked at as it was declared before

	Record state.Sink
	Stored bool // there is a record

	Guarded string
	Stuck   string // why its record cannot follow a moved block
	// Forgotten: a removed block says that its place is left alone.
	Forgotten bool
	Quiet     time.Time
	// Unsettled says why the files are not whole; "" when they are.
	Unsettled string
	Order     Order
}

// DecideSink says what to do now with one sink.
func DecideSink(in SinkInput) Step {
	s := decideSink(&in)
	s.Address = in.Address
	return s
}

var sinkRules = [...]func(*SinkInput) (Step, bool){
	removeSink, // nothing below concerns an undeclared one
	waitForTokens,
	awaitGrant,
	holdPlace,
	sinkBackedOff,
	deferSink,
	writeSink,
	cleanSink, // only once the new place holds the value
	recordSink,
}

func decideSink(in *SinkInput) Step {
	for _, rule := range sinkRules {
		if s, ok := rule(in); ok {
			return s
		}
	}
	return restOf(in)
}

// restOf is what is said of a sink that holds what it shall hold.
func restOf(in *SinkInput) Step {
	switch {
	case in.AsBefore:
		return awaiting(in)
	case in.Keeps:
		return keepsPlace(in)
	case in.Guarded != "":
		return staysAtItsPlace(in.Guarded)
	}
	return Step{Action: ActNone, State: Ready, Reason: "it holds what it shall hold"}
}

func staysAtItsPlace(guarded string) Step {
	return Step{Action: ActNone, State: Held, Reason: "it stays at its place: " + guarded, Why: guarded, Mend: "tokend approve"}
}

// holdPlace keeps a sink where it is while the guard holds its move back. Where
// it was declared at that place is known to the loop that has its configuration,
// which is then the one that is decided by; what sees the new place here has
// nothing to write by.
func holdPlace(in *SinkInput) (Step, bool) {
	if in.Guarded == "" || !in.Moved {
		return Step{}, false
	}
	return staysAtItsPlace(in.Guarded), true
}

func removeSink(in *SinkInput) (Step, bool) {
	if in.Declared {
		return Step{}, false
	}
	switch {
	case untold(&in.Record):
		return untoldSink(in), true
	case in.Record.Written == nil && len(in.Record.Leaving) == 0, untouched(&in.Record) && !leaves(&in.Record):
		return Step{Action: ActDrop, State: Removing, Reason: "it is no longer declared and was never written"}, true
	case in.Stuck != "" && (!in.Claimed || leaves(&in.Record)):
		return stuck(in.Stuck), true
	case in.Stuck != "" && !in.Taken: // then nothing there is its own any more
		s := stuck(in.Stuck)
		s.Next = in.Now.Add(lookAgain)
		return s, true
	case in.Guarded != "":
		return Step{Action: ActWait, State: Held, Reason: in.Guarded, Why: in.Guarded, Mend: "tokend approve"}, true
	case in.Now.Before(in.Quiet):
		return Step{Action: ActWait, State: Removing, Next: in.Quiet, Why: "it is no longer declared",
			Reason: "it is no longer declared; the removal waits until the configuration has been quiet for a while"}, true
	case in.Unsettled != "":
		return unsettled(in.Now, in.Unsettled), true
	case in.Forgotten:
		return Step{Action: ActDrop, State: Removing, Reason: "it is no longer declared, and a removed block says to forget it: its place is left alone"}, true
	case in.leftToHeir():
		why := in.waitsForHeir()
		return Step{Action: ActWait, State: Removing, Next: in.Now.Add(lookAgain), Why: why, Reason: why}, true
	case in.Claimed && !leaves(&in.Record):
		return Step{Action: ActDrop, State: Removing, Reason: "it is no longer declared, and another sink has its place now"}, true
	}
	if f := in.Record.Failure; f != nil && in.Now.Before(f.NextAt) && in.Order.Kind != OrderRetry {
		return Step{Action: ActWait, State: Removing, Next: f.NextAt, Reason: "cannot clean: " + f.Message, Why: "cannot clean: " + f.Message,
			Mend: mendSink(in, f)}, true
	}
	return Step{Action: ActRemove, State: Removing, Reason: "it is no longer declared", Why: "it is no longer declared"}, true
}

// waitsForHeir says why a removed sink leaves its place as it is: whoever reads there
// has what was written last until the sink that has the place now writes it, and what
// that one waits for is said of it.
func (in *SinkInput) waitsForHeir() string {
	return "it is no longer declared; its place stays as it is until " + in.heir() + ", which has it now, has written it"
}

func (in *SinkInput) heir() string {
	if in.Heir == "" {
		return "another sink"
	}
	return spec.Address(in.Heir).Short()
}

// untold says that nothing is left of a removed sink but hooks that have not run.
func untold(rec *state.Sink) bool {
	return rec.Written == nil && len(rec.Leaving) == 0 && len(rec.Notify) > 0
}

func untoldSink(in *SinkInput) Step {
	why := "it is removed; " + list(in.Record.Notify) + " has to run for it"
	return Step{Action: ActWait, State: Removing, Reason: why, Why: why}
}

func waitForTokens(in *SinkInput) (Step, bool) {
	if len(in.Missing) == 0 {
		return Step{}, false
	}
	why := waitsFor(in.Missing)
	return Step{Action: ActWait, State: Waiting, Reason: why, Why: why}, true
}

func waitsFor(credentials []string) string {
	return "waits for the token of " + list(shortNames(credentials))
}

func shortNames(credentials []string) []string {
	short := make([]string, len(credentials))
	for i, m := range credentials {
		short[i] = strings.TrimPrefix(m, "credential.")
	}
	return short
}

func sinkBackedOff(in *SinkInput) (Step, bool) {
	f := in.Record.Failure
	if f == nil || in.Changed || in.Order.Kind == OrderRetry || !in.Now.Before(f.NextAt) {
		return Step{}, false
	}
	return Step{Action: ActWait, State: Failing, Next: f.NextAt, Reason: "its last write failed", Why: f.Message, Mend: mendSink(in, f)}, true
}

func deferSink(in *SinkInput) (Step, bool) {
	if !in.Deferred {
		return Step{}, false
	}
	if in.Stored && len(in.Newer) == 0 && !in.Told && !in.Moved && in.Drift == "" {
		if in.Guarded != "" {
			return staysAtItsPlace(in.Guarded), true
		}
		return Step{Action: ActNone, State: Ready, Reason: "known at apply"}, true
	}
	s := Step{Action: ActWrite, State: Pending}
	switch {
	case !in.Stored:
		s.Reason = "it was never written: what it will hold is known at apply"
	case in.Moved:
		s.Reason = "its place changed: what it will hold is known at apply"
	case len(in.Newer) > 0:
		s.Reason = "a newer token is there: what else it holds is known at apply"
	case in.Told:
		s.Reason = "what it shall hold changed"
	default:
		s.Reason = in.Drift + ": what it will hold is known at apply"
	}
	return s, true
}

func writeSink(in *SinkInput) (Step, bool) {
	if in.Drift == "" {
		return Step{}, false
	}
	s := Step{Action: ActWrite, State: Pending}
	switch {
	case !in.Stored || in.Record.Written == nil || in.Named && !leaves(&in.Record):
		s.Reason = "it was never written"
	case in.Moved || in.Named:
		s.Reason = "its place changed"
	case len(in.Newer) > 0:
		s.Reason = "a newer token is there"
	case in.Changed:
		s.Reason = "what it shall hold changed"
	default:
		s.Action, s.Reason = ActRepair, in.Drift
	}
	return s, true
}

func cleanSink(in *SinkInput) (Step, bool) {
	switch {
	case !leaves(&in.Record):
		return Step{}, false
	case in.Heirs:
		return Step{Action: ActLeave, State: Pending, Reason: "its place changed: the earlier one is another sink's now"}, true
	case len(in.LeftTo) > 0 && (in.Changed || len(in.Newer) > 0):
		return Step{}, false // what it holds is written down first
	case len(in.LeftTo) > 0:
		why := fmt.Sprintf("%s, which it leaves, is still to be written by %s", in.Left, list(in.LeftTo))
		return Step{Action: ActNone, State: Pending, Next: in.Now.Add(lookAgain), Reason: why, Why: why}, true
	}
	if f := in.Record.Failure; f != nil && in.Now.Before(f.NextAt) && in.Order.Kind != OrderRetry {
		return Step{Action: ActNone, State: Failing, Next: f.NextAt, Why: "cannot clean its earlier place: " + f.Message, Mend: mendSink(in, f)}, true
	}
	return Step{Action: ActClean, State: Pending, Reason: "its place changed: the earlier one is cleaned"}, true
}

func recordSink(in *SinkInput) (Step, bool) {
	if !in.Checked || (in.Stored && in.Record.Written != nil && !in.Named && !in.Another && len(in.Newer) == 0 && !in.Changed && in.Record.Failure == nil && len(in.Record.Leaving) == 0) {
		return Step{}, false
	}
	return Step{Action: ActRecord, State: Ready, Reason: "its place holds the right value already"}, true
}

// String is a step in one line, for logs and tests.
func (s Step) String() string {
	return fmt.Sprintf("%s %s (%s)", s.Action, s.Address, s.Reason)
}
