package reconcile

import (
	"maps"
	"slices"
	"sort"
	"time"
)

// report says what a forecast came to.
func (f *forecast) report(p *Plan) {
	p.Now = make([]Step, 0, len(f.nodes))
	p.Steps = append(p.Steps, f.moves...)
	for _, n := range f.nodes {
		n.first.Address = n.addr
		p.Now = append(p.Now, n.first)
		shown := n.shown()
		rests := len(shown) == 0
		n.held()
		said := n.rest.Stops || n.rest.Grants
		if said {
			n.rest.Action = ActWait // while its token is good: for a person, or for the grant
		}
		if n.rest.State != Ready && n.rest.State != "" && n.rest.State != Removed || said {
			n.rest.Address = n.addr
			shown = append(shown, n.rest)
		}
		p.Steps = append(p.Steps, shown...)
		p.Later = append(p.Later, n.later()...)
		if rests && f.unsure(n) && (len(shown) == 0 || n.rest.State == Held) { // what is held lives on as it is
			p.Unknown = append(p.Unknown, n.addr)
		}
	}
	for _, a := range slices.Sorted(maps.Keys(f.hooks)) {
		p.Steps = append(p.Steps, f.hooks[a].step(a))
	}
	sort.SliceStable(p.Steps, func(i, j int) bool { return p.Steps[i].Address < p.Steps[j].Address })
}

// held says of what the guard holds that it waits, also where it lives on as if
// nothing had changed.
func (n *foreseen) held() {
	if n.cause == "" || n.gone || n.rest.State != Ready && n.rest.State != "" {
		return
	}
	n.rest = Step{Action: ActWait, State: Held, Reason: n.cause, Why: n.cause, Mend: "tokend approve"}
}

// shown leaves out what is only written down, and what a step that is shown
// comes with.
func (n *foreseen) shown() []Step {
	var out []Step
	because := ""
	written := slices.ContainsFunc(n.steps, func(s Step) bool { return s.Action == ActWrite })
	for _, s := range n.steps {
		switch s.Action {
		case ActSettle, ActRevive:
			because = s.Reason
			continue
		case ActNote, ActRetire, ActRecord, ActLeave:
			continue
		case ActDrop:
			if len(out) > 0 || n.kind == kindSink && len(n.steps) > 1 {
				continue
			}
		case ActRepair:
			if written {
				continue // it is written in any case
			}
		}
		if slices.ContainsFunc(out, func(o Step) bool { return o.Action == s.Action && o.Retiring == s.Retiring && n.kind == kindSink }) {
			continue
		}
		if because != "" {
			s.Reason, because = s.Reason+" ("+because+")", ""
		}
		out = append(out, s)
	}
	return out
}

// later is what waits for its time.
func (n *foreseen) later() []Step {
	if n.cred == nil || !n.cred.Declared {
		return nil
	}
	var out []Step
	for i := range n.cred.Record.Retiring {
		s := retiredAt(n.cred, i)
		if s.Action != ActWait {
			continue
		}
		then := *n.cred
		if then.Now = s.Next; !n.cred.Record.Retiring[i].Retired.DeliveredAt.IsZero() {
			s.At = s.Next
		}
		if r := n.cred.Record.Retiring[i].Retired; s.State == Failing {
			s.Reason += ": " + r.Message
		}
		s.Action = ActRevoke
		if t := retiredAt(&then, i); t.Action == ActRelease {
			s.Action, s.Reason = ActRelease, s.Reason+"; then "+t.Reason
		}
		s.Address, s.State, s.Next = n.addr, Ready, time.Time{}
		out = append(out, s)
	}
	return out
}

// unsure says that only a look at a secret tells whether there is something to do:
// of a sink also where that is so of a token or key that it names.
func (f *forecast) unsure(n *foreseen) bool {
	return n.unsure || n.kind == kindSink && !n.gone && slices.ContainsFunc(n.names, func(c string) bool {
		u := f.byAddr[c]
		return u != nil && u.unsure
	})
}

func (h *foreseenHook) step(addr string) Step {
	sort.Strings(h.sinks)
	sort.Strings(h.before)
	s := Step{Address: addr, Action: ActHook, State: Pending, At: h.at}
	switch {
	case h.why != "":
		s.State, s.Again, s.Why, s.Mend, s.Reason = Failing, true, h.why, "tokend retry "+ShellAddress(addr), "it failed, and is run again"
	case len(h.sinks) == 0:
		s.Reason = "it has not run since " + list(h.before) + " changed"
	default:
		s.Reason = "once " + list(h.sinks) + " changed"
	}
	return s
}
