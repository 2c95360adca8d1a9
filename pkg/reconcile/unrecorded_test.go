package reconcile_test

import (
	"strings"
	"testing"
	"time"
)

// A place was given something else for no other token (a secret that it holds, too,
// changed), and a crash came before that was recorded. Once the sink is removed, with
// all that would tell what it holds, the place is cleaned all the same.
func TestWhatACrashLeftUnrecordedIsCleaned(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		first, second := "one", "two"
		w.values.Store(&first)
		hcl := strings.Replace(trader("a@example.com", `secret "mem" "s" { value = "from-the-loop" }`), "credential.coinify.trader.access_token", `"${credential.coinify.trader.access_token} ${secret.mem.s.value}"`, 1)
		w.set(hcl)
		w.wait(time.Minute)
		w.values.Store(&second)
		if err := w.loop.Touched(t.Context(), nil, true); err != nil {
			t.Fatal(err)
		}
		w.wait(100 * time.Millisecond)
		if got := w.places.get("trader"); !strings.HasSuffix(got, " two") {
			t.Fatalf("it holds %q", got)
		}
		w.crash()
		w.set(hcl)
		w.wait(5 * time.Minute)
		w.unreadable.Store(true)
		w.set("")
		if h, err := w.loop.Held(t.Context()); err != nil || h == nil {
			t.Fatalf("held %v, %v", h, err)
		} else if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		w.wait(time.Hour)
		if got := w.places.get("trader"); got != "" {
			t.Errorf("it still holds %q", got)
		}
	})
}
