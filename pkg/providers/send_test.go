package providers_test

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// ways has a request of each kind that a transport might send twice.
const ways = `provider_type "ways" {
  config "base_url" { type = string }
  grant "post_json" {
    request {
      method = "POST"
      url    = "${config.base_url}/x"
      json   = { a = 1 }
    }
  }
  grant "post_nothing" {
    request {
      method = "POST"
      url    = "${config.base_url}/x"
    }
  }
  grant "get" {
    request {
      method = "GET"
      url    = "${config.base_url}/x"
    }
  }
  grant "delete" {
    request {
      method = "DELETE"
      url    = "${config.base_url}/x"
    }
  }
  grant "idempotency_key" {
    request {
      method  = "POST"
      url     = "${config.base_url}/x"
      headers = { "Idempotency-Key" = "k" }
    }
  }
  grant "idempotency_key_json" {
    request {
      method  = "POST"
      url     = "${config.base_url}/x"
      json    = { a = 1 }
      headers = { "X-Idempotency-Key" = "k" }
    }
  }
  response { access_token = body.access_token }
}
`

var wayNames = []string{"post_json", "post_nothing", "get", "delete", "idempotency_key", "idempotency_key_json"}

// rawServer answers the first request of each connection, and does with the
// second what then says. It counts the requests that arrived.
func rawServer(t *testing.T, then func(c net.Conn, r *bufio.Reader)) (string, *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				r := bufio.NewReader(c)
				for i := 0; ; i++ {
					q, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, q.Body)
					n.Add(1)
					if i > 0 {
						then(c, r)
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"access_token\":\"a\"}")
				}
			})
		}
	})
	return "http://" + ln.Addr().String(), &n
}

func waysEndpoint(t testing.TB, base string, change ...func(*spec.Provider)) *providers.Endpoint {
	t.Helper()
	typ := typeOf(t, ways)
	p := &spec.Provider{Addr: "provider.ways.default", Type: typ, Config: filled(t, typ.Config, map[string]any{"base_url": base})}
	for _, c := range change {
		c(p)
	}
	e, err := providers.NewEndpoint(p, providers.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func send(e *providers.Endpoint, grant string) (*providers.Reply, error) {
	return sendWith(context.Background(), e, grant)
}

func sendWith(ctx context.Context, e *providers.Endpoint, grant string) (*providers.Reply, error) {
	req, err := e.Prepare(providers.Call{Op: providers.OpGrant, Grant: grant, Now: time.Now()})
	if err != nil {
		return nil, err
	}
	return e.Send(ctx, req)
}

// A server that reads the second request on a connection and closes it: what
// net/http takes for a connection that died idle, and would send again.
func TestClosedAfterReadingIsNotSentAgain(t *testing.T) {
	for _, way := range wayNames {
		t.Run(way, func(t *testing.T) {
			base, arrived := rawServer(t, func(net.Conn, *bufio.Reader) {})
			e := waysEndpoint(t, base)
			if _, err := send(e, "post_json"); err != nil { // leaves a connection in the pool
				t.Fatal(err)
			}
			_, err := send(e, way)
			if n := arrived.Load() - 1; n != 1 {
				t.Errorf("it arrived %d times", n)
			}
			if err == nil {
				return // it had a connection of its own
			}
			if e := asError(t, err); e.Class != providers.ClassUnknown || !e.Reached || !strings.Contains(e.Error(), "closed before the reply") {
				t.Errorf("%s, reached %v: %v", e.Class, e.Reached, e)
			}
		})
	}
}

// The same with half of a reply's head, and with a reset.
func TestBrokenSecondReply(t *testing.T) {
	for name, then := range map[string]func(net.Conn, *bufio.Reader){
		"half a head": func(c net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(c, "HTTP/1.1 200 O") },
		"no HTTP":     func(c net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(c, canaryAccess+"\r\n\r\n") },
		"reset": func(c net.Conn, _ *bufio.Reader) {
			_ = c.(*net.TCPConn).SetLinger(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			base, arrived := rawServer(t, then)
			e := waysEndpoint(t, base)
			if _, err := send(e, "post_json"); err != nil {
				t.Fatal(err)
			}
			_, err := send(e, "post_json")
			got := asError(t, err)
			if got.Class != providers.ClassUnknown || !got.Reached || arrived.Load() != 2 {
				t.Errorf("%s, %d arrived: %v", got.Class, arrived.Load(), got)
			}
			quiet(t, got.Error())
		})
	}
}

// A server that closes idle connections at once: each request either arrives
// once, or is known not to have been sent.
func TestIdleCloseRace(t *testing.T) {
	var arrived atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		arrived.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"a"}`)
	}))
	srv.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateIdle {
			_ = c.Close()
		}
	}
	srv.Start()
	defer srv.Close()
	e := waysEndpoint(t, srv.URL)
	sent, unsent, unknown := 0, 0, 0
	for i := range 300 {
		before := arrived.Load()
		_, err := send(e, wayNames[i%len(wayNames)])
		n := arrived.Load() - before
		if err == nil {
			sent++
			if n != 1 {
				t.Fatalf("it arrived %d times", n)
			}
			continue
		}
		switch got := asError(t, err); {
		case got.Class == providers.ClassTransient && !got.Reached && n == 0:
			unsent++
		case got.Class == providers.ClassUnknown && got.Reached && n <= 1:
			unknown++
		default:
			t.Fatalf("%s, reached %v, arrived %d: %v", got.Class, got.Reached, n, got)
		}
	}
	t.Logf("%d sent, %d known not to be sent, %d unknown", sent, unsent, unknown)
}

func TestCancelledAfterWritingIsReadToTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		cancel()
		w.Header().Set("Content-Type", "application/json")
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, `{"access_token":"spent"}`)
	})
	r, _ := newRig(t, typeOf(t, ways), h, nil)
	req, err := r.e.Prepare(r.call(providers.OpGrant, "post_json", nil))
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.e.Send(ctx, req)
	if err != nil || rep.Body.Reveal() != `{"access_token":"spent"}` {
		t.Fatalf("%v", err)
	}
	if _, err := r.e.Send(ctx, req); !errors.Is(err, context.Canceled) || asError(t, err).Reached {
		t.Errorf("a call that begins cancelled: %v", err)
	}
	if n := len(r.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// pipeNet connects an endpoint with a server without a network, so that time
// can be the bubble's.
type pipeNet struct{ conns chan net.Conn }

func (p *pipeNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.conns <- b:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		typ := typeOf(t, ways)
		p := &pipeNet{conns: make(chan net.Conn)}
		e, err := providers.NewEndpoint(&spec.Provider{Addr: "provider.ways.default", Type: typ, Config: filled(t, typ.Config, map[string]any{"base_url": "http://localhost:1"})},
			providers.Options{DialContext: p.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		// Nobody takes the connection.
		start := time.Now()
		_, err = send(e, "post_json")
		if got := asError(t, err); got.Class != providers.ClassTransient || got.Reached || time.Since(start) != 30*time.Second || !strings.Contains(got.Error(), "no connection within 30s") {
			t.Errorf("%s after %v: %v", got.Class, time.Since(start), got)
		}
		// The same, given up.
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		start = time.Now()
		_, err = sendWith(ctx, e, "post_json")
		cancel()
		if got := asError(t, err); got.Class != providers.ClassTransient || got.Reached || time.Since(start) != 3*time.Second {
			t.Errorf("%s after %v: %v", got.Class, time.Since(start), got)
		}
		// Taken and never answered.
		go func() {
			c := <-p.conns
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}()
		start = time.Now()
		ctx, cancel = context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err = sendWith(ctx, e, "post_json")
		if got := asError(t, err); got.Class != providers.ClassUnknown || !got.Reached || time.Since(start) != 30*time.Second || !strings.Contains(got.Error(), "no complete reply within 30s") {
			t.Errorf("%s after %v: %v", got.Class, time.Since(start), got)
		}
	})
}

func TestNotReached(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := "http://" + closed.Addr().String()
	_ = closed.Close()
	secure := httptest.NewUnstartedServer(jsonReply(200, `{"access_token":"a"}`))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(jsonReply(200, `{"access_token":"a"}`))
	defer plain.Close()
	for _, c := range []struct{ name, base, want, hint string }{
		{"refused", refused, "the connection was refused", "base_url"},
		{"unknown authority", secure.URL, "unknown authority", "ca_file"},
		{"no TLS", strings.Replace(plain.URL, "http:", "https:", 1), "does not speak TLS", "port"},
		{"no such host", "https://no-such-host.invalid", "looking up no-such-host.invalid", "DNS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := send(waysEndpoint(t, c.base), "post_json")
			e := asError(t, err)
			if e.Class != providers.ClassTransient || e.Reached || e.Status != 0 || !strings.Contains(e.Error(), c.want) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("%s, reached %v: %v (%s)", e.Class, e.Reached, e, e.Hint)
			}
		})
	}
}

func caFile(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHTTP2AndOneConnectionForMany(t *testing.T) {
	var conns, http2 atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.ProtoMajor == 2 {
			http2.Add(1)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"a"}`)
	}))
	srv.EnableHTTP2 = true
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	e := waysEndpoint(t, srv.URL, func(p *spec.Provider) { p.HTTP.CAFile = caFile(t, srv) })
	for range 20 {
		rep, err := send(e, "post_json")
		if err != nil || rep.Status != 200 {
			t.Fatal(err)
		}
	}
	if conns.Load() != 1 || http2.Load() != 20 {
		t.Errorf("%d connections, %d requests by HTTP/2", conns.Load(), http2.Load())
	}
}

func TestBadHTTPSettings(t *testing.T) {
	typ := typeOf(t, ways)
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set  spec.HTTPSettings
		want string
	}{
		{spec.HTTPSettings{CAFile: filepath.Join(dir, "gone")}, "ca_file"},
		{spec.HTTPSettings{CAFile: junk}, "no certificate"},
		{spec.HTTPSettings{ClientCertFile: junk}, "together"},
		{spec.HTTPSettings{ClientCertFile: junk, ClientKeyFile: junk}, "client_cert_file"},
		{spec.HTTPSettings{Proxy: "not a proxy"}, "proxy must be a URL"},
	} {
		_, err := providers.NewEndpoint(&spec.Provider{Addr: "provider.ways.x", Type: typ, Config: filled(t, typ.Config, map[string]any{"base_url": "https://x.example"}), HTTP: c.set}, providers.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "provider.ways.x") {
			t.Errorf("%+v: %v", c.set, err)
		}
	}
}

func TestProxy(t *testing.T) {
	var asked atomic.Pointer[string]
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		u := q.URL.String()
		asked.Store(&u)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"a"}`)
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // which is none of our business
	e := waysEndpoint(t, "http://api.example", func(p *spec.Provider) { p.HTTP.Proxy = proxy.URL; p.AllowInsecureHTTP = true })
	if _, err := send(e, "post_json"); err != nil {
		t.Fatal(err)
	}
	if got := asked.Load(); got == nil || *got != "http://api.example/x" {
		t.Errorf("%v", got)
	}
}

// What goes to this machine itself, in clear as may be, is shown to no proxy.
func TestNoProxyForThisMachine(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { t.Errorf("the proxy was asked for %s", q.URL) }))
	defer proxy.Close()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"a"}`)
	}))
	defer api.Close()
	for _, base := range []string{api.URL, strings.Replace(api.URL, "127.0.0.1", "localhost", 1)} {
		if _, err := send(waysEndpoint(t, base, func(p *spec.Provider) { p.HTTP.Proxy = proxy.URL }), "post_json"); err != nil {
			t.Errorf("%s: %v", base, err)
		}
	}
}

// A proxy that cannot be reached is named: it is not the server that is to be
// looked at.
func TestProxyNotReached(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	_ = closed.Close()
	_, err = send(waysEndpoint(t, "https://api.example", func(p *spec.Provider) { p.HTTP.Proxy = "http://" + addr }), "post_json")
	e := asError(t, err)
	if want := "reaching the proxy " + addr + ": the connection was refused"; !strings.Contains(e.Error(), want) || !strings.Contains(e.Hint, "proxy in http") || strings.Contains(e.Hint, "base_url") {
		t.Errorf("%v (%s)", e, e.Hint)
	}
}
