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
	"tokend/pkg/standin"
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

// A guard that was made stricter by a change of which something is held is in force
// all the same: a push that loosens it again is judged by it, also after a crash.
func TestTheGuardTightenedByAChangeThatIsHeld(t *testing.T) {
	tight, loose := "max_revocations = 2\nsettle = \"1s\"", "max_revocations = 1000\nmax_revoked_percent = 100\nsettle = \"1s\""
	for _, crash := range []bool{false, true} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			w.set(traders(loose, "x", "a b c d e f", ""))
			time.Sleep(time.Minute)
			if h := w.set(traders(tight, "x", "a b c", "")); h == nil || len(h.Revocations) != 3 {
				t.Fatalf("held %+v", h)
			}
			time.Sleep(5 * time.Hour)
			if crash {
				w.crash()
			}
			h := w.set(traders(loose, "x", "a b", ""))
			if h == nil || !strings.Contains(h.Reason, "guard.max_revocations is 2, or was within the hour before") {
				t.Errorf("crash %v: held %+v", crash, h)
			}
			time.Sleep(time.Hour)
			if n := w.revocations(); n != 0 {
				t.Errorf("crash %v: %d revocations", crash, n)
			}
			// Taken back, it is over, and an hour later the guard is what it says.
			if h := w.set(traders(loose, "x", "a b c d e f", "")); h != nil {
				t.Errorf("crash %v: taken back, held %+v", crash, h)
			}
			time.Sleep(61 * time.Minute)
			if h := w.set(traders(loose, "x", "a b", "")); h != nil {
				t.Errorf("crash %v: an hour later held %+v", crash, h)
			}
		})
	}
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

// A sink that gets another place loses its earlier one, which counts like a
// removed sink: it is held with what the place holds, kept up to date there, and
// moves once a person approved it.
func TestMovedPlacesAreCounted(t *testing.T) {
	guard := `max_revocations = 2
max_revoked_percent = 100
settle = "1s"`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		here := traders(guard, "x", "a b c", "")
		there := strings.Replace(here, "place    = each.key", `place    = "new-${each.key}"`, 1)
		w.set(here)
		time.Sleep(time.Minute)
		h := w.set(there)
		if h == nil || len(h.Sinks) != 3 || len(h.Revocations) != 0 || h.Steps[0].Reason != "its place changed: the earlier one is cleaned" {
			t.Fatalf("held %+v", h)
		}
		w.crash()
		if again := w.set(there); again == nil || again.ID != h.ID {
			t.Fatalf("after a crash held %+v", again)
		}
		w.pass(2*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "a") || w.places.get("new-a") != "" {
				t.Fatalf("at %s the earlier place holds %q, the new one %q", time.Now(), w.places.get("a"), w.places.get("new-a"))
			}
		})
		if l := w.line(`sink.mem.trader["a"]`); l.State != reconcile.Held || l.Mend != "tokend approve" {
			t.Errorf("status %+v", l)
		}
		if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for _, n := range strings.Fields("a b c") {
			if w.places.get(n) != "" || !w.works(standin.Coinify, "new-"+n) {
				t.Errorf("after the approval %s holds %q", n, w.places.get(n))
			}
		}
		// As many again wait for a person again; those that were approved are not counted.
		if h := w.set(strings.Replace(there, `"new-${`, `"newer-${`, 1)); h == nil || len(h.Sinks) != 3 || strings.Contains(h.Reason, "in the hour before") {
			t.Errorf("right after, held %+v", h)
		}
	})
}

// A few moves within the limits go ahead, and a place that another sink takes
// over is not removed, so it is not counted.
func TestMovedPlacesWithinTheLimits(t *testing.T) {
	sink := func(name, place string) string {
		return fmt.Sprintf("sink \"mem\" %q {\n  place = %q\n  content = credential.coinify.trader[\"a\"].access_token\n}\n", name, place)
	}
	guard := "max_revocations = 1\nmax_revoked_percent = 100"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders(guard, "x", "a", sink("one", "p1")+sink("two", "p2")))
		time.Sleep(time.Minute)
		// They exchange their places: nothing is removed.
		if h := w.set(traders(guard, "x", "a", sink("one", "p2")+sink("two", "p1"))); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		if h := w.set(traders(guard, "x", "a", sink("one", "p2")+sink("two", "p3"))); h != nil {
			t.Fatalf("held %+v", h)
		}
		time.Sleep(time.Minute)
		if w.places.get("p1") != "" || !w.works(standin.Coinify, "p2") || !w.works(standin.Coinify, "p3") {
			t.Errorf("the places hold %q, %q and %q", w.places.get("p1"), w.places.get("p2"), w.places.get("p3"))
		}
		if h := w.set(traders(guard, "x", "a", sink("one", "p2")+sink("two", "p4"))); h == nil {
			t.Error("one more within the hour is not held")
		}
	})
}

// What declared a held removal last cannot be read back after a start: it waits
// for a person whatever the guard says, its tokens go on, what the others need
// is read back, and that stays so over another start.
func TestASnapshotThatCannotBeReadBack(t *testing.T) {
	const more = `
credential "coinify" "more" {
  grant      = "password"
  email      = "more@x"
  partner_id = "p"
  password   = secret.mem.pw.value
}
sink "mem" "more" {
  place   = "more"
  content = credential.coinify.more.access_token
}
hook "mem" "told" {}
`
	tight, loose := "max_revocations = 0", "max_revocations = 100\nmax_revoked_percent = 100"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		broken := `locals { broken = "once" }` + more
		w.set(traders(tight, "x", "a b", broken))
		time.Sleep(time.Minute)
		if h := w.set(traders(tight, "x", "a b", "")); h == nil {
			t.Fatal("nothing is held")
		}
		if h := w.set(traders(tight, "x", "a", "")); h == nil || h.Total() != 4 {
			t.Fatalf("held %+v", h)
		}
		w.unread.Store(ptr(`broken = "once"`))
		for range 2 {
			w.crash()
			time.Sleep(2 * time.Hour) // the hour of the stricter guard goes by
			h := w.set(traders(loose, "x", "a", ""))
			if h == nil || h.Rule != reconcile.HeldUnreadable && !strings.Contains(h.Reason, "max_revocations") {
				t.Fatalf("held %+v", h)
			}
			for _, s := range h.Steps {
				if lost := strings.Contains(s.Reason, "cannot be read back"); lost != strings.Contains(s.Address, "more") {
					t.Errorf("%+v", s)
				}
			}
			w.pass(3*time.Hour, time.Minute, func() {
				for _, email := range []string{"more@x", "b@x"} {
					if len(w.server.Live(standin.Coinify, email)) == 0 {
						t.Fatalf("at %s nothing of %s lives", time.Now(), email)
					}
				}
			})
			if !w.works(standin.Coinify, "b") {
				t.Error("what could be read back is not kept up to date")
			}
			if l := w.line("credential.coinify.more"); l.State != reconcile.Held || !strings.Contains(l.Why, "max_revocations") && !strings.Contains(l.Why, "cannot be read back") {
				t.Errorf("status %+v", l)
			}
		}
		h, err := w.loop.Held(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := w.revocations(); n != 2 || w.places.get("more") != "" || w.places.get("b") != "" {
			t.Errorf("%d revocations; the places hold %q and %q", n, w.places.get("more"), w.places.get("b"))
		}
	})
}

func ptr[T any](v T) *T { return &v }

// An input that is not sensitive and comes from a secret is watched: with the
// secret another one, the token is replaced, and the guard counts that.
func TestAnInputFromASecretReplaces(t *testing.T) {
	config := traders("max_revocations = 100\nmax_revoked_percent = 100", "x", "a b", `secret "mem" "partner" { value = "from-the-loop" }`)
	config = strings.Replace(config, `partner_id = "p"`, "partner_id = secret.mem.partner.value", 1)
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(config)
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 {
			t.Fatalf("%d grants", c.Grants)
		}
		plan := func() (replaced int) {
			p, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range p.Steps {
				if s.Action == reconcile.ActReplace && slices.Equal(s.Inputs, []string{"partner_id"}) {
					replaced++
				}
			}
			return replaced
		}
		if n := plan(); n != 0 {
			t.Errorf("%d would be replaced while nothing changed", n)
		}
		w.unreadable.Store(true)
		if err := w.loop.Touched(t.Context(), nil, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.unreadable.Store(false)
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 {
			t.Fatalf("a secret that cannot be read was taken for another: %d grants", c.Grants)
		}
		w.values.Store(ptr("another"))
		if n := plan(); n != 2 {
			t.Errorf("%d would be replaced", n)
		}
		if err := w.loop.Touched(t.Context(), nil, true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 4 || c.Revocations != 2 || !w.works(standin.Coinify, "a") {
			t.Errorf("%d grants, %d revocations; works %v", c.Grants, c.Revocations, w.works(standin.Coinify, "a"))
		}
	})
}

// What a provider block had opened is closed once another one is in its place.
func TestASupersededEndpointIsClosed(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(traders("", "x", "a", ""))
		time.Sleep(time.Minute)
		if n := w.closed.Load(); n != 0 {
			t.Fatalf("%d were closed while in use", n)
		}
		w.set(strings.Replace(traders("", "x", "a", ""), "allow_insecure_http = true", "allow_insecure_http = true\nrate_limit { concurrency = 3 }", 1))
		if n := w.closed.Load(); n != 1 {
			t.Errorf("%d were closed", n)
		}
		w.pass(2*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "a") {
				t.Fatal("the place holds a token that does not work")
			}
		})
	})
}
