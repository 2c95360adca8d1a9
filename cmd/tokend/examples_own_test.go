package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	testrig "tokend/test/rig"
)

// acme is the API of examples/own-provider, as strict as its description.
type acme struct {
	t  *testing.T
	mu sync.Mutex
	// By token and by renewal.
	sessions, renewals map[string]bool
	made, ended        int
	problems           []string
}

func newAcme(t *testing.T) (*acme, string) {
	a := &acme{t: t, sessions: map[string]bool{}, renewals: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/sessions", a.login)
	mux.HandleFunc("POST /v1/sessions/renew", a.renew)
	mux.HandleFunc("DELETE /v1/sessions/current", a.leave)
	mux.HandleFunc("POST /v1/users/me/logout", a.logout)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return a, s.URL
}

func (a *acme) body(r *http.Request) map[string]any {
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		a.problems = append(a.problems, fmt.Sprintf("%s: %v, %s", r.URL.Path, err, r.Header.Get("Content-Type")))
	}
	return in
}

func (a *acme) fault(w http.ResponseWriter, code string) {
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, `{"fault": {"code": %q, "text": "refused by Acme"}}`, code)
}

func (a *acme) session(w http.ResponseWriter) {
	a.made++
	token, renewal := fmt.Sprintf("acme-token-%d", a.made), fmt.Sprintf("acme-renewal-%d", a.made)
	a.sessions[token], a.renewals[renewal] = true, true
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"session": {"token": %q, "renewal": %q, "valid_for": 900}, "user": {"id": 4711}}`, token, renewal)
}

func (a *acme) login(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	in := a.body(r)
	if diff := cmp.Diff(map[string]any{"user": "robot", "password": "p1", "ttl_minutes": float64(30)}, in); diff != "" {
		a.fault(w, "bad_login")
		return
	}
	a.session(w)
}

func (a *acme) renew(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	renewal, _ := a.body(r)["renewal"].(string)
	if !a.renewals[renewal] {
		a.problems = append(a.problems, "renewed by a spent "+renewal)
		a.fault(w, "bad_renewal")
		return
	}
	delete(a.renewals, renewal)
	a.session(w)
}

func (a *acme) leave(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Acme ")
	if !ok || !a.sessions[token] {
		a.fault(w, "bad_token")
		return
	}
	delete(a.sessions, token)
	a.ended++
	w.WriteHeader(http.StatusNoContent)
}

func (a *acme) logout(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended += len(a.sessions)
	clear(a.sessions)
	w.WriteHeader(http.StatusNoContent)
}

func (a *acme) alive(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[token]
}

func TestExampleOwnProvider(t *testing.T) {
	t.Parallel()
	a, address := newAcme(t)
	l := exampleLab(t, "own-provider")
	for _, replace := range []struct{ file, from, to string }{
		{"acme.hcl", "https://api.acme.example", address}, {"apirone.hcl", "https://apirone.gateway.example", l.urls.Apirone},
	} {
		l.edit(replace.file, replace.from, replace.to)
	}
	l.out = filepath.Join(l.config, "out")
	l.write("secrets/acme.password", "wrong\n")
	l.write("secrets/apirone.key", "CY2qGJ65OVc5X5KJbibOelc5bbZbnfqx\n")
	l.staysHere()
	if said := l.must("provider", "show", "apirone"); !strings.Contains(said, "X-Gateway-Client") {
		t.Errorf("the built-in type is not shadowed:\n%s", said)
	}
	l.start()

	// A wrong password stops the grant with the API's own words, once.
	stopped := l.untilState("credential.acme.robot", reconcile.Stopped)
	if !strings.Contains(stopped.Why, "refused by Acme") {
		t.Errorf("a refused login is stopped because: %s", stopped.Why)
	}
	l.write("secrets/acme.password", "p1\n")
	l.untilReady(4)
	tokens := l.tokens(func(addr string) standin.API {
		if strings.Contains(addr, "acme") {
			return ""
		}
		return byType(addr)
	})
	if !a.alive(tokens["acme.robot"]) {
		t.Errorf("Acme does not know the token %q", tokens["acme.robot"])
	}
	env := testrig.Sh(t, filepath.Join(l.out, "robot.env"))
	if diff := cmp.Diff(map[string]string{"ACME_USER": "4711", "ACME_AUTHORIZATION": "Acme " + tokens["acme.robot"]}, env); diff != "" {
		t.Errorf("robot.env (-want +got):\n%s", diff)
	}
	if got, want := l.file("apirone.header"), "X-Apirone-Token: "+tokens["apirone.account"]+"\n"; got != want {
		t.Errorf("apirone.header holds %q, want %q", got, want)
	}

	// A renewal works once; two of them in a row.
	l.must("refresh", "acme.robot")
	l.must("refresh", "acme.robot")
	if token := strings.TrimSpace(l.must("get", "acme.robot")); !a.alive(token) || token == tokens["acme.robot"] {
		t.Errorf("after two refreshes the token is %q", token)
	}
	if said, status := l.tokend("action", "acme.robot", "logout_everywhere"); status != exitFailed || !strings.Contains(said, "--yes") {
		t.Errorf("a destructive action unasked: exit status %d, %s", status, said)
	}
	l.removeAll()
	l.empty()
	l.revoked(standin.Apirone, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.problems) > 0 {
		t.Errorf("Acme complains: %q", a.problems)
	}
	if a.ended == 0 {
		t.Error("Acme saw no session ended")
	}
}
