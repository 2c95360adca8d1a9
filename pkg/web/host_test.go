package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A page of somebody else's may lead a name of its own to this port: a browser
// then asks for that name, and nothing that shows an address may answer.
func TestPagesAnswerToTheirOwnHostOnly(t *testing.T) {
	h := Handler(Options{Source: healthy(), Now: noon, Hosts: func() []string {
		return []string{"web1.example.net", "web1", "", "Tokens.Example.com"}
	}})
	guarded := []string{"/", "/readyz", "/readyz?verbose", "/readyz/apirone.key", "/readyz/"}
	for _, c := range []struct {
		host  string
		known bool
	}{
		{"127.0.0.1:8250", true},
		{"127.0.0.1", true},
		{"192.0.2.7:8250", true},
		{"[::1]:8250", true},
		{"[::1]", true},
		{"[fe80::1%25eth0]:8250", true},
		{"localhost:8250", true},
		{"LOCALHOST", true},
		{"web1", true},
		{"web1:8250", true},
		{"web1.example.net.", true},
		{"tokens.example.com", true},
		{"TOKENS.example.com:443", true},
		{"", true}, // HTTP/1.0, as some probes speak it

		{"evil.example:8250", false},
		{"localhost.evil.example", false},
		{"127.0.0.1.evil.example", false},
		{"127.0.0.1@evil.example", false},
		{"example.com", false},
		{"notweb1", false},
		{".", true}, // as good as none
	} {
		t.Run(c.host, func(t *testing.T) {
			for _, path := range guarded {
				want := http.StatusOK
				if !c.known {
					want = http.StatusMisdirectedRequest
				}
				w := getFrom(t, h, c.host, path)
				if w.Code != want {
					t.Errorf("%s: status %d, want %d", path, w.Code, want)
				}
				if !c.known && (strings.Contains(w.Body.String(), "apirone") || !strings.Contains(w.Body.String(), "set public_url in the tokend block")) {
					t.Errorf("%s says: %s", path, w.Body)
				}
			}
			for _, path := range []string{"/livez", "/metrics"} {
				if w := getFrom(t, h, c.host, path); w.Code != http.StatusOK {
					t.Errorf("%s: status %d", path, w.Code)
				}
			}
		})
	}
}

// Without names of its own, a daemon is asked by address or as localhost.
func TestPagesWithoutNames(t *testing.T) {
	h := Handler(Options{Source: healthy(), Now: noon})
	if w := getFrom(t, h, "web1", "/"); w.Code != http.StatusMisdirectedRequest {
		t.Errorf("status %d", w.Code)
	}
	if w := getFrom(t, h, "localhost", "/"); w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}

func getFrom(t *testing.T, h http.Handler, host, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
