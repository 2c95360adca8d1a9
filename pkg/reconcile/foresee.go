package reconcile

import (
	"slices"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// forecast is a plan in the making: what was found at each address, and what
// each step would make of it.
type forecast struct {
	nodes  []*foreseen // by address
	byAddr map[string]*foreseen
	users  map[string][]*foreseen // of a credential: the sinks that name it or hold its token
	wrote  map[string]*foreseen   // of a place: the sink that has written it; nil where several have
	hooks  map[string]*foreseenHook
	moves  []Step
	// removed is how many nodes have nothing but orphans left.
	removed int
}

// foreseen is one address in a forecast.
type foreseen struct {
	addr    string
	kind    itemKind
	now     time.Time
	cause   string // the guard's reason
	first   Step   // the decision of this moment
	stands  Standing
	due     time.Time // when it would be looked at again; zero: at no time that is known
	place   string    // of a sink: where it is
	wanted  string    // of a sink: where it shall be
	next    string    // of a sink that goes on as it was: where it shall be then
	written []string  // of a sink: the places that it has written
	cred    *Input    // nil: at rest, or gone
	sink    *SinkInput
	gen     uint64 // of a credential: its token's
	has     bool   // of a credential: it has a token
	names   []string
	seen    []uint64         // of a sink: the generations of names that it was compared with, or will be written with
	away    bool             // of a sink: its place is out of sight, or its secrets are
	had     []uint64         // of a sink: those that there are now
	key     *spec.Attributes // of a credential: the key that is about to be taken over, where it is known
	with    func(keys map[string]*spec.Attributes) (drift string, ok bool)
	notify  []string          // of a sink: its hooks
	untold  []string          // of a sink: hooks that have not run since it was written
	again   bool              // of a sink: a crash may have kept its hooks from running, so it is written once more
	unsure  bool              // a secret that was not read may have changed
	broken  error             // why its grant will fail
	revokes bool              // of a credential: it is looked at again for an old token
	failed  []*state.Failure  // of a credential: what failed before, and is tried again
	blind   bool              // it could not be looked at
	unseen  bool              // of such a sink: nor was it before, so that what its places hold is not known
	known   map[string]uint64 // otherwise what they hold
	gone    bool

	steps []Step // what will be done
	rest  Step   // the decision after them
	by    string // of a sink: the credential whose new token is the reason to write it
	wrote bool   // of a sink: its place will hold what it shall

	left   []leftPlace // of a sink: the earlier places that it has still to leave
	leaves leftPlace   // and the one where it is, should it leave that
}

// foreseenHook is a hook that will run.
type foreseenHook struct {
	sinks  []string // that will have changed
	before []string // that have changed, and it has not run since
	at     time.Time
	why    string // its last run failed
}

// fails is an address that cannot even be looked at.
func (n *foreseen) fails(err error) {
	n.blind = true
	err = unready(err)
	n.first = Step{Address: n.addr, State: Failing, Why: err.Error()}
	n.rest = n.first
	n.stands = Standing{State: Failing, Why: n.first.Why, Mend: mendOf(err, n.addr)}
}

// tell notes what a hook has not told of yet.
func (f *forecast) tell(it *item) {
	if it.kind != kindHook || it.x == nil || len(it.x.pending) == 0 {
		return
	}
	h := f.hook(it.addr)
	for s := range it.x.pending {
		h.before = append(h.before, s)
	}
	if it.x.failures > 0 && it.phase == timed {
		h.at = fromNanos(it.due)
		if it.x.standing != nil {
			h.why = it.x.standing.Why
		}
	}
}

func (f *forecast) hook(addr string) *foreseenHook {
	h := f.hooks[addr]
	if h == nil {
		h = &foreseenHook{}
		f.hooks[addr] = h
	}
	return h
}

// mostRounds bounds a forecast; each round follows the steps of the one before
// one reference further.
const mostRounds = 1000

// run decides about everything until nothing is left to do. Keys that are taken
// over come first, and then sinks: they are written and repaired while a provider is
// being asked.
func (f *forecast) run() {
	f.index()
	for _, n := range f.nodes {
		if n.cred != nil && Decide(*n.cred).Action == ActStatic {
			f.credentialGoesOn(n)
		}
	}
	for range mostRounds {
		changed := false
		for _, n := range f.nodes {
			changed = n.sink != nil && !n.sink.Keeps && f.sinkGoesOn(n) || changed
		}
		for _, n := range f.nodes {
			changed = n.cred != nil && f.credentialGoesOn(n) || changed
		}
		if !changed && !f.keepersGoOn() {
			return
		}
	}
}

func (f *forecast) index() {
	f.byAddr, f.users, f.wrote = make(map[string]*foreseen, len(f.nodes)), map[string][]*foreseen{}, map[string]*foreseen{}
	for _, n := range f.nodes {
		f.byAddr[n.addr] = n
		for _, place := range n.written {
			if o, ok := f.wrote[place]; ok && o != n {
				f.wrote[place] = nil
			} else {
				f.wrote[place] = n
			}
		}
		for _, c := range n.names {
			f.users[c] = append(f.users[c], n)
		}
		for c := range n.holds() {
			if !slices.Contains(n.names, c) {
				f.users[c] = append(f.users[c], n)
			}
		}
		for _, h := range n.untold {
			hook := f.hook(h)
			hook.before = append(hook.before, n.addr)
		}
	}
}

// mostSteps bounds the steps of one address.
const mostSteps = 64

// credentialGoesOn decides about a credential, and about what each step leaves
// behind, until it has to wait. It reports whether there was a step.
func (f *forecast) credentialGoesOn(n *foreseen) bool {
	in, did := n.cred, false
	for range mostSteps {
		in.Holding, in.Unknown = f.holding(n)
		in.Telling = nil // its hooks run in the same pass
		s := Decide(*in)
		if !s.acts() {
			if n.rest = s; !passes(&in.Now, in.Quiet, n.now, s) {
				return did
			}
			continue
		}
		if in.Now.After(n.now) {
			s.At = in.Now
		}
		if c := f.lacking(n, s); c != "" {
			// Until then the token in force is looked after.
			lacks, at := *in, s.At
			lacks.Lacks = c
			if s = Decide(lacks); !s.acts() || grants(s) {
				why := waitsFor([]string{c})
				n.rest = Step{Address: n.addr, Action: ActWait, State: Waiting, Reason: why, Why: why}
				return did
			}
			s.At = at
		}
		if s.Action == ActVerify {
			in.follow(s) // which changes nothing, so a plan does not show it
			continue
		}
		did = true
		if grants(s) && n.broken != nil {
			s.State, s.Why, s.Mend = Failing, n.broken.Error(), mendOf(unready(n.broken), n.addr)
			s.Reason += ", but it would fail: " + n.broken.Error()
			n.steps, n.rest, n.cred = append(n.steps, s), Step{}, nil
			return did
		}
		n.triedAgain(&s)
		n.steps = append(n.steps, s)
		in.follow(s)
		n.gen, n.has = in.Record.Head.Generation, in.Record.Grant != nil && !unspent(in.Record.Grant)
		if s.Action == ActDrop {
			n.gone, n.cred, n.rest = true, nil, Step{}
			return did
		}
	}
	return did
}

// passes lets the time go by for which a step waits, where a plan looks that far
// ahead: a removal acts once the files were quiet, and a failure is tried again.
func passes(clock *time.Time, quiet, now time.Time, s Step) bool {
	if !s.Next.After(*clock) {
		return false
	}
	tried := (s.State == Failing || s.State == Removing) && !s.Next.After(now.Add(planHorizon))
	if settles := s.State == Removing && s.Next.Equal(quiet); !settles && !tried {
		return false
	}
	*clock = s.Next
	return true
}

// grants says whether a step asks for a new grant.
func grants(s Step) bool {
	return s.Action == ActObtain || s.Action == ActReplace || s.Action == ActStatic
}

// lacking is a credential whose token a grant needs and that will have none.
func (f *forecast) lacking(n *foreseen, s Step) string {
	if !grants(s) {
		return ""
	}
	for _, c := range n.names {
		if u := f.byAddr[c]; u != nil && !u.has {
			return c
		}
	}
	return ""
}

// holding lists the sinks that will still hold an older token of a credential
// (any, when it is gone), and says whether there are some that could not be
// looked at.
func (f *forecast) holding(n *foreseen) (names []string, unknown bool) {
	for _, s := range f.users[n.addr] {
		switch h := s.holds()[n.addr]; {
		case s.kind != kindSink || s.gone:
		case s.unseen:
			unknown = true
		case h > 0 && (!n.cred.Declared || h < n.gen):
			names = append(names, s.addr)
		}
	}
	return names, unknown
}

// followsKey says whether all that comes of a credential is another key.
func (f *forecast) followsKey(credential string) bool {
	n := f.byAddr[credential]
	return n != nil && slices.ContainsFunc(n.steps, func(s Step) bool { return s.Action == ActStatic }) &&
		!slices.ContainsFunc(n.steps, func(s Step) bool { return s.Action == ActObtain || s.Action == ActReplace || s.Action == ActRefresh })
}

// grantsAnew says whether a credential gets another grant in the plan.
func (f *forecast) grantsAnew(credential string) bool {
	n := f.byAddr[credential]
	return n != nil && slices.ContainsFunc(n.steps, grants)
}

// renews says whether a credential gets a new token in the plan.
func (f *forecast) renews(credential string) bool {
	n := f.byAddr[credential]
	return n != nil && slices.ContainsFunc(n.steps, func(s Step) bool { return grants(s) || s.Action == ActRefresh || s.Action == ActReplay })
}

// became is what will have happened to a credential.
func (f *forecast) became(credential string) string {
	n := f.byAddr[credential]
	if n == nil {
		return "obtained"
	}
	word := "obtained"
	for _, s := range n.steps {
		switch {
		case s.Action == ActRefresh, s.Action == ActReplay:
			word = "refreshed"
		case s.Action == ActReplace, s.Action == ActStatic && len(s.Inputs) > 0:
			word = "replaced"
		case s.Action == ActObtain, s.Action == ActStatic:
			word = "obtained"
		}
	}
	return word
}
