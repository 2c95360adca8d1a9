package providers_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"tokend/pkg/providers"
	"tokend/pkg/providers/catalog"
	"tokend/pkg/spec"
)

// clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now().Truncate(time.Second)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// builtin reads a type of the catalogue.
func builtin(t testing.TB, name string) *spec.ProviderType {
	t.Helper()
	src, err := catalog.FS.ReadFile(name + ".hcl")
	if err != nil {
		t.Fatal(err)
	}
	return typeOf(t, string(src))
}

func typeOf(t testing.TB, src string) *spec.ProviderType {
	t.Helper()
	typ, diags := spec.ParseProviderType([]byte(src), true)
	for _, d := range diags {
		t.Errorf("%v: %s: %s", d.Subject, d.Summary, d.Detail)
	}
	if typ == nil {
		t.FailNow()
	}
	return typ
}

// filled gives fields their values, defaults applied, sensitive ones marked.
func filled(t testing.TB, fields []spec.Field, given map[string]any) spec.Values {
	t.Helper()
	out := map[string]cty.Value{}
	for _, f := range fields {
		raw, ok := given[f.Name]
		var v cty.Value
		switch x := raw.(type) {
		case nil:
			if ok || f.Default == nil {
				v = cty.NullVal(f.Type)
			} else {
				v = *f.Default
			}
		case string:
			v = cty.StringVal(x)
		case []string:
			vals := make([]cty.Value, len(x))
			for i := range x {
				vals[i] = cty.StringVal(x[i])
			}
			v = cty.ListVal(vals)
		case map[string]string:
			vals := map[string]cty.Value{}
			for k, s := range x {
				vals[k] = cty.StringVal(s)
			}
			v = cty.ObjectVal(vals)
		default:
			t.Fatalf("%s: %T", f.Name, raw)
		}
		v, err := convert.Convert(v, f.Type)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if f.Sensitive {
			v = spec.Sensitive(v)
		}
		out[f.Name] = v
	}
	for n := range given {
		if _, ok := out[n]; !ok {
			t.Fatalf("there is no %q", n)
		}
	}
	return spec.NewValues(out)
}

// rig is an endpoint of a type against a server.
type rig struct {
	t     testing.TB
	typ   *spec.ProviderType
	e     *providers.Endpoint
	clock *clock
	seen  []string // method and path of each request that arrived
	mu    sync.Mutex
}

// newRig serves handler and makes an endpoint whose base_url, where the type
// has one, is there.
func newRig(t testing.TB, typ *spec.ProviderType, handler http.Handler, settings map[string]any, change ...func(*spec.Provider)) (*rig, *httptest.Server) {
	t.Helper()
	r := &rig{t: t, typ: typ, clock: newClock()}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, q.Method+" "+q.URL.Path)
		r.mu.Unlock()
		handler.ServeHTTP(w, q)
	}))
	t.Cleanup(srv.Close)
	given := map[string]any{}
	for _, f := range typ.Config {
		if f.Name == "base_url" {
			given["base_url"] = srv.URL
		}
	}
	for k, v := range settings {
		given[k] = v
	}
	p := &spec.Provider{Addr: spec.Address("provider." + typ.Name + ".default"), Type: typ, Config: filled(t, typ.Config, given)}
	for _, c := range change {
		c(p)
	}
	e, err := providers.NewEndpoint(p, providers.Options{Now: r.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	r.e = e
	return r, srv
}

func (r *rig) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.seen...)
}

// call makes a call of a grant with these inputs.
func (r *rig) call(op providers.Op, grant string, inputs map[string]any) providers.Call {
	r.t.Helper()
	g := r.typ.Grant(grant)
	if g == nil {
		r.t.Fatalf("no grant %q", grant)
	}
	return providers.Call{Op: op, Grant: grant, Inputs: filled(r.t, g.Inputs, inputs), Now: r.clock.Now()}
}

// do goes all the way, and proves that it sent one request.
func (r *rig) do(c providers.Call) (providers.Token, error) {
	r.t.Helper()
	before := len(r.requests())
	req, err := r.e.Prepare(c)
	if err != nil {
		return providers.Token{}, err
	}
	reply, err := r.e.Send(context.Background(), req)
	if n := len(r.requests()) - before; n != 1 {
		r.t.Errorf("%d requests arrived for one call", n)
	}
	if err != nil {
		return providers.Token{}, err
	}
	return r.e.Read(c, reply)
}

func (r *rig) must(c providers.Call) providers.Token {
	r.t.Helper()
	t, err := r.do(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

// failure is the *Error of a call that must fail.
func (r *rig) failure(c providers.Call) *providers.Error {
	r.t.Helper()
	_, err := r.do(c)
	return asError(r.t, err)
}

func asError(t testing.TB, err error) *providers.Error {
	t.Helper()
	var e *providers.Error
	if !errors.As(err, &e) {
		t.Fatalf("not a providers.Error: %v", err)
	}
	return e
}

// with is a call of another kind with a token held.
func with(c providers.Call, op providers.Op, t providers.Token) providers.Call {
	c.Op, c.Token = op, t
	return c
}

func reply(status int, contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func jsonReply(status int, body string) http.Handler { return reply(status, "application/json", body) }

func ctyString(s string) cty.Value { return cty.StringVal(s) }
