package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A living daemon loses the reply to a refresh of a token for which only a person
// could log in: status says that what became of it is not known, what it waits
// for and which command helps, and status and metrics count what may have been
// issued. The token held stays where it is, and nothing is sent again.
func TestALostReplyIsSaid(t *testing.T) {
	t.Parallel()
	o := standin.Options{AutoApprove: true, Rules: standin.Rules{
		AccessLifetime: time.Hour, RefreshLifetime: 24 * time.Hour, Rotate: standin.RotateSingleUse, DetectReuse: true, ExpiresIn: standin.ExpiryNumber,
	}, Clients: []standin.Client{{API: standin.Cryptohopper, ID: "bot", Secret: "one-password", User: "bot", RedirectURIs: []string{callbackURI}}}}
	h := newHost(t, build(t), o)
	h.write("password", "one-password\n")
	h.write("type.hcl", interactiveType("once", ""))
	h.write("main.hcl", strings.Replace(onceConfig, "tokend {", "tokend {\n  listen = \"127.0.0.1:0\"\n  public_url = \"http://127.0.0.1:8250\"", 1))
	const addr = "credential.once.bot"
	d := h.start("--log-format", "json")
	h.logIn(addr)
	h.untilState(addr, reconcile.Ready, "")

	before := h.api.Counts(standin.Cryptohopper)
	h.api.Fail(standin.Fault{API: standin.Cryptohopper, Kind: standin.FaultLost, Path: "/oauth2/token", Grant: "refresh_token"})
	if out, status := h.tokend("", "refresh", "once.bot"); status != exitFailed {
		t.Errorf("refresh: exit status %d\n%s", status, out)
	}
	h.untilState(addr, reconcile.Indeterminate, "the reply to a refresh was lost")
	said := func(start int) {
		t.Helper()
		out, status := h.tokend("", "status")
		for _, want := range []string{"indeterminate", "shortly before its end the refresh token is tried one last time", "tokend login once.bot", "Orphans: 1"} {
			if status != exitFailed || !strings.Contains(out, want) {
				t.Errorf("status (exit %d) does not say %q:\n%s", status, want, out)
			}
		}
		h.until("the metrics to count the orphan", func(context.Context) string {
			res, err := http.Get("http://" + h.pages(start) + "/metrics")
			if err != nil {
				return err.Error()
			}
			defer res.Body.Close()
			b, err := io.ReadAll(res.Body)
			if err != nil {
				return err.Error()
			}
			if !strings.Contains(string(b), "tokend_orphans{type=\"once\"} 1\n") {
				return "they do not"
			}
			return ""
		})
		if b := h.held("bot"); b == "" {
			t.Error("the token held is gone from its place")
		} else if tok, found := h.api.Lookup(standin.Cryptohopper, b); !found || !tok.Alive {
			t.Error("the place holds a token that does not work")
		}
	}
	said(1)
	d.kill()
	d = h.start("--log-format", "json")
	h.untilState(addr, reconcile.Indeterminate, "the reply to a refresh was lost")
	said(2)
	if c := h.api.Counts(standin.Cryptohopper); c.Reuses != 0 || c.Refreshes != before.Refreshes+1 {
		t.Errorf("%d refreshes, %d reuses", c.Refreshes-before.Refreshes, c.Reuses)
	}
	// A login mends it, and what was lost stays counted.
	h.logIn(addr)
	h.untilState(addr, reconcile.Ready, "")
	d.stop()
}
