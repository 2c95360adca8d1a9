package reconcile_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// A provider whose file is gone is tried about once a second, however many look at it;
// once it is said that a file has changed, or a person says so, at once.
func TestAProviderThatCannotBeOpenedIsTriedSeldom(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.pem")
	inWorld(t, strict(), func(t *testing.T, w *world) {
		names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
		w.set(strings.Replace(traders("", "x", strings.Join(names, " "), ""), "allow_insecure_http = true", "allow_insecure_http = true\n  http { ca_file = \""+ca+"\" }", 1))
		addr := func(name string) string { return `credential.coinify.trader["` + name + `"]` }
		began := w.opened.Load()
		for range 50 {
			for _, n := range names {
				if err := w.loop.Wake(t.Context(), []string{addr(n)}); err != nil {
					t.Fatal(err)
				}
			}
			<-time.After(100 * time.Millisecond)
		}
		if n := w.opened.Load() - began; n < 3 || n > 7 {
			t.Errorf("it was opened %d times in five seconds", n)
		}
		if l := w.line(addr("a")); !strings.Contains(l.Why, ca) {
			t.Errorf("it does not say which file it lacks: %+v", l)
		}
		for name, tell := range map[string]func() error{
			"a file has changed": func() error { return w.loop.Touched(t.Context(), nil, true) },
			"an order": func() error {
				_ = w.loop.Do(t.Context(), addr("a"), reconcile.Order{Kind: reconcile.OrderRetry})
				return nil
			},
		} {
			<-time.After(openAgain)
			if err := w.loop.Wake(t.Context(), []string{addr("a")}); err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
			before := w.opened.Load()
			if err := tell(); err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
			if w.opened.Load() == before {
				t.Errorf("%s: it was not tried at once", name)
			}
		}
	})
}

// openAgain is longer than what could not be opened is left alone.
const openAgain = 1100 * time.Millisecond
