package reconcile

import (
	"slices"

	"tokend/pkg/spec"
)

// sinkGoesOn is credentialGoesOn for a sink.
func (f *forecast) sinkGoesOn(n *foreseen) bool {
	in, did := n.sink, false
	for range mostSteps {
		f.expect(n)
		s := DecideSink(*in)
		if s.Action == ActRecord && (in.Moved || in.Named || in.Record.Written == nil || n.again) {
			if s.Action = ActWrite; n.again && !in.Moved && !in.Named && in.Record.Written != nil {
				s.Reason += "; it is written once more after a start, which cannot know who was told of it"
			}
		}
		if !s.acts() {
			n.rest = s
			if n.away && in.Declared && in.Stored && n.cause == "" && s.State == Ready {
				n.holdsAll() // written or not, by then it is known to
			}
			if in.Claimed && !in.Taken && !in.Now.Before(in.Quiet) {
				return did // which is over once another sink has written, not when time has gone by
			}
			if !passes(&in.Now, in.Quiet, n.now, s) {
				return did
			}
			if f := in.Record.Failure; in.Declared && !in.Checked && len(in.Missing) == 0 && (f == nil && !in.Deferred || f != nil && f.Op != opClean) {
				in.Drift = "its last write failed"
			}
			continue
		}
		if in.Now.After(n.now) {
			s.At = in.Now
		}
		if s.Action == ActWrite && n.by != "" {
			s.Reason = "once " + spec.Address(n.by).Short() + " is " + f.became(n.by)
			if in.Deferred {
				s.Reason += ": what else it holds is known at apply"
			}
		}
		in.triedAgain(&s)
		f.replaces(n, &s)
		n.steps, did = append(n.steps, s), true
		f.sinkFollows(n, s)
		if n.sink == nil {
			return did
		}
	}
	return did
}

// expect brings a sink in line with the tokens that there will be.
func (f *forecast) expect(n *foreseen) {
	in := n.sink
	in.Taken = in.Taken || f.takes(n.leaves.heir)
	if in.Keeps && in.Taken {
		in.Keeps, in.Declared = false, false
	}
	f.leaves(n)
	if !in.Declared || n.blind {
		return
	}
	waited, news, hidden := len(in.Missing) > 0, false, false
	in.Missing = nil
	for i, c := range n.names {
		gen, has := n.seen[i], n.seen[i] > 0
		if u := f.byAddr[c]; u != nil {
			gen, has = u.gen, u.has
		}
		switch {
		case !has:
			in.Missing = []string{c}
		case slices.Contains(in.Awaits, c) && f.grantsAnew(c):
			n.arrives(c)
			n.seen[i], n.by = gen, c
		case gen != n.seen[i] || waited && f.renews(c):
			n.seen[i] = gen
			if n.away && in.Stored && f.followsKey(c) {
				hidden = true // the key may be what the place holds already
				continue
			}
			n.by = c
			in.Newer, in.Drift, in.Checked = []string{c}, "a newer token is there", true
			news = true
		}
	}
	if news && len(in.Missing) == 0 && len(in.Awaits) == 0 {
		f.expectKeys(n)
	}
	if hidden && !news {
		n.unsure = true
		n.holdsAll() // in any case
		return
	}
	if waited && len(in.Missing) == 0 && in.Drift == "" {
		in.Drift, in.Checked = "it could not be compared", true
	}
}

// holdsAll lets a place hold what its sink names, and nothing else.
func (n *foreseen) holdsAll() {
	holds := make(map[string]uint64, len(n.names))
	for i, c := range n.names {
		holds[c] = n.seen[i]
	}
	n.sink.Record.Delivered = holds
}

// holds are the oldest tokens that the places of a sink will hold.
func (n *foreseen) holds() map[string]uint64 {
	if n.sink == nil {
		return n.known
	}
	return holdings(&n.sink.Record)
}

// arrives lets a sink hold what comes with a credential's next grant.
func (n *foreseen) arrives(credential string) {
	in := n.sink
	in.Awaits = slices.DeleteFunc(slices.Clone(in.Awaits), func(a string) bool { return a == credential })
	in.AsBefore = in.AsBefore && len(in.Awaits) > 0
	in.Newer, in.Drift, in.Changed, in.Checked = []string{credential}, "what it shall hold changed", true, true
	if n.next != "" {
		n.wanted, in.Moved = n.next, in.Record.Written != nil && placeOf(in.Record.Written) != n.next
	}
}

// sinkFollows is what a step leaves of a sink.
func (f *forecast) sinkFollows(n *foreseen, s Step) {
	in := n.sink
	switch s.Action {
	case ActWrite, ActRepair, ActRecord:
		n.goesOn()
		if s.Action != ActRecord {
			f.changes(n)
		}
		n.wrote = true
		in.Stored, in.Changed, in.Moved, in.Named, in.Drift, in.Newer, in.Deferred, in.Foreign = true, false, false, false, "", nil, false, ""
		in.Record.Failure, n.again, n.by = nil, false, ""
	case ActClean, ActLeave:
		n.cleans()
	case ActRemove:
		f.changes(n)
		n.gone, n.sink, n.rest = true, nil, Step{}
	case ActDrop:
		n.gone, n.sink, n.rest = true, nil, Step{}
	}
}

// changes has the hooks of a sink run.
func (f *forecast) changes(n *foreseen) {
	for _, h := range n.notify {
		if hook := f.hook(h); !slices.Contains(hook.sinks, n.addr) {
			hook.sinks = append(hook.sinks, n.addr)
		}
	}
}
