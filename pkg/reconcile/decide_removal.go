package reconcile

import "time"

func undeclared(in *Input) (Step, bool) {
	if in.Declared {
		return Step{}, false
	}
	r := &in.Record
	switch {
	case in.remains():
		return in.removed(), true
	case in.Stuck != "":
		return kept(in, stuck(in.Stuck)), true
	case r.Grant != nil && r.Lifecycle.PreventDestroy:
		return kept(in, Step{Action: ActWait, State: Held, Reason: "prevent_destroy holds its removal back",
			Why:  "it is no longer declared, but prevent_destroy was set when it was",
			Mend: "set lifecycle { prevent_destroy = false } in its block and apply, then remove it"}), true
	case in.Guarded != "":
		// It lives on by the configuration that declared it, but where that cannot
		// be read back: then by what its record says.
		return kept(in, Step{Action: ActWait, State: Held, Reason: in.Guarded, Why: in.Guarded, Mend: "tokend approve"}), true
	case in.Now.Before(in.Quiet):
		return Step{Action: ActWait, State: Removing, Next: in.Quiet,
			Reason: "it is no longer declared; the removal waits until the configuration has been quiet for a while",
			Why:    "it is no longer declared"}, true
	case in.Unsettled != "" && r.Removing == nil:
		return unsettled(in.Now, in.Unsettled), true
	case r.Removing == nil && r.Grant != nil:
		cause := causeRemove
		if in.forgets() {
			cause = causeForget
		}
		return Step{Action: ActNote, Cause: cause, State: Removing, Reason: "it is no longer declared", Why: "it is no longer declared"}, true
	case in.Unknown && in.Now.Before(in.removalLimit()):
		return Step{Action: ActWait, State: Removing, Next: in.removalLimit(), Reason: "its removal waits until its sinks have been looked at", Why: "it is no longer declared"}, true
	case len(in.Holding) > 0 && in.Now.Before(in.removalLimit()):
		return Step{Action: ActWait, State: Removing, Next: in.removalLimit(),
			Reason: "its removal waits until " + list(in.Holding) + " no longer holds its token",
			Why:    "waiting for " + list(in.Holding)}, true
	case len(in.Telling) > 0 && in.Now.Before(in.removalLimit()):
		return Step{Action: ActWait, State: Removing, Next: in.removalLimit(),
			Reason: "its removal waits until " + list(in.Telling) + " has run", Why: "waiting for " + list(in.Telling)}, true
	case r.Grant != nil && in.forgets():
		if len(r.Retiring) > 0 {
			s := retiredAt(in, 0) // earlier tokens are given up as ever
			if s.Action == ActWait && s.Why == "" {
				s.State, s.Why = Removing, "it is no longer declared"
			}
			return s, true
		}
		return Step{Action: ActDrop, Cause: causeRemove, State: Removing, Reason: "it is no longer declared, and " + in.whyForget() + ": its token is left alone" + in.unreadGoes()}, true
	case r.Grant != nil:
		return Step{Action: ActRetire, Cause: causeRemove, State: Removing, Reason: "it is no longer declared: its token is given up", Why: "it is no longer declared"}, true
	case len(r.Retiring) > 0:
		return leaving(in), true
	}
	if r.Raw != nil && !doubtful(r.Raw) && !in.forgets() {
		return Step{Action: ActWait, State: Unread, Mend: mendAfter("declare it again, by a provider type that reads the reply", in.Address),
			Reason: "it is no longer declared, but a reply that could not be read is kept: what it brought may live",
			Why:    unreadWhy(r.Raw)}, true
	}
	why := "it is no longer declared and nothing of it is left"
	if in.unreadGoes() != "" {
		why = "it is no longer declared, and " + in.whyForget()
	}
	if n := r.Orphans.Living(in.Now); n > 0 {
		why += " but " + count(n, "token") + " that nobody knows"
	}
	return Step{Action: ActDrop, Cause: causeRemove, State: Removing, Reason: why + in.unreadGoes()}, true
}

// unreadGoes says what becomes of a reply that could not be read where its credential is
// forgotten.
func (in *Input) unreadGoes() string {
	if r := in.Record.Raw; r == nil || doubtful(r) {
		return ""
	}
	return "; a reply that could not be read is waited for no more: what it brought may live, is not revoked, and is counted as an orphan"
}

// stuck waits for a person to say which of two records is meant.
func stuck(why string) Step {
	return Step{Action: ActWait, State: Held, Reason: why + "; neither is given up", Why: why,
		Mend: "take the moved block out, and it is removed like anything that is not declared"}
}

func (in *Input) removalLimit() time.Time {
	r := &in.Record
	if r.Removing == nil {
		return time.Time{}
	}
	return in.triedBy(r.Removing.Since.Add(r.Lifecycle.MaxOverlap), r.Lifecycle.MaxOverlap)
}

// untriedLimit is how long after a start a sink that was not tried since holds up a
// limit that has passed, at most.
const untriedLimit = 5 * time.Minute

// triedBy is a limit on how long sinks hold up a revocation, of so long as most. Time in
// which tokend stood still is none in which they could have been written: after a start
// each of them is tried once before the limit counts, but for no longer than most, or
// untriedLimit.
func (in *Input) triedBy(limit time.Time, most time.Duration) time.Time {
	if in.Untried.IsZero() {
		return limit
	}
	if at := in.Untried.Add(min(most, untriedLimit)); at.After(limit) {
		return at
	}
	return limit
}

// lockLook is how long a removal waits before it asks again whether the files
// are whole: nothing tells of that.
const lockLook = time.Second

func unsettled(now time.Time, why string) Step {
	return Step{Action: ActWait, State: Removing, Next: now.Add(lockLook), Reason: "it is no longer declared; the removal waits: " + why,
		Why: "it is no longer declared; the removal waits: " + why}
}
