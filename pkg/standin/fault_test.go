package standin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// overWire sends a request over a real connection, where a reply can be cut or missing.
func overWire(t *testing.T, base string, q req) (*http.Response, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), q.method, base+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.media != "" {
		r.Header.Set("Content-Type", q.media)
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	reply, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(reply.Body)
	return reply, string(body), err
}

func TestFaults(t *testing.T) {
	s, c := coinifyRig(Rules{})
	web := httptest.NewServer(s.Handler(Coinify))
	defer web.Close()
	isObject := func(body string) bool { return json.Valid([]byte(body)) }
	date := c.Now().Add(90 * time.Second).Format(http.TimeFormat)
	for _, row := range []struct {
		name   string
		fault  Fault
		acts   bool
		broken bool // no complete reply arrives
		unseen bool
		status int
		check  func(h http.Header, body string) bool
	}{
		{name: "refuse", fault: Fault{Kind: FaultRefuse}, status: 400, check: func(_ http.Header, b string) bool { return strings.Contains(b, `"invalid_grant"`) }},
		{name: "refuse otherwise", fault: Fault{Kind: FaultRefuse, Status: 401, Code: "invalid_client", Body: "no \"such\""}, status: 401,
			check: func(_ http.Header, b string) bool {
				return b == `{"error":"invalid_client","error_description":"no \"such\""}`
			}},
		{name: "close", fault: Fault{Kind: FaultClose}, broken: true},
		{name: "lost", fault: Fault{Kind: FaultLost}, acts: true, broken: true, unseen: true},
		{name: "cut", fault: Fault{Kind: FaultCut}, acts: true, broken: true, unseen: true, status: 200, check: func(_ http.Header, b string) bool {
			return strings.HasPrefix(b, `{"access_token":"`) && !isObject(b)
		}},
		{name: "429 in seconds", fault: Fault{Kind: FaultThrottle, RetryAfter: 1500 * time.Millisecond}, status: 429, check: func(h http.Header, _ string) bool { return h.Get("Retry-After") == "2" }},
		{name: "429 with a date", fault: Fault{Kind: FaultThrottle, RetryAfter: 90 * time.Second, RetryAfterDate: true}, status: 429, check: func(h http.Header, _ string) bool { return h.Get("Retry-After") == date }},
		{name: "503 without", fault: Fault{Kind: FaultThrottle, Status: 503}, status: 503, check: func(h http.Header, _ string) bool { return h.Get("Retry-After") == "" }},
		{name: "500", fault: Fault{Kind: FaultStatus}, status: 500, check: func(_ http.Header, b string) bool { return isObject(b) }},
		{name: "502 after acting", fault: Fault{Kind: FaultStatus, Status: 502, Acts: true, Body: "upstream"}, acts: true, unseen: true, status: 502, check: func(_ http.Header, b string) bool { return b == "upstream" }},
		{name: "html", fault: Fault{Kind: FaultHTML}, status: 200, check: func(h http.Header, b string) bool {
			return strings.HasPrefix(h.Get("Content-Type"), "text/html") && strings.Contains(b, "<html")
		}},
		{name: "html 502", fault: Fault{Kind: FaultHTML, Status: 502}, status: 502},
		{name: "empty", fault: Fault{Kind: FaultEmpty, Acts: true}, acts: true, unseen: true, status: 200, check: func(_ http.Header, b string) bool { return b == "" }},
		{name: "huge", fault: Fault{Kind: FaultHuge}, status: 200, check: func(_ http.Header, b string) bool { return len(b) == 100<<20 }},
		{name: "huge to measure", fault: Fault{Kind: FaultHuge, Bytes: 70_000}, status: 200, check: func(_ http.Header, b string) bool { return len(b) == 70_000 }},
		{name: "200 with error", fault: Fault{Kind: FaultOKError}, status: 200, check: func(_ http.Header, b string) bool { return strings.HasPrefix(b, `{"error":"invalid_grant"`) }},
		{name: "garbage", fault: Fault{Kind: FaultGarbage}, status: 200, check: func(_ http.Header, b string) bool { return !isObject(b) }},
		{name: "echo", fault: Fault{Kind: FaultEcho}, status: 400, check: func(_ http.Header, b string) bool { return isObject(b) && strings.Contains(b, "password=s3cret") }},
		{name: "redirect", fault: Fault{Kind: FaultRedirect, Location: "https://else.example/auth"}, status: 307, check: func(h http.Header, _ string) bool { return h.Get("Location") == "https://else.example/auth" }},
		{name: "headers", fault: Fault{Kind: FaultHeaders, Header: map[string]string{"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}}, acts: true, status: 200, check: func(h http.Header, b string) bool {
			return strings.HasSuffix(h.Get("Date"), "1970 00:00:00 GMT") && isObject(b)
		}},
		{name: "missing token", fault: Fault{Kind: FaultMissingToken}, acts: true, unseen: true, status: 200, check: func(_ http.Header, b string) bool { return isObject(b) && !strings.Contains(b, "access_token") }},
		{name: "wrong types", fault: Fault{Kind: FaultWrongTypes}, acts: true, unseen: true, status: 200, check: func(_ http.Header, b string) bool { return isObject(b) && strings.Contains(b, `"access_token":{`) }},
		{name: "past expiry", fault: Fault{Kind: FaultPastExpiry}, acts: true, status: 200, check: func(_ http.Header, b string) bool { return strings.Contains(b, `"expires_in":-60`) }},
		{name: "expiry as string", fault: Fault{Kind: FaultExpiryString}, acts: true, status: 200, check: func(_ http.Header, b string) bool { return strings.Contains(b, `"expires_in":"1200"`) }},
		{name: "expiry as word", fault: Fault{Kind: FaultExpiryWord}, acts: true, status: 200, check: func(_ http.Header, b string) bool { return strings.Contains(b, `"expires_in":"soon"`) }},
		{name: "expiry zero", fault: Fault{Kind: FaultExpiryZero}, acts: true, status: 200, check: func(_ http.Header, b string) bool { return strings.Contains(b, `"expires_in":0`) }},
		{name: "no expiry", fault: Fault{Kind: FaultExpiryMissing}, acts: true, status: 200, check: func(_ http.Header, b string) bool { return isObject(b) && !strings.Contains(b, "expires_in") }},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := s.Counts(Coinify)
			armed := s.Fail(row.fault)
			reply, body, err := overWire(t, web.URL, jsonPost("/auth", coinifyLogin))
			if (err != nil) != row.broken {
				t.Errorf("error %v, want one: %v", err, row.broken)
			}
			if reply != nil && (reply.StatusCode != row.status || row.check != nil && !row.check(reply.Header, body)) {
				t.Errorf("got %d %v %.300s", reply.StatusCode, reply.Header, body)
			}
			after := s.Counts(Coinify)
			if got := after.Grants - before.Grants; got != map[bool]int{true: 1}[row.acts] {
				t.Errorf("%d grants, acts is %v", got, row.acts)
			}
			if got := after.Unseen > before.Unseen; got != row.unseen {
				t.Errorf("an unseen token: %v, want %v", got, row.unseen)
			}
			if armed.Hits() != 1 || after.Faulted != before.Faulted+1 {
				t.Errorf("%d hits, %d counted", armed.Hits(), after.Faulted-before.Faulted)
			}
			log := s.Ledger(Coinify).Requests
			if last := log[len(log)-1]; last.Status != row.status || last.Fault != row.fault.Kind {
				t.Errorf("the books say %+v", last)
			}
			if _, _, err := overWire(t, web.URL, jsonPost("/auth", coinifyLogin)); err != nil {
				t.Errorf("the request after the fault: %v", err)
			}
		})
	}
}

func TestApironeFaults(t *testing.T) {
	s, c := apironeRig(Rules{})
	h := s.Handler(Apirone)
	for kind, want := range map[FaultKind]any{
		FaultExpiryString:  "1777896600",
		FaultExpiryWord:    "soon",
		FaultExpiryZero:    0.0,
		FaultExpiryMissing: nil,
		FaultPastExpiry:    float64(c.Now().Add(-time.Minute).Unix()),
	} {
		s.Fail(Fault{Kind: kind})
		out := good(t, h, jsonPost("/api/v2/auth/login", apironeBody))
		if got := claims(t, out.text("access-token"))["exp"]; got != want {
			t.Errorf("%s: exp is %v, want %v", kind, got, want)
		}
	}
	s.Fail(Fault{Kind: FaultRefuse, Status: 500})
	if out := send(t, h, jsonPost("/api/v2/auth/login", apironeBody)); out.status != 500 || out.raw != `{"message":"refused on command"}` {
		t.Errorf("refusal: %d %s", out.status, out.raw)
	}
}

func TestFaultMatching(t *testing.T) {
	s, _ := coinifyRig(Rules{})
	h := s.Handler(Coinify)
	_, refresh, again := loginAndRefresh(t, s)
	login := func() int { return send(t, h, jsonPost("/auth", coinifyLogin)).status }

	for _, other := range []Fault{
		{API: Apirone}, {Method: "GET"}, {Path: "/auth/revoke"}, {Path: "/traders*"}, {Grant: "refresh_token"}, {Account: "b@example.com"},
	} {
		other.Kind = FaultStatus
		armed := s.Fail(other)
		if login() != 200 || armed.Hits() != 0 {
			t.Errorf("%+v befell a login", other)
		}
		armed.Clear()
	}
	for _, mine := range []Fault{
		{}, {API: Coinify}, {Method: "POST", Path: "/auth"}, {Path: "/a*"}, {Grant: "password"}, {Account: "a@example.com"},
	} {
		mine.Kind = FaultStatus
		s.Fail(mine)
		if login() != 500 {
			t.Errorf("%+v did not befall a login", mine)
		}
	}
	s.Fail(Fault{Kind: FaultStatus, Account: "a@example.com", Grant: "refresh_token"})
	if out := again(refresh); out.status != 500 {
		t.Errorf("a fault by the account behind a refresh token: %d", out.status)
	}

	armed := s.Fail(Fault{Kind: FaultStatus, After: 1, Times: 2})
	second := s.Fail(Fault{Kind: FaultHTML, Status: 503})
	if send(t, h, jsonPost("/auth", "{")).status != 400 {
		t.Error("an unreadable request met a fault")
	}
	// the first lets one pass, which the second takes
	for i, want := range []int{503, 500, 500, 200} {
		if got := login(); got != want {
			t.Errorf("login %d: %d, want %d", i, got, want)
		}
	}
	if armed.Hits() != 2 || second.Hits() != 1 {
		t.Errorf("%d and %d hits", armed.Hits(), second.Hits())
	}
	s.Fail(Fault{Kind: FaultStatus, Times: -1})
	for range 5 {
		if login() != 500 {
			t.Fatal("a fault without end has ended")
		}
	}
	s.ClearFaults()
	if login() != 200 {
		t.Error("a cleared fault is still there")
	}
}

func TestStall(t *testing.T) {
	s, _ := coinifyRig(Rules{})
	web := httptest.NewServer(s.Handler(Coinify))
	defer web.Close()
	type outcome struct {
		reply *http.Response
		err   error
	}
	begin := func() <-chan outcome {
		done := make(chan outcome, 1)
		go func() {
			reply, _, err := overWire(t, web.URL, jsonPost("/auth", coinifyLogin))
			done <- outcome{reply, err}
		}()
		return done
	}

	armed := s.Fail(Fault{Kind: FaultStall, Acts: true})
	done := begin()
	<-armed.Hit()
	if got := s.Counts(Coinify); got.Grants != 1 || got.Unseen != 1 {
		t.Errorf("while it stalls the books say %+v", got)
	}
	armed.Release()
	if o := <-done; o.err == nil {
		t.Errorf("a stalled request got a reply: %v", o.reply.Status)
	}

	armed = s.Fail(Fault{Kind: FaultDelay, Delay: time.Hour})
	done = begin()
	<-armed.Hit()
	armed.Release()
	if o := <-done; o.err != nil || o.reply.StatusCode != 200 {
		t.Errorf("a released request: %+v", o)
	}

	armed = s.Fail(Fault{Kind: FaultStall})
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		r, _ := http.NewRequestWithContext(ctx, "POST", web.URL+"/auth", strings.NewReader(coinifyLogin))
		r.Header.Set("Content-Type", jsonType)
		_, err := http.DefaultClient.Do(r)
		failed <- err
	}()
	<-armed.Hit()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the client gave up: %v", err)
	}
	if got := s.Counts(Coinify); got.Grants != 2 {
		t.Errorf("a stall that does not act made a grant: %+v", got)
	}

	armed = s.Fail(Fault{Kind: FaultStall})
	done = begin()
	<-armed.Hit()
	s.Close()
	if o := <-done; o.err == nil {
		t.Error("a closed Server answered")
	}
}

// The case that the whole product is about: the refresh was carried out, the reply is lost.
func TestReplyLostAfterRotation(t *testing.T) {
	s, _ := coinifyRig(Rules{Rotate: RotateSingleUse, DetectReuse: true})
	web := httptest.NewServer(s.Handler(Coinify))
	defer web.Close()
	_, refresh, again := loginAndRefresh(t, s)
	s.Fail(Fault{Kind: FaultLost, Grant: "refresh_token"})
	if _, _, err := overWire(t, web.URL, jsonPost("/auth", `{"grant_type":"refresh_token","refresh_token":"`+refresh+`"}`)); err == nil {
		t.Fatal("the reply was not lost")
	}
	spent, _ := s.Lookup(Coinify, refresh)
	if spent.Alive || spent.Why != "rotated" || s.Counts(Coinify).Unseen != 1 {
		t.Errorf("after the lost reply: %+v, %d unseen", spent, s.Counts(Coinify).Unseen)
	}
	if out := again(refresh); out.status != 400 || s.Counts(Coinify).Reuses != 1 {
		t.Errorf("the repetition: %d", out.status)
	}
	if live := s.Live(Coinify, "a@example.com"); len(live) != 0 {
		t.Errorf("the family lives: %+v", live)
	}
}

func TestFailPanicsOnAMisspeltKind(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(Options{}).Fail(Fault{Kind: "stal"})
}
