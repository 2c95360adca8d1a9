package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A Vault that is sealed, and one that is dead, hold up what goes to it, and
// nothing else; once it is back, it has the token in force.
func TestVaultAway(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour, Rotate: standin.RotateSingleUse})
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("main.hcl", apironeFromVault)
	var many strings.Builder
	for i := range 20 {
		many.WriteString(kvSink(fmt.Sprintf("s%d", i), "kv", fmt.Sprintf("delivered/%d", i), ""))
	}
	l.write("many.hcl", many.String())
	l.start()
	l.untilReady(22)

	for _, away := range []struct {
		name       string
		goes, back func()
	}{
		{"sealed", v.Seal, v.Unseal},
		{"killed", v.Kill, func() { v.Start(); v.Unseal() }},
	} {
		l.tokensLive(3 * time.Second)
		away.goes()
		l.untilState("sink.vault_kv.s0", reconcile.Failing)
		l.rotatesInTime(4)
		said, _ := l.tokend("status", "sink.vault_kv.s0")
		if !strings.Contains(said, v.Addr) || !strings.Contains(said, "failing") {
			t.Errorf("%s: status says %s", away.name, said)
		}
		away.back()
		l.tokensLive(time.Hour) // what changes every other second a busy machine may never have in all places
		for i := range 20 {
			l.untilDelivered(v, fmt.Sprintf("delivered/%d", i))
		}
		l.untilReady(22)
	}
}

// A Vault that takes requests and never answers holds up nothing else: neither
// at a start, nor a change of configuration, nor a removal.
func TestVaultStalls(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour, Rotate: standin.RotateSingleUse})
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	g := newGate(t, v.Addr)
	l.edit("vault.hcl", v.Addr, g.url)
	l.write("quick.hcl", quick)
	l.write("main.hcl", apironeFromVault)
	var many strings.Builder
	const n = 60
	for i := range n {
		many.WriteString(kvSink(fmt.Sprintf("s%d", i), "kv", fmt.Sprintf("delivered/%d", i), ""))
	}
	l.write("many.hcl", many.String())
	l.start()
	l.untilReady(n + 2)
	l.tokensLive(3 * time.Second)
	l.stop()

	g.stall(true)
	l.start()
	l.rotatesInTime(2)

	began := time.Now()
	l.write("many.hcl", strings.ReplaceAll(many.String(), "access_token }", `access_token, more = "yes" }`))
	l.write("more.hcl", `
sink "file" "more" {
  path    = "${var.out}/more"
  content = credential.apirone.account.access_token
}`)
	l.untilFile(filepath.Join(l.out, "more"), "")
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("a change of configuration took %v", took)
	}
	l.rotatesInTime(1)

	l.remove("many.hcl")
	l.rotatesInTime(2)
	g.stall(false)
	l.until("what was removed is gone", func() (bool, string) {
		said := l.must("state", "list")
		return !strings.Contains(said, "vault_kv"), said
	})
	for i := range n {
		if got := delivered(v, fmt.Sprintf("delivered/%d", i)); got != "" {
			t.Errorf("delivered/%d still holds %q", i, got)
		}
	}
}

// gate stands before a Vault and may hold every request up.
type gate struct {
	url string

	mu   sync.Mutex
	held chan struct{} // closed to let them through; nil: nothing is held
}

func newGate(t *testing.T, address string) *gate {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.WriteHeader(http.StatusBadGateway)
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		held := g.held
		g.mu.Unlock()
		if held != nil {
			select {
			case <-held:
			case <-r.Context().Done():
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		g.stall(false)
		s.Close()
	})
	g.url = s.URL
	return g
}

func (g *gate) stall(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case on && g.held == nil:
		g.held = make(chan struct{})
	case !on && g.held != nil:
		close(g.held)
		g.held = nil
	}
}

// tokensLive has the API give tokens of a lifetime from now on, and replaces the
// one in force.
func (l *lab) tokensLive(lifetime time.Duration) {
	l.t.Helper()
	l.api.Change(standin.Apirone, func(r *standin.Rules) { r.AccessLifetime = lifetime })
	// A refresh, once one of an hour is a few seconds old; unlike the order it waits for no
	// sink. One of seconds is replaced by itself.
	l.until("a token of that lifetime is in force", func() (bool, string) {
		said, _ := l.tokend("get", "apirone.account", "--min-valid", "59m57s")
		left := time.Until(l.line("credential.apirone.account").ExpiresAt)
		return (left > time.Minute) == (lifetime > time.Minute), fmt.Sprintf("%s left; %s", left, said)
	})
}

// rotatesInTime watches n tokens come into the file, each long before a request
// to Vault that gets no answer is given up.
func (l *lab) rotatesInTime(n int) {
	l.t.Helper()
	path := filepath.Join(l.out, "token")
	before := l.untilFile(path, "")
	for range n {
		before = l.untilFile(path, before)
		fi, err := os.Stat(path)
		if err != nil {
			l.t.Fatal(err)
		}
		issued, ok := l.api.Lookup(standin.Apirone, before)
		if !ok {
			l.t.Fatalf("the file holds %q, which is no token", before)
		}
		if late := fi.ModTime().Sub(issued.Issued); late > 8*time.Second {
			l.t.Errorf("a token was written %v after it was issued", late)
		}
	}
}

// A password that is changed in Vault is used from then on; one that is wrong
// stops the grant, until it is right there.
func TestVaultPasswordRotates(t *testing.T) {
	t.Parallel()
	l, v := apironeLab(t)
	l.start()
	l.untilReady(2)
	before := l.file("token")

	l.api.Register(standin.Account{API: standin.Apirone, Login: "apr-a", Password: "key-two"})
	putKV(v, "trading/apirone", "key-two")
	l.must("taint", "apirone.account")
	l.until("the token is replaced, or refused for a password that was read a moment ago", func() (bool, string) {
		got := l.line("credential.apirone.account")
		return got.State == reconcile.Stopped || got.State == reconcile.Ready && got.Generation == 2, string(got.State)
	})
	if l.line("credential.apirone.account").State == reconcile.Stopped {
		l.must("retry", "apirone.account") // reads it anew
	}
	l.untilFile(filepath.Join(l.out, "token"), before)
	l.untilReady(2)
	if c := l.api.Counts(standin.Apirone); c.Grants != 2 {
		t.Errorf("%d logins for one token and its replacement", c.Grants)
	}

	if testing.Short() {
		t.Skip("Vault server: waits for a look that comes once a minute")
	}
	l.api.Register(standin.Account{API: standin.Apirone, Login: "apr-a", Password: "key-three"})
	l.must("taint", "apirone.account")
	l.untilState("credential.apirone.account", reconcile.Stopped)
	refusals := l.api.Counts(standin.Apirone).RefusedLogins
	putKV(v, "trading/apirone", "key-three")
	l.within(2*time.Minute, "the new password is found", func() (bool, string) {
		got := l.line("credential.apirone.account")
		return got.State == reconcile.Ready, got.Why
	})
	if got := l.api.Counts(standin.Apirone).RefusedLogins; got > refusals {
		t.Errorf("the wrong password was sent again: %d refusals, before %d", got, refusals)
	}
}
