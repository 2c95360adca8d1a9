package standin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)} }

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

// req is a request as a table writes it.
type req struct {
	method, path, media, body string
	header                    map[string]string
}

// res is a reply, decoded where it is an object.
type res struct {
	status int
	header http.Header
	raw    string
	object map[string]any
}

func (r res) text(key string) string {
	s, _ := r.object[key].(string)
	return s
}

func send(t *testing.T, h http.Handler, q req) res {
	t.Helper()
	r := httptest.NewRequest(q.method, q.path, strings.NewReader(q.body))
	if q.media != "" {
		r.Header.Set("Content-Type", q.media)
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	out := res{status: w.Code, header: w.Header(), raw: w.Body.String()}
	if strings.HasPrefix(w.Header().Get("Content-Type"), jsonType) && w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &out.object); err != nil {
			t.Fatalf("%s %s: the reply is not a JSON object: %v\n%s", q.method, q.path, err, out.raw)
		}
	}
	return out
}

// good sends a request that must succeed.
func good(t *testing.T, h http.Handler, q req) res {
	t.Helper()
	out := send(t, h, q)
	if out.status/100 != 2 && out.status != 302 {
		t.Fatalf("%s %s: status %d: %s", q.method, q.path, out.status, out.raw)
	}
	return out
}

func jsonPost(path, body string) req {
	return req{method: "POST", path: path, media: jsonType, body: body}
}
func formPost(path string, pairs ...string) req {
	return req{method: "POST", path: path, media: formType, body: pack(pairs)}
}

func pack(pairs []string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

func withBearer(method, path, token string) req {
	return req{method: method, path: path, header: map[string]string{"Authorization": "Bearer " + token}}
}

// bad is a row of a table of refusals: a request, and what it must be refused with.
type bad struct {
	name   string
	q      req
	status int
	want   string // in the body
}

// refusals sends each bad request, and checks that it changed nothing: no grant, refresh or revocation.
func refusals(t *testing.T, s *Server, api API, h http.Handler, table []bad) {
	t.Helper()
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			before := s.Counts(api)
			out := send(t, h, row.q)
			if out.status != row.status || !strings.Contains(out.raw, row.want) {
				t.Errorf("got %d %s\nwant %d with %q", out.status, out.raw, row.status, row.want)
			}
			after := s.Counts(api)
			if after.Requests != before.Requests+1 || after.Refused != before.Refused+1 {
				t.Errorf("the books count %d requests and %d refused more, want 1 and 1", after.Requests-before.Requests, after.Refused-before.Refused)
			}
			if after.Grants != before.Grants || after.Refreshes != before.Refreshes || after.Revocations != before.Revocations || after.LiveAccess != before.LiveAccess {
				t.Errorf("a refused request changed something: %+v, before %+v", after, before)
			}
		})
	}
}

// pairOf reads the tokens of a reply in the usual spelling.
func pairOf(r res) (access, refresh string) { return r.text("access_token"), r.text("refresh_token") }
