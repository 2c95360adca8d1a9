package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/sinks"
)

// unmounted refuses a write before anything was sent, and a removal.
type unmounted struct{}

func (unmounted) Error() string   { return "no secrets engine is mounted" }
func (unmounted) Is(e error) bool { return e == sinks.ErrUntouched }

// lostWrite refuses in a way that does not tell whether the write took place.
type lostWrite struct{}

func (lostWrite) Error() string { return "no answer" }

// A place that nothing was ever sent to needs no cleaning once its block names
// another, or is gone; one that may have been written does.
func TestAPlaceThatWasNeverWrittenIsNotCleaned(t *testing.T) {
	for name, c := range map[string]struct {
		first, then error // how writes fail, before and after a while
		cleans      bool
	}{
		"never sent":                  {unmounted{}, unmounted{}, false},
		"it may be written, at first": {lostWrite{}, unmounted{}, true},
		"it may be written, later":    {unmounted{}, lostWrite{}, true},
	} {
		for _, removed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					config := trader("a@example.com", "")
					w.places.stick("trader") // nothing can be cleaned there
					w.places.failWith(c.first)
					w.set(config)
					<-time.After(2 * time.Minute)
					w.places.failWith(c.then)
					<-time.After(2 * time.Minute)
					if l := w.line("sink.mem.trader"); l.State != reconcile.Failing {
						t.Fatalf("it is %+v", l)
					}
					w.places.failWith(nil)
					if removed {
						w.places.failWith(unmounted{})
						w.set(withoutSink(config))
					} else {
						w.set(strings.Replace(config, `place   = "trader"`, `place   = "mended"`, 1))
					}
					<-time.After(2 * time.Minute)
					v, err := w.loop.Status(t.Context(), "")
					if err != nil {
						t.Fatal(err)
					}
					said := ""
					for _, l := range v.Sinks {
						said += l.Why
					}
					if cleans := strings.Contains(said, "cannot clean"); cleans != c.cleans {
						t.Errorf("removed %v: its sinks are %+v", removed, v.Sinks)
					}
					if !removed && w.places.get("mended") == "" {
						t.Error("the place that it names now was not written")
					}
				})
			})
		}
	}
}

// A plan foretells of such a place what the daemon does: nothing. It names neither a
// cleaning nor a removal, and after the pass nothing is left to plan.
func TestAPlanOfAPlaceThatWasNeverWritten(t *testing.T) {
	for name, c := range map[string]struct {
		change func(config string) string
		want   string
	}{
		"the place is another": {func(s string) string {
			return strings.Replace(s, `place   = "trader"`, `place   = "mended"`, 1)
		}, "write sink.mem.trader"},
		"the sink is removed": {withoutSink, "drop sink.mem.trader"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				config := trader("a@example.com", "")
				w.places.stick("trader") // nothing can be cleaned there
				w.places.failWith(unmounted{})
				w.set(config)
				<-time.After(2 * time.Minute)
				w.halt()
				w.places.failWith(nil)
				w.begin(true)
				w.set(c.change(config))
				said := func() string {
					return w.planned(t, func(s reconcile.Step) bool {
						return strings.HasPrefix(s.Address, "sink.") && s.Action != reconcile.ActNone
					})
				}
				if got := said(); got != c.want {
					t.Errorf("planned %q, want %q", got, c.want)
				}
				if err := w.loop.Resume(t.Context()); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Minute)
				if got := said(); got != "" {
					t.Errorf("after it is planned %q", got)
				}
			})
		})
	}
}
