package reconcile_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// boundServer is an authorization server under several hosts, whose metadata name the
// hosts of its endpoints. It keeps what was sent to which of them.
type boundServer struct {
	mu            sync.Mutex
	token, revoke string   // hosts that the metadata name
	sent          []string // host, path, and the tokens named, of all that was posted
	tokens        int
}

func (s *boundServer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet {
		fmt.Fprintf(rw, `{"issuer":"http://issuer.localhost","token_endpoint":"http://%s/token","revocation_endpoint":"http://%s/revoke"}`, s.token, s.revoke)
		return
	}
	s.sent = append(s.sent, strings.TrimSpace(r.Host+r.URL.Path+" "+r.FormValue("token")))
	if r.URL.Path == "/token" {
		s.tokens++
		fmt.Fprintf(rw, `{"access_token":"access-%d","token_type":"Bearer","expires_in":864000}`, s.tokens)
	}
}

func (s *boundServer) moveTo(token, revoke string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token, s.revoke = token, revoke
}

// wasSent is all that was posted so far.
func (s *boundServer) wasSent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// bound is a credential of that server, and what else its block says.
func bound(more string) string {
	return `
provider "oauth2" { allow_insecure_http = true }
secret "mem" "pw" { value = "a-secret" }
credential "oauth2" "service" {
  grant         = "client_credentials"
  client_id     = "service"
  client_secret = secret.mem.pw.value
  ` + more + `
}
sink "mem" "service" {
  place   = "service"
  content = credential.oauth2.service.access_token
}`
}

const (
	boundHost = "issuer.localhost"
	otherHost = "elsewhere.localhost"
)

// letGo takes a configuration over whatever the guard would hold of it.
func (w *world) letGo(hcl string) {
	w.t.Helper()
	if _, err := w.loop.Set(w.t.Context(), w.config(hcl), reconcile.SetOptions{NoSettle: true, Allow: 100}); err != nil {
		w.t.Fatal(err)
	}
}

// An issuer names another host for revocations after it has issued a token. That one
// gets nothing of the token: its revocation waits, says why, over a restart too, and is
// sent once the address is one that the token was issued with.
func TestARevocationWaitsForTheAddressOfItsGrant(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		server := &boundServer{token: boundHost, revoke: boundHost}
		w.serveAlso(server, boundHost, otherHost)
		w.set(bound(`issuer = "http://issuer.localhost"`))
		time.Sleep(time.Minute)
		old := w.places.get("service")
		server.moveTo(boundHost, otherHost)
		time.Sleep(2 * time.Hour) // the metadata were read again meanwhile
		w.letGo("")
		time.Sleep(time.Hour)
		if l := w.line("credential.oauth2.service"); l.State != reconcile.Removing || !strings.Contains(l.Why, "sending to http://elsewhere.localhost:80 is refused: the token was issued by http://issuer.localhost:80") {
			t.Errorf("status: %+v", l)
		}
		w.crash()
		w.set("")
		time.Sleep(2 * time.Hour)
		if sent := server.wasSent(); !slices.Equal(sent, []string{boundHost + "/token"}) {
			t.Fatalf("sent: %q", sent)
		}
		server.moveTo(boundHost, boundHost)
		time.Sleep(3 * time.Hour)
		if sent := server.wasSent(); !slices.Equal(sent, []string{boundHost + "/token", boundHost + "/revoke " + old}) {
			t.Errorf("in the end: %q", sent)
		}
	})
}

// The endpoints that a block gives by hand move to another host, which a person approves:
// the new token comes from there, and the old one is revoked where it was issued.
func TestARevocationGoesWhereItsGrantCameFrom(t *testing.T) {
	at := func(host string) string {
		return bound(fmt.Sprintf("token_url = \"http://%[1]s/token\"\n  revoke_url = \"http://%[1]s/revoke\"", host))
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		server := &boundServer{}
		w.serveAlso(server, boundHost, otherHost)
		w.set(at(boundHost))
		time.Sleep(time.Minute)
		old := w.places.get("service")
		w.letGo(at(otherHost))
		time.Sleep(24 * time.Hour)
		if got := w.places.get("service"); got == old || got == "" {
			t.Errorf("the place holds %q after it held %q", got, old)
		}
		if sent := server.wasSent(); !slices.Equal(sent, []string{boundHost + "/token", otherHost + "/token", boundHost + "/revoke " + old}) {
			t.Errorf("sent: %q", sent)
		}
	})
}

// overheard is an API at a host of its own, of which all that is sent there is kept.
type overheard struct {
	api http.Handler
	mu  sync.Mutex
	all strings.Builder
}

func (o *overheard) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	o.mu.Lock()
	fmt.Fprintln(&o.all, r.Method, r.URL, r.Header, string(body))
	o.mu.Unlock()
	o.api.ServeHTTP(rw, r)
}

func (o *overheard) heard(what string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Contains(o.all.String(), what) || strings.Contains(o.all.String(), url.QueryEscape(what))
}

// A provider's base_url moves to another host, which a person approves: the old grant is
// revoked at the host that issued it, and the new one never hears of either of its tokens.
func TestARevocationDoesNotFollowABaseURL(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		second := standin.New(standin.Options{AnyAccount: true})
		w.atEnd(second.Close)
		other := &overheard{api: second.Handler(standin.Coinify)}
		w.serveAlso(other, "other.localhost")
		here := trader("a@example.com", "")
		w.set(here)
		time.Sleep(time.Minute)
		rec, _, err := w.store.Credential(t.Context(), "credential.coinify.trader")
		if err != nil || rec.Grant == nil {
			t.Fatal(err)
		}
		w.letGo(strings.Replace(here, "coinify.localhost", "other.localhost", 1))
		time.Sleep(24 * time.Hour)
		if got := w.places.get("trader"); !other.heard("a@example.com") || got == rec.Grant.AccessToken.Reveal() {
			t.Errorf("the place holds %q, which is not of the other host", got)
		}
		if other.heard(rec.Grant.AccessToken.Reveal()) || other.heard(rec.Grant.RefreshToken.Reveal()) {
			t.Error("the other host was sent a token that it did not issue")
		}
		if n := w.revocations(); n != 1 {
			t.Errorf("%d revocations at the host that issued it, want 1", n)
		}
	})
}
