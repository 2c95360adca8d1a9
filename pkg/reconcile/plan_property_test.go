package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tokend/pkg/reconcile"
)

// A plan is what is done: for random configurations, random things that happened
// to them, and random changes, a pass performs the steps that the plan named, no
// more and no fewer, and leaves nothing to be planned. TOKEND_TEST_STORIES tells
// that many others than usual, TOKEND_TEST_STORY the one of that number.
func TestAPlanIsWhatIsDone(t *testing.T) {
	first, n := 0, 10
	if more, err := strconv.Atoi(os.Getenv("TOKEND_TEST_STORIES")); err == nil {
		first, n = int(time.Now().Unix()%1000000)*1000, more
	}
	if one, err := strconv.Atoi(os.Getenv("TOKEND_TEST_STORY")); err == nil {
		first, n = one, 1
	}
	seeds := []int{310237109, 358128028, 377983015, 378168006, 381476011, 389539542, 390736727} // found something once
	for seed := range n {
		seeds = append(seeds, first+seed)
	}
	stories := rapid.Custom(drawStory)
	for _, seed := range seeds {
		s := stories.Example(seed)
		inWorld(t, strict(), func(t *testing.T, w *world) {
			if wrong := s.play(t, w); wrong != "" {
				t.Errorf("story %d: %s\n%s", seed, wrong, s)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// story is one run of the property: a directory, what happens to it, and the
// directory after a change.
type story struct {
	first, second directory
	age           time.Duration // between the two
	drift         []string      // places that somebody else writes to
	taint         bool          // a person taints the first credential
	crash         bool          // the process is killed before the change
	broken        bool          // no place could be written since the first
	down          time.Duration // how long no daemon runs then
	settles       bool          // a daemon takes the change over, and waits for its settle
	renames       []rename      // what the second directory calls otherwise
	heir          bool          // a sink of the second takes the place of one that went
	swap          bool          // the first two sinks of the second change places
}

// rename is a block that gets another name, with a moved block or without one.
type rename struct {
	kind, typ, from, to string
	moved               bool
}

// renamed is a directory whose blocks have other names.
func (s story) renamed(hcl string) string {
	for _, r := range s.renames {
		from, to := fmt.Sprintf("%s.%s.%s", r.kind, r.typ, r.from), fmt.Sprintf("%s.%s.%s", r.kind, r.typ, r.to)
		title := fmt.Sprintf("%s %q %q {", r.kind, r.typ, r.to)
		hcl = strings.NewReplacer(from+".", to+".", fmt.Sprintf("%s %q %q {", r.kind, r.typ, r.from), title).Replace(hcl)
		if r.moved && strings.Contains(hcl, title) {
			hcl += fmt.Sprintf("moved {\n  from = %s\n  to   = %s\n}\n", from, to)
		}
	}
	if s.swap {
		hcl = strings.NewReplacer(`place = "p0-`, `place = "p1-`, `place = "p1-`, `place = "p0-`).Replace(hcl)
	}
	if s.heir && !s.second.sinks[2].there {
		hcl = strings.Replace(hcl, `place = "p3-`, `place = "p2-`, 1)
	}
	return hcl
}

// directory is a configuration.
type directory struct {
	creds []cred
	sinks []place
	guard int
}

type cred struct {
	name     string // "" when it is not declared
	variant  int
	overlap  string
	onRemove string
	prevent  bool
}

type place struct {
	there  bool
	at     int
	of     []int
	text   string
	notify bool
}

func drawStory(rt *rapid.T) story {
	s := story{first: drawDirectory(rt, "first"), second: drawDirectory(rt, "second")}
	s.age = rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute, 45 * time.Minute, 2 * time.Hour}).Draw(rt, "age")
	s.drift = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"p0-0", "p1-0", "p2-0", "p3-1"}), 0, 3, rapid.ID).Draw(rt, "drift")
	s.taint, s.crash = rapid.Bool().Draw(rt, "taint"), rapid.Bool().Draw(rt, "crash")
	s.down = rapid.SampledFrom([]time.Duration{0, 0, 20 * time.Minute, 5 * time.Hour, 50 * time.Hour}).Draw(rt, "down")
	s.broken, s.settles = rapid.IntRange(0, 4).Draw(rt, "broken") == 0, rapid.Bool().Draw(rt, "settles")
	for _, r := range []rename{{kind: "credential", typ: "coinify", from: "a", to: "a2"}, {kind: "credential", typ: "apirone", from: "key", to: "key2"}, {kind: "sink", typ: "mem", from: "s0", to: "t0"}} {
		if rapid.IntRange(0, 3).Draw(rt, r.to) == 0 {
			r.moved = rapid.Bool().Draw(rt, r.to+" moved")
			s.renames = append(s.renames, r)
		}
	}
	s.heir, s.swap = rapid.IntRange(0, 2).Draw(rt, "heir") == 0, rapid.IntRange(0, 5).Draw(rt, "swap") == 0
	return s
}

func drawDirectory(rt *rapid.T, label string) directory {
	d := directory{guard: rapid.SampledFrom([]int{1, 1000, 1000}).Draw(rt, label+" guard")}
	for _, name := range []string{"coinify.a", "coinify.b", "apirone.login", "apirone.key", "apirone.chained", "cryptohopper.bot"} {
		c := cred{name: name, variant: rapid.IntRange(0, 2).Draw(rt, label+name), onRemove: "revoke"}
		c.overlap = rapid.SampledFrom([]string{"0s", "1h"}).Draw(rt, label+name+" overlap")
		if rapid.IntRange(0, 3).Draw(rt, label+name+" forget") == 0 {
			c.onRemove = "forget"
		}
		c.prevent = rapid.IntRange(0, 5).Draw(rt, label+name+" prevent") == 0
		if rapid.IntRange(0, 3).Draw(rt, label+name+" absent") == 0 || name == "apirone.chained" && d.creds[0].name == "" {
			c.name = ""
		}
		d.creds = append(d.creds, c)
	}
	for i := range 4 {
		p := place{there: rapid.IntRange(0, 3).Draw(rt, fmt.Sprint(label, "there", i)) > 0, at: rapid.IntRange(0, 1).Draw(rt, fmt.Sprint(label, "at", i))}
		for _, of := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(d.creds)-1), 0, 2, rapid.ID).Draw(rt, fmt.Sprint(label, "of", i)) {
			if d.creds[of].name != "" {
				p.of = append(p.of, of)
			}
		}
		p.text = rapid.SampledFrom([]string{"x", "y"}).Draw(rt, fmt.Sprint(label, "text", i))
		p.notify = rapid.Bool().Draw(rt, fmt.Sprint(label, "notify", i))
		d.sinks = append(d.sinks, p)
	}
	return d
}

func (d directory) hcl() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tokend {\n  guard {\n    max_revocations = %d\n    max_revoked_percent = 100\n  }\n}\n", d.guard)
	for _, api := range []string{"coinify", "apirone", "cryptohopper"} {
		fmt.Fprintf(&b, "provider %q {\n  base_url = \"http://%s.localhost\"\n  allow_insecure_http = true\n}\n", api, api)
	}
	b.WriteString("hook \"mem\" \"tell\" {}\n")
	for i := range 3 {
		fmt.Fprintf(&b, "secret \"mem\" \"s%d\" { value = \"the-secret-%d\" }\n", i, i)
	}
	for _, c := range d.creds {
		if c.name == "" {
			continue
		}
		typ, name, _ := strings.Cut(c.name, ".")
		fmt.Fprintf(&b, "credential %q %q {\n", typ, name)
		switch name {
		case "a", "b":
			fmt.Fprintf(&b, "  grant = \"password\"\n  email = \"%s%d@example.com\"\n  partner_id = \"p\"\n  password = secret.mem.s0.value\n", name, c.variant)
		case "login":
			fmt.Fprintf(&b, "  grant = \"login\"\n  login = \"apr-%d\"\n  password = secret.mem.s%d.value\n", c.variant/2, c.variant)
		case "chained":
			fmt.Fprintf(&b, "  grant = \"login\"\n  login = \"apr-chained-%d\"\n  password = credential.coinify.a.access_token\n", c.variant)
		case "key":
			fmt.Fprintf(&b, "  grant = \"transfer_key\"\n  transfer_key = secret.mem.s%d.value\n", c.variant)
		case "bot":
			fmt.Fprintf(&b, "  grant = \"authorization_code\"\n  client_id = \"c%d\"\n  client_secret = secret.mem.s0.value\n  scopes = [\"read\"]\n", c.variant)
		}
		fmt.Fprintf(&b, "  lifecycle {\n    overlap = %q\n    on_remove = %q\n    prevent_destroy = %v\n  }\n}\n", c.overlap, c.onRemove, c.prevent)
	}
	for i, p := range d.sinks {
		if !p.there {
			continue
		}
		content := p.text
		for _, of := range p.of {
			field := "access_token"
			if d.creds[of].name == "apirone.key" {
				field = "transfer_key"
			}
			content += "${credential." + d.creds[of].name + "." + field + "}"
		}
		fmt.Fprintf(&b, "sink \"mem\" \"s%d\" {\n  place = \"p%d-%d\"\n  content = \"%s\"\n", i, i, p.at, content)
		if p.notify {
			b.WriteString("  notify = [hook.mem.tell]\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func (s story) String() string {
	return fmt.Sprintf("%s\n--- after %s and %s down, drift %v, taint %v, crash %v, broken %v, settles %v:\n%s", s.first.hcl(), s.age, s.down, s.drift, s.taint, s.crash, s.broken, s.settles, s.renamed(s.second.hcl()))
}

// play tells the story and compares what was planned with what was done; it
// returns what is wrong.
func (s story) play(t *testing.T, w *world) string {
	w.set(s.first.hcl())
	w.wait(time.Minute)
	if s.broken {
		w.places.failWith(fmt.Errorf("the places are read-only"))
	}
	w.wait(s.age)
	w.places.overwrite(s.drift)
	w.halt()
	w.wait(s.down)
	if s.taint && s.first.creds[0].name != "" {
		w.begin(true) // so that it is tainted and not replaced yet
		_, err := w.loop.Set(t.Context(), w.config(s.first.hcl()), reconcile.SetOptions{NoSettle: true, Dry: true})
		if err == nil {
			err = w.loop.Resume(t.Context(), "credential.coinify.a")
		}
		if err == nil {
			_ = w.loop.Do(t.Context(), "credential.coinify.a", reconcile.Order{Kind: reconcile.OrderTaint}) // it may have no token
		}
		if err != nil {
			return err.Error()
		}
		w.halt()
	}
	if s.crash {
		w.store = w.store.Crash()
	}
	w.places.failWith(nil)
	done := &deeds{}
	w.log = slog.New(done)
	w.begin(true)
	second := w.config(s.renamed(s.second.hcl()))
	o := reconcile.SetOptions{NoSettle: !s.settles, Dry: !s.settles}
	if _, err := w.loop.Set(t.Context(), second, o); err != nil {
		return err.Error()
	}
	plan, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{NoSettle: !s.settles})
	if err != nil {
		return err.Error()
	}
	if w.dueSoon(plan) {
		return "" // what falls due while the pass lasts is no plan's to name
	}
	if !s.settles {
		if _, err := w.loop.Set(t.Context(), second, reconcile.SetOptions{NoSettle: true}); err != nil {
			return err.Error()
		}
	}
	if err := w.loop.Resume(t.Context()); err != nil {
		return err.Error()
	}
	converge(t, w, s.settles)
	if done.failed() {
		return "" // a plan takes every call to succeed
	}
	did := done.all()
	if s.settles { // records move when a change is taken over, before this plan was made
		maps.DeleteFunc(did, func(d string, _ bool) bool { return strings.HasSuffix(d, " move") })
	}
	if diff := compareDeeds(needed(foretold(plan), did), did); diff != "" {
		return diff + "\nplan:\n" + lines(plan.Steps) + "later:\n" + lines(plan.Later) + "done:\n" + strings.Join(done.log(), "\n")
	}
	after, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
	if err != nil {
		return err.Error()
	}
	if left := foretold(after); len(left) > 0 {
		return fmt.Sprintf("after the pass there is something to do: %v\nplan:\n%safter:\n%s", slices.Sorted(maps.Keys(left)), lines(plan.Steps), lines(after.Steps))
	}
	return ""
}

// dueSoon says whether a token is due within the pass, but not at once.
func (w *world) dueSoon(p reconcile.Plan) bool {
	soon := func(at time.Time) bool { return at.After(time.Now()) && time.Until(at) < 2*time.Minute }
	v, err := w.loop.Status(context.Background(), "")
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.ContainsFunc(v.Credentials, func(l reconcile.Line) bool { return soon(l.NextAt) }) ||
		slices.ContainsFunc(p.Now, func(s reconcile.Step) bool {
			return s.State != reconcile.Failing && s.State != reconcile.Removing && soon(s.Next)
		})
}

// wait lets time go by.
func (w *world) wait(d time.Duration) { w.pass(d, d, nil) }

// converge waits as an apply does.
func converge(t *testing.T, w *world, settles bool) {
	if settles {
		w.wait(15 * time.Second) // the settle of ten seconds, and a little
	}
	deadline := time.Now().Add(30 * time.Second)
	for calm := 0; calm < 2 && time.Now().Before(deadline); {
		busy, err := w.loop.Busy(t.Context(), time.Until(deadline))
		if err != nil {
			t.Fatal(err)
		}
		if calm++; busy {
			calm = 0
		}
		w.wait(25 * time.Millisecond)
	}
}

func lines(steps []reconcile.Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	return b.String()
}
