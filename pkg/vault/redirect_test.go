package vault_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/vault"
)

// Where not every server may be asked, none is that another one sends a request on
// to: neither a token nor a secret goes there.
func TestARedirectIsAskedAbout(t *testing.T) {
	elsewhere, elsewhereURL := startFake(t)
	standby := startStandby(t, elsewhereURL, namesLeader(elsewhereURL))
	forbidden := errors.New("forbidden by the host's policy")
	for _, refusal := range []error{forbidden, nil} {
		var asked []string
		settings := byAppRole(standby.URL, "r", "s")
		settings.Namespace, settings.TLSServerName = "team", "vault.internal"
		b := &blocks{now: settings}
		p := vault.NewPool(b.resolve, vault.Options{AllowServer: func(address, namespace, serverName string) error {
			asked = append(asked, address+" "+namespace+" "+serverName)
			return refusal
		}})
		_, err := p.Client(t.Context(), main)
		if len(asked) == 0 || asked[0] != elsewhereURL+" team vault.internal" {
			t.Errorf("asked about %v", asked)
		}
		switch {
		case refusal == nil && err != nil:
			t.Error(err)
		case refusal != nil && (err == nil || !strings.Contains(err.Error(), "sends requests on to "+elsewhereURL+", which is forbidden by the host's policy")):
			t.Errorf("%v", err)
		case refusal != nil && elsewhere.count(login) != 0:
			t.Error("a login was sent on")
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		p.Close(ctx)
		cancel()
	}
}

// standbyOf sends every request on, and answers what leader says to who asks for the
// active node.
func standbyOf(to string, leader http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/sys/leader" {
			leader(w, r)
			return
		}
		http.Redirect(w, r, to+r.URL.Path, http.StatusTemporaryRedirect)
	})
}

func startStandby(t *testing.T, to string, leader http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(standbyOf(to, leader))
	t.Cleanup(s.Close)
	return s
}

// namesLeader answers as a standby of Vault's does.
func namesLeader(address string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != "" || r.Header.Get("X-Vault-Namespace") != "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"ha_enabled": true, "is_self": false, "leader_address": address})
	}
}

// What stands before Vault, and sends requests elsewhere, gets neither a token nor a
// secret there: only to the active node that Vault names are they sent on.
func TestARedirectElsewhereIsNotFollowed(t *testing.T) {
	elsewhere, elsewhereURL := startFake(t)
	for name, c := range map[string]struct {
		leader http.HandlerFunc
		said   string
	}{
		"a portal": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhereURL+"/login", http.StatusFound)
		}, "answers 302"},
		"a page":                    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>log in</html>")) }, "does not answer as Vault does"},
		"another node":              {namesLeader("https://vault-2.example.com:8200"), "https://vault-2.example.com:8200"},
		"no cluster":                {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"ha_enabled":false}`)) }, "names no active node"},
		"a host whose name is like": {namesLeader(strings.Replace(elsewhereURL, "127.0.0.1", "127.0.0.1.example.com", 1)), "example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := newPool(t, byAppRole(startStandby(t, elsewhereURL, c.leader).URL, "r", "s"))
			_, err := p.Client(t.Context(), main)
			if err == nil || !strings.Contains(err.Error(), "sends requests on to "+elsewhereURL) || !strings.Contains(err.Error(), c.said) {
				t.Errorf("%v", err)
			}
		})
	}
	if n := elsewhere.count(login); n != 0 {
		t.Errorf("%d logins were sent on", n)
	}
}

// Vault's API may begin below a path of a proxy: there the active node is asked for,
// once for all that are sent on while the answer counts.
func TestTheActiveNodeIsAskedForBelowAProxysPath(t *testing.T) {
	active, activeURL := startFake(t)
	var asked atomic.Int64
	below := http.StripPrefix("/vault", standbyOf(activeURL, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		namesLeader(activeURL)(w, r)
	}))
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/vault/") {
			http.NotFound(w, r)
			return
		}
		below.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	p, _, _ := newPool(t, byAppRole(proxy.URL+"/vault/", "r", "s"))
	if _, err := p.Client(t.Context(), main); err != nil {
		t.Fatal(err)
	}
	if active.count(login) != 1 || asked.Load() != 1 {
		t.Errorf("%d logins, and the active node was asked for %d times", active.count(login), asked.Load())
	}
}

// That the active node is not there is asked once, however many want to know.
func TestARefusedRedirectIsAskedAboutOnce(t *testing.T) {
	active, _ := startFake(t)
	_, elsewhereURL := startFake(t)
	var asked atomic.Int64
	standby := standbyOf(elsewhereURL, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		namesLeader("https://vault-2.example.com:8200")(w, r)
	})
	var sealed atomic.Bool // from then on it sends everything on
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sealed.Load() {
			standby.ServeHTTP(w, r)
			return
		}
		active.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	p, _, _ := newPool(t, byAppRole(s.URL, "r", "s"))
	c, err := p.Client(t.Context(), main)
	if err != nil {
		t.Fatal(err)
	}
	sealed.Store(true)
	for range 3 {
		if _, err := c.StatKV(t.Context(), "kv", "x"); err == nil || !strings.Contains(err.Error(), "sends requests on to "+elsewhereURL) {
			t.Fatalf("%v", err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the active node was asked for %d times", n)
	}
}
