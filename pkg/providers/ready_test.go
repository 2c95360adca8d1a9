package providers_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// A call that is not ready when it has its connection is not sent, whichever way it
// goes: not on a new connection, and not on one that was used before.
func TestACallThatIsNotReadyIsNotSent(t *testing.T) {
	typ := strings.Replace(ways, `  grant "get" {`, `  grant "standard" {
    request {
      method  = "POST"
      url     = "${config.base_url}/x"
      json    = { a = 1 }
      headers = { "Keep-Alive" = "timeout=60" }
    }
  }
  grant "get" {`, 1)
	for name, c := range map[string]struct{ tls, http2 bool }{"plain": {}, "TLS": {tls: true}, "HTTP/2": {tls: true, http2: true}} {
		for _, grant := range []string{"post_json", "standard", "post_nothing", "get"} {
			t.Run(name+" "+grant, func(t *testing.T) {
				var conns, requests atomic.Int64
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					requests.Add(1)
					if (q.ProtoMajor == 2) != c.http2 {
						t.Errorf("it came by %s", q.Proto)
					}
					_, _ = io.WriteString(w, `{"access_token":"a"}`)
				}))
				srv.EnableHTTP2 = c.http2
				srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
					if s == http.StateNew {
						conns.Add(1)
					}
				}
				change := func(p *spec.Provider) { p.Type = typeOf(t, typ) }
				if c.tls {
					srv.StartTLS()
					change = func(p *spec.Provider) { p.Type, p.HTTP.CAFile = typeOf(t, typ), caFile(t, srv) }
				} else {
					srv.Start()
				}
				defer srv.Close()
				e := waysEndpoint(t, srv.URL, change)
				for i, ready := range []bool{false, true, false, true} {
					var asked int
					req, err := e.Prepare(providers.Call{Op: providers.OpGrant, Grant: grant, Now: time.Now(), Ready: func() bool {
						if asked++; conns.Load() == 0 && c.tls { // without TLS the server may not have seen it yet
							t.Error("asked before there was a connection")
						}
						return ready
					}})
					if err != nil {
						t.Fatal(err)
					}
					before := requests.Load()
					ctx, cancel := context.WithCancel(t.Context())
					_, err = e.Send(ctx, req)
					cancel()
					if asked == 0 {
						t.Errorf("%d: it was not asked", i)
					}
					if ready {
						if err != nil || requests.Load() != before+1 {
							t.Errorf("%d: %v, %d requests came", i, err, requests.Load()-before)
						}
						continue
					}
					if pe := asError(t, err); pe.Class != providers.ClassTransient || pe.Reached || !strings.Contains(pe.Message, "too late") {
						t.Errorf("%d: %s, reached: %v: %v", i, pe.Class, pe.Reached, pe)
					}
				}
				srv.Close() // what was on its way is there by now
				if n := requests.Load(); n != 2 {
					t.Errorf("%d requests came, want 2", n)
				}
			})
		}
	}
}
