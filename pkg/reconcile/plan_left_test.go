package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// sinksAt is a directory of sinks with a place each, under a guard that lets no sink
// go.
func sinksAt(where ...string) string {
	hcl := "tokend {\n  guard {\n    max_revocations = 0\n    settle = \"1s\"\n  }\n}\n"
	for i := 0; i < len(where); i += 2 {
		hcl += "sink \"mem\" \"" + where[i] + "\" {\n  place = \"" + where[i+1] + "\"\n  content = \"of " + where[i] + "\"\n}\n"
	}
	return hcl
}

// A place that a sink leaves to another one is that one's to write over. While that
// is held, a plan names neither a cleaning that is not done nor the end of a sink
// that waits, and status says for whom is waited.
func TestAPlanOfAPlaceThatIsLeftToAHeldSink(t *testing.T) {
	for _, c := range []struct {
		name           string
		first, second  string
		drift          []string
		planned, waits string
	}{
		{"of a sink that moves", sinksAt("a", "1", "b", "2"), sinksAt("a", "2", "b", "3"), nil,
			"write sink.mem.b", "2, which it leaves, is still to be written by sink.mem.a"},
		{"of a sink that is removed", sinksAt("a", "1", "b", "2"), sinksAt("a", "2"), []string{"1"},
			"repair sink.mem.a", "it is no longer declared"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(c.first)
				time.Sleep(time.Minute)
				w.places.overwrite(c.drift)
				w.halt()
				w.begin(true)
				if h := w.set(c.second); h == nil || len(h.Sinks) != 1 || h.Sinks[0] != "sink.mem.a" {
					t.Fatalf("held %+v", h)
				}
				said := func() string {
					return w.planned(t, func(s reconcile.Step) bool { return deed(s.Action) != "" })
				}
				if got := said(); got != c.planned {
					t.Errorf("planned %q, want %q", got, c.planned)
				}
				if err := w.loop.Resume(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if got := said(); got != "" {
					t.Errorf("after it is planned %q", got)
				}
				if l := w.line("sink.mem.b"); !strings.Contains(l.Why, c.waits) {
					t.Errorf("status says %+v", l)
				}
				if got := w.places.get("1") + ", " + w.places.get("2"); got != "of a, of b" {
					t.Errorf("the places hold %q", got)
				}
				h, err := w.loop.Held(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := w.loop.Approve(t.Context(), h); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				if w.places.get("1") != "" || w.places.get("2") != "of a" || said() != "" {
					t.Errorf("after the approval: %q, %q, planned %q", w.places.get("1"), w.places.get("2"), said())
				}
			})
		})
	}
}

// planned is what a plan says of the steps that count, in its order.
func (w *world) planned(t *testing.T, counts func(reconcile.Step) bool) string {
	t.Helper()
	p, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range p.Steps {
		if counts(s) {
			out = append(out, string(s.Action)+" "+s.Address)
		}
	}
	return strings.Join(out, "; ")
}
