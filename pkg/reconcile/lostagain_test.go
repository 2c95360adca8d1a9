package reconcile_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// What goes by a configuration that cannot be read back is recorded by that one
// alone, whatever changes come meanwhile: it may be readable one day, and the one
// before such a change says nothing of what had gone already.
func TestWhatWaitsForALostConfigurationWaitsForThatOne(t *testing.T) {
	const guard = "tokend {\n  guard {\n    settle = \"2h\"\n  }\n}\n"
	without := func(hcl string) string {
		before, _, _ := strings.Cut(hcl, `sink "mem"`)
		return before + guard
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		first := trader("a@example.com", guard+"# the first\n")
		w.set(first)
		time.Sleep(time.Minute)
		w.set(without(first))
		time.Sleep(time.Minute)
		w.unread.Store(ptr("# the first"))
		w.crash()
		for _, more := range []string{"", "# one\n", "# two\n"} {
			w.set(without(first) + more)
			time.Sleep(time.Minute)
			b, err := w.store.Meta(t.Context(), "leaving")
			if err != nil {
				t.Fatal(err)
			}
			var by map[string][]string
			if err := json.Unmarshal(b, &by); err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, addrs := range by {
				if slices.Contains(addrs, "sink.mem.trader") {
					n++
				}
			}
			if n != 1 {
				t.Fatalf("it goes by %d configurations: %s", n, b)
			}
		}
		if l := w.line("sink.mem.trader"); l.State != reconcile.Held || w.places.get("trader") == "" {
			t.Fatalf("it is %+v", l)
		}
		w.unread.Store(nil)
		w.crash()
		w.set(without(first) + "# two\n")
		time.Sleep(4 * time.Hour)
		if got := w.places.get("trader"); got != "" || !strings.Contains(w.places.events(), "hook:") {
			t.Errorf("it holds %q; log: %s", got, w.places.events())
		}
	})
}
