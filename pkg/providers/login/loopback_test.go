package login_test

import (
	"slices"
	"testing"

	"tokend/pkg/providers/login"
)

func TestParseLoopback(t *testing.T) {
	for _, c := range []struct {
		uri  string
		ok   bool
		port int
		path string
		at9  string // with port 9
		at0  string
	}{
		{"http://127.0.0.1:8250/callback", true, 8250, "/callback", "http://127.0.0.1:9/callback", "http://127.0.0.1/callback"},
		{"http://127.0.0.1/callback", true, 0, "/callback", "http://127.0.0.1:9/callback", "http://127.0.0.1/callback"},
		{"http://127.0.0.1:0/callback?tenant=1", true, 0, "/callback", "http://127.0.0.1:9/callback?tenant=1", "http://127.0.0.1/callback?tenant=1"},
		{"http://[::1]:8250/cb", true, 8250, "/cb", "http://[::1]:9/cb", "http://[::1]/cb"},
		{"http://LOCALHOST:8250", true, 8250, "/", "http://localhost:9", "http://localhost"},
		{"http://127.9.9.9:1/x", true, 1, "/x", "http://127.9.9.9:9/x", "http://127.9.9.9/x"},

		{uri: "https://127.0.0.1:8250/callback"}, // which a command has no certificate for
		{uri: "http://tokens.example.com/callback"},
		{uri: "http://192.0.2.1:8250/callback"},
		{uri: "http://0.0.0.0:8250/callback"},
		{uri: "http://127.0.0.1.example.com/callback"},
		{uri: "http://localhost.example.com/callback"},
		{uri: "http://me@127.0.0.1/callback"},
		{uri: "http://127.0.0.1:99999/callback"},
		{uri: "com.example.app:/callback"},
		{uri: "urn:ietf:wg:oauth:2.0:oob"},
		{uri: ""},
	} {
		l, ok := login.ParseLoopback(c.uri)
		if ok != c.ok {
			t.Errorf("%q: %v", c.uri, ok)
		}
		if ok && (l.Port != c.port || l.Path != c.path || l.At(9) != c.at9 || l.At(0) != c.at0) {
			t.Errorf("%q: %+v, %s, %s", c.uri, l, l.At(9), l.At(0))
		}
	}
	l, _ := login.ParseLoopback("http://localhost:8250/callback")
	if !slices.Equal(l.Hosts(), []string{"127.0.0.1", "::1"}) {
		t.Error(l.Hosts())
	}
	for host, want := range map[string]bool{"localhost:8250": true, "LocalHost:8250": true, "localhost": false, "localhost:8251": false, "evil.example:8250": false, "127.0.0.1:8250": false, "": false} {
		if l.Serves(host, 8250) != want {
			t.Errorf("%q", host)
		}
	}
	if six, _ := login.ParseLoopback("http://[::1]:80/"); !six.Serves("[::1]:80", 80) || !six.Serves("[::1]", 80) {
		t.Error("its own name is refused")
	}
}
