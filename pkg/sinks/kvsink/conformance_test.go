package kvsink_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/sinks"
	"tokend/pkg/sinks/kvsink"
	"tokend/pkg/sinks/sinktest"
	"tokend/pkg/spec"
	"tokend/pkg/vault"
	"tokend/test/rig"
)

// gate stands between the sink and Vault: it counts what is written where, and
// may refuse writes.
type gate struct {
	proxy  *httputil.ReverseProxy
	mu     sync.Mutex
	writes map[string]int
	closed map[string]bool
}

func newGate(t *testing.T, address string) (*gate, string) {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{writes: map[string]int{}, closed: map[string]bool{}}
	g.proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
		w.WriteHeader(http.StatusBadGateway)
	}}
	return g, serve(t, g)
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		g.mu.Lock()
		g.writes[r.URL.Path]++
		closed := g.closed[r.URL.Path]
		g.mu.Unlock()
		if closed {
			http.Error(w, `{"errors":["storage is full"]}`, http.StatusInternalServerError)
			return
		}
	}
	g.proxy.ServeHTTP(w, r)
}

func (g *gate) written(path string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writes[path]
}

func (g *gate) close(path string, closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed[path] = closed
}

// serve runs a handler on a port of its own.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func poolFor(t *testing.T, address, token string) *vault.Pool {
	t.Helper()
	p := vault.NewPool(func(_ context.Context, name spec.Address) (vault.Settings, error) {
		if name != "vault.main" {
			return vault.Settings{}, errors.New("no such block")
		}
		return vault.Settings{Address: address, Timeout: 10 * time.Second, AuthKind: "token",
			Auth: spec.NewValues(map[string]cty.Value{"token": spec.Sensitive(cty.StringVal(token))})}, nil
	}, vault.Options{})
	t.Cleanup(func() { p.Close(context.WithoutCancel(t.Context())) })
	return p
}

func argsFor(mount, path string, data cty.Value) spec.Values {
	return spec.NewValues(map[string]cty.Value{
		"vault": cty.StringVal("vault.main"), "mount": cty.StringVal(mount), "path": cty.StringVal(path), "data": data,
	})
}

func TestConformance(t *testing.T) {
	for _, engine := range []int{2, 1} {
		for _, onRemove := range []string{"delete", "destroy"} {
			t.Run(fmt.Sprintf("version %d, %s", engine, onRemove), func(t *testing.T) {
				t.Parallel()
				v := rig.Vault(t)
				sequence := 0
				sinktest.Run(t, func(t *testing.T) sinktest.Rig {
					sequence++
					return newRig(t, v, fmt.Sprintf("kv-%d", sequence), engine, onRemove)
				})
			})
		}
	}
}

func newRig(t *testing.T, v *rig.VaultServer, mount string, engine int, onRemove string) sinktest.Rig {
	t.Helper()
	v.EnableKV(mount, engine)
	g, address := newGate(t, v.Addr)
	pool := poolFor(t, address, v.Token)
	dataPath := func(place string) string {
		if engine == 1 {
			return mount + "/" + place
		}
		return mount + "/data/" + place
	}
	return sinktest.Rig{
		Sink:   kvsink.New(pool),
		Reopen: func() sinks.Sink { return kvsink.New(poolFor(t, address, v.Token)) },
		Args: func(place string, value cty.Value) spec.Values {
			return argsFor(mount, place, cty.ObjectVal(map[string]cty.Value{"token": value})).With("on_remove", cty.StringVal(onRemove))
		},
		Holds: func(place string) (string, bool) {
			_, reply, err := v.Call(http.MethodGet, dataPath(place), nil)
			if err != nil {
				return err.Error(), true
			}
			data, _ := reply["data"].(map[string]any)
			if engine == 2 {
				data, _ = data["data"].(map[string]any)
			}
			if data == nil {
				return "", false
			}
			if token, ok := data["token"].(string); ok && len(data) == 1 {
				return token, true
			}
			b, err := json.Marshal(data)
			return string(b) + fmt.Sprint(err), true
		},
		Meddle: func(place, value string) {
			body := map[string]any{"token": value}
			if engine == 2 {
				body = map[string]any{"data": body}
			}
			if status, reply, err := v.Call(http.MethodPut, dataPath(place), body); err != nil || status > 299 {
				t.Errorf("meddling: status %d, %v, %v", status, reply, err)
			}
		},
		Delete: func(place string) {
			if status, reply, err := v.Call(http.MethodDelete, dataPath(place), nil); err != nil || status > 299 {
				t.Errorf("deleting: status %d, %v, %v", status, reply, err)
			}
		},
		Version: func(place string) string { return fmt.Sprint(g.written("/v1/" + dataPath(place))) },
		Block: func(place string) func() {
			path := "/v1/" + dataPath(place)
			g.close(path, true)
			return func() { g.close(path, false) }
		},
	}
}
