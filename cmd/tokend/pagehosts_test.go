package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"tokend/pkg/standin"
)

func TestNamesOfPage(t *testing.T) {
	for _, c := range []struct {
		host, listen, public string
		want                 []string
	}{
		{"web1.example.net", "tokens.internal:8250", "https://tokens.example.com/tokend", []string{"web1.example.net", "web1", "tokens.internal", "tokens.example.com"}},
		{"web1", ":8250", "", []string{"web1", "web1", "", ""}},
		{"", "[::1]:8250", "https://tokens.example.com:8443", []string{"", "", "::1", "tokens.example.com"}},
	} {
		if got := namesOfPage(c.host, c.listen, c.public); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s, %s, %s: %q, want %q", c.host, c.listen, c.public, got, c.want)
		}
	}
}

// A reverse proxy passes on the name on which it was asked: public_url is what
// says it, from the change on that brings it, and no longer once it is gone.
func TestThePageAnswersToPublicURL(t *testing.T) {
	t.Parallel()
	h := newHost(t, "", standin.Options{})
	settings := func(public string) string {
		return "tokend {\n  listen = \"127.0.0.1:0\"\n" + public + "}\n"
	}
	h.write("main.hcl", settings(""))
	d := h.start("--log-format", "json")
	listen := h.pages(1)
	answers := func(host string, want int) {
		t.Helper()
		h.until(fmt.Sprintf("%d to %q", want, host), func(ctx context.Context) string {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/", nil)
			if err != nil {
				return err.Error()
			}
			r.Host = host
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				return err.Error()
			}
			_ = res.Body.Close()
			if res.StatusCode != want {
				return res.Status
			}
			return ""
		})
	}
	const proxied = "tokens.example.com"
	answers(listen, http.StatusOK)
	answers(hostName(), http.StatusOK)
	answers(proxied, http.StatusMisdirectedRequest)
	h.write("main.hcl", settings("  public_url = \"https://"+proxied+"\"\n"))
	answers(proxied, http.StatusOK)
	answers("evil.example", http.StatusMisdirectedRequest)
	h.write("main.hcl", settings(""))
	answers(proxied, http.StatusMisdirectedRequest)
	d.stop()
}
