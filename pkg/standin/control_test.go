package standin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func control(t *testing.T, h http.Handler, method, path, body string, into any) int {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:1"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:2"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if into != nil {
		if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
		}
	}
	return w.Code
}

func TestControl(t *testing.T) {
	s, _ := coinifyRig(Rules{})
	h, api := s.Control(), s.Handler(Coinify)

	var armed struct{ ID, Hits int }
	if status := control(t, h, "POST", "/_standin/faults", `{"kind":"throttle","api":"coinify","retry_after":"90s","path":"/auth"}`, &armed); status != 200 || armed.ID != 1 {
		t.Fatalf("arming: %d %+v", status, armed)
	}
	if out := send(t, api, jsonPost("/auth", coinifyLogin)); out.status != 429 || out.header.Get("Retry-After") != "90" {
		t.Errorf("the fault: %d %v", out.status, out.header)
	}
	if control(t, h, "GET", "/_standin/faults/1?wait=1h", "", &armed); armed.Hits != 1 {
		t.Errorf("waited for a hit: %+v", armed)
	}
	control(t, h, "POST", "/_standin/faults", `{"kind":"status","times":-1}`, nil)
	control(t, h, "DELETE", "/_standin/faults/2", "", nil)
	good(t, api, jsonPost("/auth", coinifyLogin))

	var rules Rules
	if status := control(t, h, "PATCH", "/_standin/rules?api=coinify", `{"access_lifetime":"30s","rotate":"single_use"}`, &rules); status != 200 || rules.AccessLifetime != 30*time.Second || rules.RefreshLifetime != 24*time.Hour {
		t.Errorf("rules: %d %+v", status, rules)
	}
	if s.Rules(Coinify) != rules || s.Rules(Apirone).Rotate != RotateAdd {
		t.Errorf("rules in force: %+v", s.Rules(Coinify))
	}
	if got := good(t, api, jsonPost("/auth", coinifyLogin)).object["expires_in"]; got != 30.0 {
		t.Errorf("expires_in is %v", got)
	}

	var books map[API]Ledger
	control(t, h, "GET", "/_standin/books", "", &books)
	if len(books) != 5 || len(books[Coinify].Tokens) != 4 || books[Coinify].Tokens[0].Value != "" || books[Coinify].Counts.Grants != 2 {
		t.Errorf("books: %+v", books[Coinify])
	}
	books = nil
	control(t, h, "GET", "/_standin/books?api=coinify&values=1", "", &books)
	if len(books) != 1 || books[Coinify].Tokens[0].Value == "" || TokenID(books[Coinify].Tokens[0].Value) != books[Coinify].Tokens[0].ID {
		t.Errorf("books with values: %+v", books[Coinify])
	}
	value := books[Coinify].Tokens[0].Value
	var token Token
	if control(t, h, "POST", "/_standin/lookup", `{"api":"coinify","token":"`+value+`"}`, &token); !token.Alive || token.Account != "a@example.com" {
		t.Errorf("lookup: %+v", token)
	}
	var ended struct{ Tokens int }
	if control(t, h, "POST", "/_standin/expire", `{"api":"coinify","account":"a@example.com"}`, &ended); ended.Tokens != 2 {
		t.Errorf("expired %d", ended.Tokens)
	}
	if control(t, h, "POST", "/_standin/revoke", `{"api":"coinify"}`, &ended); ended.Tokens != 2 {
		t.Errorf("revoked %d", ended.Tokens)
	}
	control(t, h, "POST", "/_standin/accounts", `{"api":"coinify","login":"a@example.com","password":"changed"}`, nil)
	if out := send(t, api, jsonPost("/auth", coinifyLogin)); out.status != 400 {
		t.Errorf("the old password: %d", out.status)
	}
	control(t, h, "POST", "/_standin/clients", `{"api":"oauth2","id":"late","secret":"x"}`, nil)
	good(t, s.Handler(OAuth2), formPost("/token", "client_id", "late", "client_secret", "x", "grant_type", "client_credentials"))
	control(t, h, "DELETE", "/_standin/books?api=coinify", "", nil)
	var counts Counts
	if control(t, h, "GET", "/_standin/counts?api=coinify", "", &counts); counts.Requests != 0 {
		t.Errorf("counts after clearing: %+v", counts)
	}
	if control(t, h, "POST", "/_standin/approve", `{"auto":true}`, nil); !s.auto.Load() {
		t.Error("auto-approval is off")
	}
}

func TestControlRefuses(t *testing.T) {
	h := New(Options{}).Control()
	for _, row := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/_standin/faults", `{"kind":"stal"}`, 400}, {"POST", "/_standin/faults", `{"kind":"stall","pth":"/x"}`, 400},
		{"POST", "/_standin/faults", `{"kind":"stall","api":"x"}`, 400}, {"POST", "/_standin/faults", `{"kind":"status","status":99}`, 400},
		{"POST", "/_standin/faults", `{"kind":"delay","delay":"long"}`, 400}, {"GET", "/_standin/faults/1", "", 404}, {"GET", "/_standin/faults/x", "", 400},
		{"PATCH", "/_standin/rules", `{}`, 400}, {"PATCH", "/_standin/rules?api=x", `{}`, 400}, {"PATCH", "/_standin/rules?api=coinify", `{"rotate":"single-use"}`, 400},
		{"PATCH", "/_standin/rules?api=coinify", `{"expires_in":"later"}`, 400}, {"PATCH", "/_standin/rules?api=apirone", `{"refused_status":418}`, 400},
		{"PATCH", "/_standin/rules?api=coinify", `{"session":"x"}`, 400}, {"PATCH", "/_standin/rules?api=coinify", `{"invalidate_on_refresh":"maybe"}`, 400},
		{"POST", "/_standin/accounts", `{"api":"x"}`, 400}, {"POST", "/_standin/lookup", `{"api":"coinify","token":"x"}`, 404},
		{"GET", "/_standin/counts", "", 400}, {"GET", "/_standin/clock", "", 404},
	} {
		if got := control(t, h, row.method, row.path, row.body, nil); got != row.want {
			t.Errorf("%s %s %s: %d, want %d", row.method, row.path, row.body, got, row.want)
		}
	}
	for _, row := range []struct{ remote, host string }{{"192.0.2.1:5", "127.0.0.1"}, {"127.0.0.1:5", "evil.example:80"}} {
		r := httptest.NewRequest("GET", "/_standin/books", nil)
		r.RemoteAddr, r.Host = row.remote, row.host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 403 {
			t.Errorf("from %s to %s: %d, want 403", row.remote, row.host, w.Code)
		}
	}
}

func TestStart(t *testing.T) {
	if _, err := Start(t.Context(), New(Options{}), Listen{Host: "0.0.0.0"}); err == nil || !strings.Contains(err.Error(), "not a loopback address") {
		t.Errorf("listening to the world: %v", err)
	}
	for _, secured := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		s := New(Options{AnyAccount: true})
		run, err := Start(ctx, s, Listen{TLS: secured})
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		client := &http.Client{Transport: transport}
		if secured {
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM(run.CA) {
				t.Fatal("no CA")
			}
			transport.TLSClientConfig, transport.ForceAttemptHTTP2 = &tls.Config{RootCAs: pool}, true
		}
		reply, err := client.Post(run.URLs.Coinify+"/auth", jsonType, strings.NewReader(coinifyLogin))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, reply.Body)
		_ = reply.Body.Close()
		if reply.StatusCode != 200 || secured != (reply.ProtoMajor == 2) || strings.HasPrefix(run.URLs.Coinify, "https:") != secured {
			t.Errorf("TLS %v: %s %s", secured, reply.Status, reply.Proto)
		}
		s.Fail(Fault{Kind: FaultLost})
		if reply, err := client.Post(run.URLs.Coinify+"/auth", jsonType, strings.NewReader(coinifyLogin)); err == nil {
			t.Errorf("TLS %v: a lost reply is %s", secured, reply.Status)
		}
		if reply, err := client.Get(run.URLs.Control + "/counts?api=coinify"); err != nil || reply.StatusCode != 200 {
			t.Errorf("control: %v", err)
		}
		if secured { // each way to end it
			cancel()
		}
		run.Close()
		run.Close()
		if _, err := client.Get(run.URLs.Apirone); err == nil {
			t.Error("it still listens")
		}
		transport.CloseIdleConnections()
		cancel()
	}
}
