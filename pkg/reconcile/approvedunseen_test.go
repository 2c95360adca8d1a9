package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// What a person approved stays approved while it cannot be looked at: a secret that
// cannot be read for a while takes no approval back, at a start neither.
func TestAnApprovalOutlivesASecretThatCannotBeRead(t *testing.T) {
	const guard = "max_revocations = 1\n    max_revoked_percent = 100\n    settle = \"1s\""
	conf := func(email, more string) string {
		hcl := traders(guard, email, "a b c", "secret \"mem\" \"base\" { value = \"http://coinify.localhost\" }\n"+more)
		return strings.ReplaceAll(hcl, "\"http://coinify.localhost\"\n  allow", "nonsensitive(secret.mem.base.value)\n  allow")
	}
	for name, then := range map[string]func(t *testing.T, w *world){
		"at a start":           func(t *testing.T, w *world) { w.crash(); w.set(conf("y", "")) },
		"with another change":  func(t *testing.T, w *world) { w.set(conf("y", "# more\n")) },
		"judged without a one": func(t *testing.T, w *world) { w.pass(time.Hour, time.Minute, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(conf("x", ""))
				time.Sleep(time.Minute)
				w.down.Store(true)
				held := w.set(conf("y", ""))
				if held == nil || len(held.Revocations) != 3 {
					t.Fatalf("held %+v", held)
				}
				if err := w.loop.Approve(t.Context(), held); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				w.unreadable.Store(true)
				then(t, w)
				time.Sleep(time.Minute)
				w.unreadable.Store(false)
				w.down.Store(false)
				for range 4 {
					time.Sleep(15 * time.Minute)
					if held, err := w.loop.Held(t.Context()); err != nil || held != nil {
						t.Fatalf("held %+v, %v", held, err)
					}
				}
				for _, c := range []string{"a", "b", "c"} {
					if l := w.line(`credential.coinify.trader["` + c + `"]`); l.State != reconcile.Ready {
						t.Errorf("%+v", l)
					}
				}
				if n := w.revocations(); n != 3 {
					t.Errorf("%d revocations", n)
				}
			})
		})
	}
}
