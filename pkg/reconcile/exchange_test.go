package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
)

// While a person is at a login the configuration may change: then the code is
// sent nowhere, least of all to another server than the one that gave it.
func TestACodeGoesWhereItsLoginBegan(t *testing.T) {
	const addr = "credential.hand.a"
	for name, c := range map[string]struct{ from, to, says string }{
		"nothing changed":     {"", "", ""},
		"its schedule":        {`{ email = "a@example.com" }`, "{\n  email = \"a@example.com\"\n  refresh { at = 0.5 }\n}", ""},
		"its server":          {"http://coinify.localhost/auth", "http://apirone.localhost/auth", "address"},
		"its account":         {"a@example.com", "b@example.com", "email"},
		"what it may do":      {`{ email = "a@example.com" }`, "{\n  email = \"a@example.com\"\n  scopes = [\"everything\"]\n}", "scopes"},
		"it needs no login":   {`authorize { url = "http://coinify.localhost/login" }`, "", "grant"},
		"it has another name": {"\"login\"", "\"sign_in\"", "grant"},
	} {
		kept := false // what it began with is kept as hashes
		body := func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(byHand)
				ep, call, _, err := w.loop.LoginCall(t.Context(), addr)
				if err != nil {
					t.Fatal(err)
				}
				code := reconcile.LoginCode{Flow: providers.Flow{Code: secret.New("the-code")}, Began: call}
				if code.Origins, err = ep.Origins(call.Grant, call.Inputs); err != nil {
					t.Fatal(err)
				}
				if kept {
					if code.Inputs, err = w.loop.LoginInputs(call.Inputs, []string{"email"}); err != nil {
						t.Fatal(err)
					}
					code.Began.Inputs = spec.Values{}
				}
				changed := strings.ReplaceAll(byHand, c.from, c.to)
				if c.says == "grant" && c.to == "" {
					changed = strings.Replace(changed, "headers = { X-Code = flow.code }", "", 1)
				}
				w.set(changed)
				time.Sleep(time.Minute)
				requests := func() int {
					return len(w.server.Ledger(standin.Coinify).Requests) + len(w.server.Ledger(standin.Apirone).Requests)
				}
				before := requests()
				err = w.loop.Login(t.Context(), addr, code)
				if c.says == "" {
					synctest.Wait() // the loop hears of it a moment later
					if err != nil || w.line(addr).State != reconcile.Ready {
						t.Errorf("%v; it is %+v", err, w.line(addr))
					}
					return
				}
				var refused *reconcile.OrderError
				if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) || !strings.Contains(refused.Mend, "tokend login") {
					t.Errorf("the login says %v", err)
				}
				if n := requests() - before; n != 0 && c.says != "grant" {
					t.Errorf("%d requests were sent with the code", n)
				}
				time.Sleep(time.Minute)
				if l := w.line(addr); l.Generation > 1 || l.Generation == 1 && c.says != "grant" {
					t.Errorf("it is %+v", l)
				}
			})
		}
		t.Run(name, body)
		kept = true
		t.Run(name+", kept as hashes", body)
	}
}
