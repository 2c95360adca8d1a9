package reconcile_test

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tokend/pkg/reconcile"
)

// A plan made away from the host is what its daemon then does: for random
// directories and random changes of them, in other words and under other names
// among them, the daemon performs what was planned against its export, and of
// other addresses only what was said to be known at apply.
// TOKEND_TEST_STORIES and TOKEND_TEST_STORY as in TestAPlanIsWhatIsDone.
func TestAPlanAwayIsWhatIsDone(t *testing.T) {
	first, n := 0, 10
	if more, err := strconv.Atoi(os.Getenv("TOKEND_TEST_STORIES")); err == nil {
		first, n = int(time.Now().Unix()%1000000)*1000, more
	}
	if one, err := strconv.Atoi(os.Getenv("TOKEND_TEST_STORY")); err == nil {
		first, n = one, 1
	}
	stories := rapid.Custom(drawAwayStory)
	seeds := []int{
		368833211, 369712192, // a key by another name, and one in a sink that is held
		381415002, // a sink whose removal is held, and whose key changes
		378010118, // a sink that is held, and would wait for a token if it were not
		378508002, // a key that a sink no longer holds, whatever else is known of it
	}
	for seed := range n {
		seeds = append(seeds, first+seed)
	}
	for _, seed := range seeds {
		s := stories.Example(seed)
		inWorld(t, strict(), func(t *testing.T, w *world) {
			if wrong := s.play(t, w); wrong != "" {
				t.Errorf("story %d: %s\n%s\nwords %d", seed, wrong, s, s.words)
			}
		})
		if t.Failed() {
			return
		}
	}
}

// awayStory is a story whose change is planned away from the host.
type awayStory struct {
	story
	words int // how contents are said in the second directory
	alike bool
}

func drawAwayStory(rt *rapid.T) awayStory {
	s := awayStory{story: drawStory(rt)}
	s.drift, s.taint, s.crash, s.broken, s.down, s.settles = nil, false, false, false, 0, true
	s.words = rapid.IntRange(0, 3).Draw(rt, "words")
	if s.alike = rapid.Bool().Draw(rt, "alike"); s.alike { // so that words and names are all that changes
		s.second = s.first
	}
	return s
}

var contentLine = regexp.MustCompile(`content = "([xy])((?:\$\{[a-z0-9_.]+\})*)"`)

// said is a directory in other words.
func (s awayStory) said(hcl string) string {
	if s.words == 3 {
		hcl = strings.ReplaceAll(hcl, "  notify = [hook.mem.tell]\n", "")
	}
	if s.words == 0 {
		return hcl
	}
	return contentLine.ReplaceAllStringFunc(hcl, func(line string) string {
		m := contentLine.FindStringSubmatch(line)
		parts := []string{strconv.Quote(m[1])}
		for _, p := range strings.SplitAfter(m[2], "}") {
			if p != "" {
				parts = append(parts, p[2:len(p)-1])
			}
		}
		if s.words == 1 {
			return `content = join("", [` + strings.Join(parts, ", ") + `])`
		}
		return `content = format("` + strings.Repeat("%s", len(parts)) + `", ` + strings.Join(parts, ", ") + `)`
	})
}

func (s awayStory) play(t *testing.T, w *world) string {
	done := &deeds{}
	w.halt()
	w.log = slog.New(done)
	w.start()
	w.set(s.first.hcl())
	w.wait(time.Minute)
	w.wait(s.age)
	x, err := w.loop.Export(t.Context())
	if err != nil {
		return err.Error()
	}
	before, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
	if err != nil || w.dueSoon(before) || len(before.Steps)+len(before.Later) > 0 {
		return "" // what is under way goes on besides
	}
	second := s.said(s.renamed(s.second.hcl()))
	plan := w.against(x, second)
	if w.dueSoon(plan) {
		return ""
	}
	done.forget()
	w.set(second)
	converge(t, w, true)
	w.wait(time.Minute)
	if done.failed() {
		return ""
	}
	did := done.all()
	said := needed(foretold(plan), did)
	for _, a := range plan.Unknown {
		for _, of := range []map[string]bool{did, said} {
			maps.DeleteFunc(of, func(d string, _ bool) bool { return strings.HasPrefix(d, a+" ") })
		}
	}
	if len(plan.Unknown) > 0 { // what is not known may have hooks run, and has it later
		delete(did, "hook.mem.tell hook")
		delete(said, "hook.mem.tell hook")
	}
	later := map[string]bool{}
	for _, l := range plan.Later {
		if k := deed(l.Action); k != "" {
			later[l.Address+" "+k] = true
		}
	}
	maps.DeleteFunc(did, func(d string, _ bool) bool { return later[d] && !said[d] })
	if diff := compareDeeds(said, did); diff != "" {
		return diff + "\nplan:\n" + lines(plan.Steps) + "later:\n" + lines(plan.Later) + fmt.Sprintln("unknown:", plan.Unknown) + "done:\n" + strings.Join(slices.DeleteFunc(done.log(), func(l string) bool { return strings.HasPrefix(l, "  debug") }), "\n")
	}
	return ""
}

// forget begins anew.
func (d *deeds) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.steps, d.order = nil, nil
}
