package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"tokend/pkg/standin"
)

// What the guard holds back works as it did, and whoever asks is told so alike: the
// count of status, the metric, /readyz and the page. That a person has to look is said
// beside it, and by the exit status.
func TestEveryViewSaysAlikeWhatIsHeldIsReady(t *testing.T) {
	t.Parallel()
	h := newHost(t, "", standin.Options{AnyAccount: true})
	h.write("key", "a-password")
	settings := "tokend {\n  listen = \"127.0.0.1:0\"\n  guard { settle = \"100ms\" }\n}\n"
	h.write("main.hcl", settings+`
variable "out" { type = string }
variable "coinify_url" { type = string }
secret "file" "key" { path = "key" }
provider "coinify" { base_url = var.coinify_url }
credential "coinify" "trader" {
  grant      = "password"
  email      = "me@example.com"
  partner_id = "p"
  password   = secret.file.key.value
}
sink "file" "trader" {
  path    = "${var.out}/token"
  content = credential.coinify.trader.access_token
}
`)
	d := h.start("--log-format", "json")
	status := func(want string, exits int) {
		t.Helper()
		h.until("status to say "+want, func(context.Context) string {
			if out, is := h.tokend("", "status"); is != exits || !strings.Contains(out, want) {
				return out
			}
			return ""
		})
	}
	page := func(path, want string) {
		t.Helper()
		res, err := http.Get("http://" + h.pages(1) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v, status %d, without %q:\n%s", path, err, res.StatusCode, want, b)
		}
	}
	status("\n2 of 2 ready.\n", exitOK)
	h.write("main.hcl", settings)
	status("\nWith 2 held back as before, 2 of 2 ready.\n", exitFailed)
	page("/readyz", "ready\n")
	page("/readyz/coinify.trader", "ready\n")
	page("/metrics", "\ntokend_ready 1\n")
	page("/metrics", "\ntokend_held_changes{kind=\"revocation\"} 1\n")
	page("/", "<h1>tokend: ready, with a change held back</h1>")
	d.stop()
	status("With 2 held back as before, 2 of 2 ready. No daemon answers", exitFailed)
}
