package reconcile

import (
	"context"
	"sort"
	"time"

	"tokend/pkg/state"
)

// Survey is Status where nobody works on the state: how each address stands is
// what its record and a look at it say, as they would to a daemon that starts
// now. Nothing is asked of a provider, no secret is read and nothing changes.
func (l *Loop) Survey(ctx context.Context, addr string) (View, error) {
	v, err := l.Status(ctx, addr)
	if err != nil {
		return v, err
	}
	var p Plan
	f, err := l.look(ctx, PlanOptions{NoSecrets: true}, &p)
	if err != nil {
		return v, err
	}
	found := make(map[string]*foreseen, len(f.nodes))
	v.Counts, v.Ready, v.Unseen, v.Lanes = map[State]int{}, v.Store.Error == "", 0, nil
	count := func(s State, n int) {
		if n > 0 {
			v.Counts[s] += n
			v.Ready = v.Ready && (s == Ready || s == Held)
		}
	}
	count(Ready, p.Credentials+p.Sinks-(len(f.nodes)-f.removed))
	for _, n := range f.nodes {
		if found[n.addr] = n; n.stands.State != Removed {
			count(n.stands.State, 1)
		}
	}
	v.HeldEnded = 0
	f.index()
	for _, h := range f.hooks {
		if len(h.before) > 0 {
			count(Pending, 1)
		}
	}
	for _, lines := range [][]Line{v.Credentials, v.Sinks} {
		for i := range lines {
			if lines[i].surveyed(found[lines[i].Address]); lines[i].State == Held && lines[i].ended(v.Now) {
				v.HeldEnded++
				v.Ready = false
			}
		}
	}
	for i := range v.Hooks {
		v.Hooks[i].untold(f.hooks[v.Hooks[i].Address])
	}
	return v, nil
}

// ended says that the token of a credential has expired.
func (line *Line) ended(now time.Time) bool {
	return !line.ExpiresAt.IsZero() && !line.ExpiresAt.After(now)
}

// surveyed says how an address stands by what was found; nil: it is at rest.
func (line *Line) surveyed(n *foreseen) {
	line.State, line.Since, line.Why, line.Mend, line.Next = Ready, time.Time{}, "", "", "due"
	if n == nil {
		return
	}
	s := n.stands
	line.State, line.Since, line.Why, line.Mend = s.State, s.Since, s.Why, s.Mend
	switch {
	case s.State == Held && s.Next != "":
		line.Next = s.Next
	case s.State == Ready && n.revokes:
		line.Next = "revoke"
	}
	if line.NextAt.IsZero() {
		line.NextAt = n.due
	}
	if n.place != "" {
		line.Place = n.place
	}
}

// untold says of a hook that it has not run since sinks changed.
func (line *Line) untold(h *foreseenHook) {
	if h == nil || len(h.before) == 0 {
		return
	}
	sort.Strings(h.before)
	line.State, line.Why, line.Mend = Pending, "it has not run since "+list(h.before)+" changed", ""
}

// stand says how an address stands by its record and the decision about it. A
// call whose time has come to be tried again has failed all the same: that
// nobody tries is no reason to forget why.
func (n *foreseen) stand(since time.Time, f *state.Failure, mend func(*state.Failure) string) {
	n.stands = Standing{State: n.first.State, Since: since, Mend: n.first.Mend, Why: n.first.Why}
	if n.stands.State == "" {
		n.stands.State = Ready
	}
	if n.stands.State != Ready && n.stands.Why == "" {
		n.stands.Why = n.first.Reason
	}
	if n.stands.State == Ready && n.stands.Why == "" {
		n.stands = Standing{State: Ready}
	}
	n.due = n.first.Next
	if n.cause != "" && n.stands.State == Ready { // by the configuration that it goes on by
		n.stands = Standing{State: Held, Why: n.cause, Next: livesMeanwhile, Mend: "tokend approve"}
	}
	if f == nil {
		return
	}
	if n.due.IsZero() {
		n.due = f.NextAt
	}
	switch s := &n.stands; s.State {
	case Pending:
		s.State, s.Since, s.Why, s.Mend = Failing, f.FirstAt, f.Message, mend(f)
	case Removing:
		if n.kind == kindSink {
			s.Since, s.Why, s.Mend = f.FirstAt, "cannot clean: "+f.Message, mend(f)
		}
	}
}

// failing is the failure that trying again would mend, nil when there is none
// or what failed was changed since.
func (ob *observed) failing() *state.Failure {
	f := ob.in.Record.Failure
	if f == nil || ob.in.Fresh || f.Op == opAction || f.Class == classCounted {
		return nil
	}
	return f
}

func (in *SinkInput) failing() *state.Failure {
	if in.Changed && in.Record.Written != nil && !named(&in.Record) {
		return nil // what failed is not what would be written
	}
	return in.Record.Failure
}

// since is when a standing began, as far as the record tells; zero: it does not.
func (in *Input) since(s State) time.Time {
	rec := &in.Record
	switch {
	case s == Unread && rec.Raw != nil:
		return rec.Raw.At
	case s == Removing && rec.Removing != nil:
		return rec.Removing.Since
	case s == Failing || s == Indeterminate:
		return failedSince(in.present())
	case s == Stopped || s == NeedsLogin:
		return failedSince(rec.Failure)
	}
	return time.Time{}
}

func (in *SinkInput) since(s State) time.Time {
	if s == Failing || s == Removing {
		return failedSince(in.Record.Failure)
	}
	return time.Time{}
}

func failedSince(f *state.Failure) time.Time {
	if f == nil {
		return time.Time{}
	}
	return f.FirstAt
}
