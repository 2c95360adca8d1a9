package reconcile_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// A push that loosens the guard, and another one right after that destroys, do
// together what one may not.
func TestTheGuardLoosenedByAPushBefore(t *testing.T) {
	tight, loose := `max_revocations = 2
settle = "1s"`, `max_revocations = 1000
max_revoked_percent = 100
settle = "1s"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(tight, "x", "a b c d e f", ""))
		time.Sleep(time.Minute)
		if h := w.set(traders(loose, "x", "a b c d e f", "")); h != nil {
			t.Fatalf("loosening alone is held: %+v", h)
		}
		time.Sleep(10 * time.Minute)
		w.crash() // and the memory of it is on disk
		h := w.set(traders(loose, "x", "a b c", ""))
		if h == nil || !strings.Contains(h.Reason, "guard.max_revocations is 2, or was within the hour before") {
			t.Fatalf("held %+v", h)
		}
		// Waiting alone lets nothing go.
		w.pass(3*time.Hour, 10*time.Minute, func() {
			if again := w.set(traders(loose, "x", "a b c", "")); again == nil || again.ID != h.ID {
				t.Fatalf("at %s held %+v", time.Now(), again)
			}
		})
		if n := w.revocations(); n != 0 {
			t.Fatalf("%d revocations", n)
		}
		// What a person approved, the guard that came with it included, is over.
		if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if h := w.set(traders(loose, "x", "a", "")); h != nil {
			t.Errorf("after the approval held %+v", h)
		}
		time.Sleep(time.Minute)
		if n := w.revocations(); n != 5 {
			t.Errorf("%d revocations", n)
		}
	})
}

// An hour after it was loosened, the guard is what the configuration says.
func TestALoosenedGuardCountsAfterAnHour(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(`max_revocations = 2`, "x", "a b c d e f", ""))
		loose := "max_revocations = 1000\nmax_revoked_percent = 100"
		w.set(traders(loose, "x", "a b c d e f", ""))
		time.Sleep(61 * time.Minute)
		if h := w.set(traders(loose, "x", "a b c", "")); h != nil {
			t.Errorf("held %+v", h)
		}
	})
}

// issuer is an authorization server whose metadata name a token endpoint that
// may move to another host.
type issuer struct {
	mu     sync.Mutex
	at     string   // host of the token endpoint
	asked  []string // hosts that were sent credentials
	tokens int
}

func (i *issuer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodGet {
		fmt.Fprintf(rw, `{"issuer":"http://issuer.localhost","token_endpoint":"http://%s/token","revocation_endpoint":"http://%s/revoke"}`, i.at, i.at)
		return
	}
	i.asked = append(i.asked, r.Host)
	if i.tokens++; r.URL.Path == "/token" {
		fmt.Fprintf(rw, `{"access_token":"access-%d","token_type":"Bearer","expires_in":600}`, i.tokens)
	}
}

func (i *issuer) moveTo(host string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.at = host
}

func (i *issuer) wasAsked(host string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Contains(i.asked, host)
}

// serveAlso has the world's network lead to a server under some hosts.
func (w *world) serveAlso(h http.Handler, hosts ...string) {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	srv := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	w.atEnd(func() { _ = srv.Close(); <-served })
	others := w.dial
	w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		if !slices.Contains(hosts, host) {
			return others(ctx, network, address)
		}
		here, there := net.Pipe()
		select {
		case l.conns <- there:
			return here, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// The configuration says what it said, but its issuer names another address by
// now: neither a secret nor a token goes there before a person approves.
func TestAnIssuerThatMovesItsTokenEndpoint(t *testing.T) {
	const config = `
provider "oauth2" { allow_insecure_http = true }
secret "mem" "pw" { value = "a-secret" }
credential "oauth2" "service" {
  grant         = "client_credentials"
  issuer        = "http://issuer.localhost"
  client_id     = "service"
  client_secret = secret.mem.pw.value
}
sink "mem" "service" {
  place   = "service"
  content = credential.oauth2.service.access_token
}`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		server := &issuer{at: "issuer.localhost"}
		w.serveAlso(server, "issuer.localhost", "elsewhere.localhost")
		w.set(config)
		time.Sleep(2 * time.Hour) // its metadata were read again meanwhile
		if w.places.get("service") == "" || !server.wasAsked("issuer.localhost") {
			t.Fatal("no token was obtained")
		}
		server.moveTo("elsewhere.localhost")
		w.pass(3*time.Hour, time.Minute, func() {
			if server.wasAsked("elsewhere.localhost") {
				t.Fatalf("at %s the new address was sent a secret", time.Now())
			}
		})
		l := w.line("credential.oauth2.service")
		if l.State != reconcile.Held || l.Mend != "tokend approve" {
			t.Errorf("status %+v", l)
		}
		held, err := w.loop.Held(t.Context())
		if err != nil || held == nil || !strings.Contains(held.Reason, "http://elsewhere.localhost:80") {
			t.Fatalf("held %+v, %v", held, err)
		}
		if err := w.loop.Approve(t.Context(), held); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if l := w.line("credential.oauth2.service"); l.State != reconcile.Ready || !server.wasAsked("elsewhere.localhost") {
			t.Errorf("after the approval: %+v", l)
		}
	})
}
