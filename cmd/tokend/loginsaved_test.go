package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// savedLogins are the logins that the state of a daemon that stopped has, and the
// bytes of them, which change may make others of.
func (l *lab) savedLogins(change func([]savedLogin)) ([]savedLogin, string) {
	l.t.Helper()
	store, err := state.Open(l.t.Context(), state.Options{Dir: l.state, Key: state.GeneratedKeyFile(filepath.Join(l.state, state.GeneratedName))})
	if err != nil {
		l.t.Fatal(err)
	}
	defer store.Close()
	b, err := store.Meta(l.t.Context(), metaLogins)
	if errors.Is(err, state.ErrNotFound) {
		return nil, ""
	}
	var all []savedLogin
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err == nil && change != nil {
		change(all)
		var changed []byte
		if changed, err = json.Marshal(all); err == nil {
			err = store.Commit(l.t.Context(), state.Change{MetaKey: metaLogins, Meta: changed})
		}
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return all, string(b)
}

// secretReplaces is a lab whose type has a new secret replace the token.
func secretReplaces(t *testing.T, at string) *lab {
	t.Helper()
	l := callbackLab(t, at, "http://"+at+"/callback")
	own, err := fs.ReadFile(l.catalog, "cryptohopper.hcl")
	if err != nil {
		t.Fatal(err)
	}
	const plain = "      sensitive   = true\n      description = \"the app secret\""
	if !strings.Contains(string(own), plain) {
		t.Fatal("the type reads differently")
	}
	l.write("type.hcl", strings.Replace(string(own), plain, plain+"\n      on_change   = \"replace\"", 1))
	return l
}

// What a login is compared with at its end is in the state as hashes alone, and
// compared by them after a restart.
func TestAWaitingLoginKeepsNoInput(t *testing.T) {
	t.Parallel()
	at := ownLoopback(t)
	l := secretReplaces(t, at)
	for _, c := range []struct {
		name           string
		older, changed bool
	}{{name: "as it is"}, {name: "of an earlier version", older: true}, {name: "changed", changed: true}, {"of an earlier version, changed", true, true}} {
		l.write("client", "a-client-secret\n")
		grants := l.api.Counts(standin.Cryptohopper).Grants
		l.start()
		p := l.person("cryptohopper.bot")
		back := p.approved()
		l.stop()
		saved, raw := l.savedLogins(func(all []savedLogin) {
			for i := range all {
				if s := &all[i]; c.older && !s.Done {
					values := spec.Values{}.With("client_id", cty.StringVal("q9")).With("client_secret", spec.Sensitive(cty.StringVal("a-client-secret")))
					s.InputHashes = nil
					s.Inputs, _ = values.Seal(nil)
				}
			}
		})
		open := 0
		for _, s := range saved {
			if !s.Done {
				open++
			}
		}
		if open != 1 || strings.Contains(raw, "a-client-secret") {
			t.Fatalf("%s: %d logins wait; the secret is in the state: %v", c.name, open, strings.Contains(raw, "a-client-secret"))
		}
		if c.changed {
			l.write("client", "another-secret\n")
		}
		l.start()
		l.status() // it has begun by now
		l.stop()
		if _, raw = l.savedLogins(nil); strings.Contains(raw, `"inputs"`) {
			t.Errorf("%s: after a start the state still has the inputs", c.name)
		}
		l.start()
		if c.changed {
			l.visits(back, http.StatusForbidden, "its configuration changed since this login began (client_secret)")
			p.ends(1)
			l.grants(standin.Cryptohopper, grants)
		} else {
			l.visits(back, http.StatusOK, "Logged in")
			p.ends(0)
			l.grants(standin.Cryptohopper, grants+1)
		}
		l.stop()
	}
}

// A login that nobody completes in time ends by itself, and the state keeps nothing
// of what it waited with; also where there was no daemon at that time.
func TestALoginRunsOut(t *testing.T) {
	t.Parallel()
	e, l := oneLogin(t)
	l.until = time.Now().Add(-time.Minute)
	e.expireInBackground(l)
	err := e.loginEnd(t.Context(), l, l.done)
	e.ended.Wait()
	if err == nil || !strings.Contains(err.Error(), "nobody completed this login") || !isClosed(l.done) {
		t.Error(err)
	}

	at := ownLoopback(t)
	b := callbackLab(t, at, "http://"+at+"/callback")
	b.start()
	p := b.person("cryptohopper.bot")
	back := p.approved()
	b.stop()
	if saved, _ := b.savedLogins(func(all []savedLogin) {
		all[0].Until = time.Now().Add(-time.Second)
	}); len(saved) != 1 || saved[0].Pending == nil {
		t.Fatalf("%d logins wait", len(saved))
	}
	b.start()
	b.visits(back, http.StatusForbidden, "nobody completed this login")
	p.ends(1)
	b.stop()
	if saved, _ := b.savedLogins(func(all []savedLogin) {
		all[0].Until = time.Now().Add(-time.Hour)
	}); len(saved) != 1 || saved[0].Pending != nil || !saved[0].Done {
		t.Errorf("the state has %+v", saved)
	}
	b.start()
	b.status()
	b.stop()
	if saved, _ := b.savedLogins(nil); len(saved) != 0 {
		t.Errorf("the state has %+v", saved)
	}
	if _, err := os.Stat(filepath.Join(b.out, "bot")); err == nil {
		t.Error("its sink was written")
	}
}
