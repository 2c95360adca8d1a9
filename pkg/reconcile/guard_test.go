package reconcile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

func TestJudge(t *testing.T) {
	g := spec.Guard{MaxRevocations: 10, MaxRevokedPercent: 25}
	loose := spec.Guard{MaxRevocations: 1000, MaxRevokedPercent: 25}
	steps := func(n int, s letGo) guardLog {
		var log guardLog
		for range n {
			log.Steps = append(log.Steps, s)
		}
		return log
	}
	removed := func(n int, ago time.Duration) guardLog { return steps(n, letGo{At: t0.Add(-ago), Begun: true}) }
	replaced := func(n int) guardLog { return steps(n, letGo{At: t0.Add(-time.Minute), Begun: true, Replaced: true}) }
	for name, c := range map[string]struct {
		guard spec.Guard
		c     change
		log   guardLog
		want  string // part of the reason; "" lets it go
	}{
		"nothing":                          {g, change{credentials: 100}, guardLog{}, ""},
		"a few of many":                    {g, change{revocations: 10, credentials: 100}, guardLog{}, ""},
		"too many":                         {g, change{revocations: 11, credentials: 100}, guardLog{}, "would give up 11 tokens; guard.max_revocations is 10"},
		"sinks are counted too":            {g, change{revocations: 5, removed: 6, credentials: 100, sinks: 100}, guardLog{}, "would give up 5 tokens and remove 6 sinks; guard.max_revocations"},
		"sinks alone":                      {g, change{removed: 11, sinks: 100}, guardLog{}, "would remove 11 sinks; guard.max_revocations"},
		"none at all":                      {spec.Guard{MaxRevokedPercent: 100}, change{revocations: 1, credentials: 100}, guardLog{}, "max_revocations is 0"},
		"a quarter":                        {g, change{revocations: 5, credentials: 20}, guardLog{}, ""},
		"more than a quarter":              {g, change{revocations: 6, credentials: 20}, guardLog{}, "percent"},
		"of four it does not count":        {g, change{revocations: 4, credentials: 4}, guardLog{}, ""},
		"of five it does":                  {g, change{revocations: 2, credentials: 5}, guardLog{}, "percent"},
		"of sinks":                         {g, change{removed: 3, sinks: 8}, guardLog{}, "percent"},
		"sinks are not credentials":        {g, change{revocations: 1, credentials: 100, removed: 1, sinks: 100}, guardLog{}, ""},
		"with the hour before":             {g, change{revocations: 3, credentials: 100}, removed(8, 59*time.Minute), "hour before"},
		"what was earlier does not":        {g, change{revocations: 3, credentials: 100}, removed(8, time.Hour), ""},
		"let go, however long ago":         {g, change{revocations: 3, credentials: 100}, steps(8, letGo{At: t0.Add(-48 * time.Hour)}), "hour before"},
		"percent with the hour before":     {g, change{revocations: 1, credentials: 9}, removed(2, time.Minute), "percent"},
		"the removed were of the whole":    {loose, change{revocations: 1, credentials: 98}, removed(24, time.Minute), ""},
		"and one more of them":             {loose, change{revocations: 2, credentials: 76}, removed(24, time.Minute), "percent"},
		"the replaced are there still":     {loose, change{revocations: 1, credentials: 100}, replaced(25), "percent"},
		"sinks removed before are sinks":   {loose, change{removed: 1, sinks: 75}, steps(25, letGo{At: t0, Begun: true, Sink: true}), "percent"},
		"emptied, however few they were":   {g, change{revocations: 1, credentials: 1, emptied: true}, guardLog{}, "no credential"},
		"emptied, but for what is kept":    {g, change{removed: 1, credentials: 1, sinks: 1, emptied: true}, guardLog{}, "no credential"},
		"earlier tokens hold up no sink":   {loose, change{removed: 1, sinks: 100, credentials: 1}, removed(25, time.Minute), ""},
		"earlier sinks hold up no removal": {loose, change{revocations: 1, credentials: 100}, steps(50, letGo{At: t0, Begun: true, Sink: true}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := judge(c.guard, c.log, t0, c.c)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("judged %q, want %q", got, c.want)
			}
		})
	}
}

func TestStricterOfOldAndNew(t *testing.T) {
	loose := spec.Guard{MaxRevocations: 1000, MaxRevokedPercent: 100, Settle: 0}
	tight := spec.Guard{MaxRevocations: 1, MaxRevokedPercent: 5, Settle: time.Minute}
	if got := stricter(loose, tight); got != tight {
		t.Errorf("stricter = %+v", got)
	}
	if got := stricter(tight, loose); got != tight {
		t.Errorf("stricter, the other way round = %+v", got)
	}
}

// What one change would destroy is let go together or held together; only what
// was agreed to before goes on by itself.
func TestWeigh(t *testing.T) {
	store := state.NewMemory(state.MemoryOptions{})
	base := weights{guard: spec.Guard{MaxRevocations: 2, MaxRevokedPercent: 100}, total: change{credentials: 100, sinks: 100}, credentials: 90, now: t0, store: store}
	creds := func(n int) []candidate {
		var all []candidate
		for i := range n {
			all = append(all, candidate{addr: fmt.Sprintf("credential.x.c%d", i), digest: "removed", reason: "it is no longer declared"})
		}
		return all
	}
	sink := candidate{addr: "sink.file.s", sink: true, digest: "removed"}
	moved := candidate{addr: "credential.x.moved", digest: "new", replaced: true, origin: "from here to there"}
	forgotten := candidate{addr: "credential.x.forgotten", digest: "forgotten", forget: true}
	for name, c := range map[string]struct {
		all    []candidate
		with   func(*weights)
		log    guardLog
		held   string // addresses, in order
		logged int    // steps in the log afterwards
		stale  bool
	}{
		"fits":                       {all: creds(2), logged: 2},
		"too many are held as one":   {all: append(creds(2), sink), held: "credential.x.c0 credential.x.c1 sink.file.s"},
		"allowed by a person":        {all: append(creds(2), sink), with: func(w *weights) { w.allow = 3 }, logged: 3},
		"allowed, but fewer":         {all: append(creds(2), sink), with: func(w *weights) { w.allow = 2 }, held: "credential.x.c0 credential.x.c1 sink.file.s"},
		"a changed origin waits":     {all: append(creds(1), moved), held: "credential.x.moved", logged: 1},
		"and is let go when allowed": {all: []candidate{moved}, with: func(w *weights) { w.allow = 1 }, logged: 1},
		"forgetting is not counted":  {all: append(creds(2), forgotten), logged: 2},
		"but nothing else is left":   {all: []candidate{forgotten}, with: func(w *weights) { w.credentials = 0 }, held: "credential.x.forgotten"},
		"approved":                   {all: creds(3), with: func(w *weights) { w.approved = map[string]string{"credential.x.c0": "removed"} }, logged: 3},
		"approved, and too many":     {all: creds(4), with: func(w *weights) { w.approved = map[string]string{"credential.x.c0": "removed"} }, held: "credential.x.c1 credential.x.c2 credential.x.c3", logged: 1},
		"approved for another":       {all: creds(3), with: func(w *weights) { w.approved = map[string]string{"credential.x.c0": "other"} }, held: "credential.x.c0 credential.x.c1 credential.x.c2", stale: true},
		"let go before":              {all: creds(2), log: guardLog{}.with(creds(2), t0.Add(-3*time.Hour)), logged: 2},
		"and one more":               {all: creds(3), log: guardLog{}.with(creds(2), t0.Add(-3*time.Hour)), held: "credential.x.c2", logged: 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := base
			if c.with != nil {
				c.with(&w)
			}
			v := verdict{allowed: map[string]bool{}, blocked: map[string]bool{}, agreed: map[string]string{}, approved: map[string]string{}, log: c.log}
			v.weigh(c.all, w)
			held := ""
			if v.held != nil {
				var steps []string
				for _, s := range v.held.Steps {
					steps = append(steps, s.Address)
				}
				held = strings.Join(steps, " ")
				if v.held.Reason == "" || v.held.ID == "" || v.held.Total() != len(steps) {
					t.Errorf("held %+v", v.held)
				}
			}
			if held != c.held || len(v.log.Steps) != c.logged || v.stale != c.stale {
				t.Errorf("held %q, %d steps logged, stale %t; want %q, %d, %t", held, len(v.log.Steps), v.stale, c.held, c.logged, c.stale)
			}
			for _, x := range c.all {
				if v.allowed[x.addr] == v.blocked[x.addr] {
					t.Errorf("%s is allowed %t and blocked %t", x.addr, v.allowed[x.addr], v.blocked[x.addr])
				}
			}
		})
	}
}

// Waiting alone lets nothing go that was held: its hour is the one before it
// came.
func TestAHeldChangeIsJudgedByTheHourBeforeItCame(t *testing.T) {
	store := state.NewMemory(state.MemoryOptions{})
	w := weights{guard: spec.Guard{MaxRevocations: 2, MaxRevokedPercent: 100}, total: change{credentials: 100}, credentials: 90, now: t0, store: store}
	log := guardLog{Steps: []letGo{{Address: "credential.x.a", At: t0.Add(-time.Minute), Begun: true}, {Address: "credential.x.b", At: t0.Add(-time.Minute), Begun: true}}}
	one := []candidate{{addr: "credential.x.c", digest: "removed"}}
	weigh := func(w weights) verdict {
		v := verdict{allowed: map[string]bool{}, blocked: map[string]bool{}, agreed: map[string]string{}, approved: map[string]string{}, log: log}
		v.weigh(one, w)
		return v
	}
	first := weigh(w)
	if first.held == nil {
		t.Fatal("it was let go")
	}
	w.now, w.before = t0.Add(5*time.Hour), heldMemory{Since: first.held.Since, Addresses: first.held.addresses()}
	again := weigh(w)
	if again.held == nil || !again.held.Since.Equal(t0) || again.held.ID != first.held.ID {
		t.Errorf("hours later: %+v", again.held)
	}
	w.before = heldMemory{}
	if fresh := weigh(w); fresh.held != nil {
		t.Errorf("a change that came hours later is held: %+v", fresh.held)
	}
}

// The log forgets what will not come; after a start, what may have begun counts.
func TestTheLogOfWhatWasLetGo(t *testing.T) {
	none := func(string) bool { return false }
	a, b := candidate{addr: "a", digest: "removed"}, candidate{addr: "b", digest: "removed"}
	log := guardLog{}.with([]candidate{a, b, {addr: "f", forget: true}, {addr: "p", person: true}}, t0)
	if n := len(log.Steps); n != 2 {
		t.Fatalf("%d steps", n)
	}
	if n := len(log.with([]candidate{a}, t0).Steps); n != 2 {
		t.Errorf("a step is in the log twice")
	}
	if got := log.withdraw([]candidate{a}, false, none); len(got.Steps) != 1 || got.Steps[0].Address != "a" {
		t.Errorf("after b was taken back: %+v", got)
	}
	if got := log.withdraw([]candidate{a}, true, none); len(got.Steps) != 2 || !got.Steps[1].Begun {
		t.Errorf("after a start without b: %+v", got)
	}
	if got := log.withdraw([]candidate{{addr: "a", digest: "another"}}, false, none); len(got.Steps) != 0 {
		t.Errorf("after another change of a: %+v", got)
	}
	if got := log.withdraw([]candidate{a}, false, func(addr string) bool { return addr == "b" }); len(got.Steps) != 2 || got.Steps[1].Begun {
		t.Errorf("while b is at work: %+v", got)
	}
	waited := log.pending()
	began := log.withBegun(letGo{Address: "a", Digest: "removed", At: t0, Begun: true})
	again := candidate{addr: "a", digest: "once more"}
	if got := began.notBegun([]candidate{a, b, again}, waited); len(got) != 2 || got[0].addr != "b" || got[1].digest != "once more" {
		t.Errorf("what was looked at before it began counts twice: %+v", got)
	}
	if got := began.notBegun([]candidate{a}, began.pending()); len(got) != 1 {
		t.Errorf("what had begun before the look is another step: %+v", got)
	}
}

func TestWhatAChangeDestroys(t *testing.T) {
	held := func(f func(*Input)) Input {
		in := Input{Now: t0, Declared: true, Want: &spec.Credential{}}
		in.Record.Grant = &state.Grant{}
		f(&in)
		return in
	}
	for name, c := range map[string]struct {
		in    Input
		cause string
	}{
		"nothing changed":               {held(func(*Input) {}), ""},
		"an input changed":              {held(func(in *Input) { in.WantsNew = []string{"email"} }), causeReplace},
		"in a back-off":                 {held(func(in *Input) { in.WantsNew, in.Record.Failure = []string{"email"}, &state.Failure{Stopped: true} }), causeReplace},
		"with an open call":             {held(func(in *Input) { in.WantsNew, in.Intent = []string{"email"}, &state.Intent{Op: opRefresh} }), causeReplace},
		"tainted too":                   {held(func(in *Input) { in.WantsNew, in.Record.Head.Flags = []string{"email"}, state.FlagTainted }), causeReplace},
		"tainted only":                  {held(func(in *Input) { in.Record.Head.Flags = state.FlagTainted }), ""},
		"a login replaces it":           {held(func(in *Input) { in.WantsNew, in.Traits.Interactive = []string{"email"}, true }), ""},
		"another origin":                {held(func(in *Input) { in.Origins = "from here to there" }), causeReplace},
		"another origin, by a login":    {held(func(in *Input) { in.Origins, in.Traits.Interactive = "from here to there", true }), causeReplace},
		"a static key follows":          {held(func(in *Input) { in.WantsNew, in.Traits.Static, in.Held.Static = []string{"key"}, true, true }), ""},
		"a static key for a token":      {held(func(in *Input) { in.WantsNew, in.Traits.Static = []string{"grant"}, true }), causeReplace},
		"prevented":                     {held(func(in *Input) { in.WantsNew, in.Want.Lifecycle.PreventDestroy = []string{"email"}, true }), ""},
		"removed":                       {held(func(in *Input) { in.Declared = false }), causeRemove},
		"removed, without a token":      {held(func(in *Input) { in.Declared, in.Record.Grant = false, nil }), ""},
		"its removal has begun":         {held(func(in *Input) { in.Declared, in.Record.Removing = false, &state.Removing{} }), ""},
		"its removal is prevented":      {held(func(in *Input) { in.Declared, in.Record.Lifecycle.PreventDestroy = false, true }), ""},
		"forgotten as its block said":   {held(func(in *Input) { in.Declared, in.Record.Lifecycle.OnRemove = false, spec.OnRemoveForget }), causeForget},
		"a replacement that is blocked": {held(func(in *Input) { in.WantsNew, in.Record.Raw = []string{"email"}, &state.Raw{} }), causeReplace},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := c.in.destroys(); got.cause != c.cause || ok != (c.cause != "") {
				t.Errorf("%+v, %t; want %q", got, ok, c.cause)
			}
		})
	}
}
