package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// What is recorded of a device code goes with the record of its credential: to another
// address, or with its end. Nothing of it stays in the state.
func TestWhatIsKnownOfADeviceCodeGoesWithItsRecord(t *testing.T) {
	settled := "tokend {\n  guard { settle = \"0s\" }\n}\n" + byDevice
	without := strings.Replace(settled, `credential "tv" "a" { client_id = "a" }`, "", 1)
	renamed := strings.Replace(settled, `credential "tv" "a"`, `credential "tv" "b"`, 1) + "moved {\n  from = credential.tv.a\n  to   = credential.tv.b\n}\n"
	for name, c := range map[string]struct {
		end  func(w *world) error
		kept string // the address at which it is known then; "": none
	}{
		"removed": {func(w *world) error {
			if held := w.set(without + "credential \"tv\" \"other\" { client_id = \"o\" }\n"); held != nil {
				w.t.Errorf("held: %+v", held)
			}
			return nil
		}, ""},
		"forgotten": {func(w *world) error { return w.loop.Forget(context.Background(), tv) }, ""},
		"moved":     {func(w *world) error { w.set(renamed); return nil }, "credential.tv.b"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				known := func(addr string) bool {
					_, err := w.store.Meta(t.Context(), "exchanged/"+w.store.Hash("exchanged", []byte(addr)))
					return err == nil
				}
				w.set(settled)
				code, userCode := w.askDevice()
				w.server.DecideDevice(userCode, true)
				if e := w.asks(code); e != nil {
					t.Fatal(e)
				}
				if !known(tv) {
					t.Fatal("it is not recorded that the code was answered")
				}
				if err := c.end(w); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Hour)
				for _, a := range []string{tv, "credential.tv.b"} {
					if known(a) != (a == c.kept) {
						t.Errorf("of %s: known %t", a, known(a))
					}
				}
				if c.kept == "" {
					return
				}
				if token, _, err := w.loop.Answered(t.Context(), c.kept, time.Now(), code.Flow.DeviceCode); err != nil || !token {
					t.Errorf("at its new address it is not known that the code was answered (%v)", err)
				}
			})
		})
	}
}
