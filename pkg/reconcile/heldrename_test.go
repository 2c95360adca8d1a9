package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A sink that gets another name in the change that moves its place is held back as
// any, also over a crash, when nobody knows it by that name at its earlier place; and
// goes where it shall once that is approved.
func TestASinkOfANewNameIsHeldOverACrash(t *testing.T) {
	sink := func(name, place, more string) string {
		hcl := strings.Replace(trader("a@example.com", more), `sink "mem" "trader"`, `sink "mem" "`+name+`"`, 1)
		hcl = strings.Replace(hcl, `place   = "trader"`, `place   = "`+place+`"`, 1)
		return hcl + "tokend {\n  guard {\n    max_revocations = 0\n    settle = \"1s\"\n  }\n}\n"
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		first := sink("a", "1", "")
		w.set(first)
		time.Sleep(time.Minute)
		second := sink("b", "2", "moved {\n  from = sink.mem.a\n  to   = sink.mem.b\n}\n")
		if h := w.set(second); h == nil || len(h.Sinks) != 1 {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		held := func() {
			t.Helper()
			if l := w.line("sink.mem.b"); l.State != reconcile.Held || l.Mend != "tokend approve" {
				t.Errorf("status says %+v", l)
			}
			if !w.works(standin.Coinify, "1") || w.places.get("2") != "" {
				t.Errorf("1 holds %q and 2 %q", w.places.get("1"), w.places.get("2"))
			}
		}
		held()
		for range 2 {
			w.crash()
			w.set(second)
			time.Sleep(time.Minute)
			held()
		}
		h, err := w.loop.Held(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if !w.works(standin.Coinify, "2") || w.places.get("1") != "" {
			t.Errorf("after the approval 1 holds %q and 2 %q", w.places.get("1"), w.places.get("2"))
		}
	})
}
