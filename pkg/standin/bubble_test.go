package standin

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are net.Pipes, which synctest can see waiting.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs a test with a Server in a synctest bubble, with the bubble's own clock.
func inBubble(t *testing.T, o Options, api API, test func(t *testing.T, s *Server, client *http.Client)) {
	synctest.Test(t, func(t *testing.T) {
		s := New(o)
		listener := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: s.Handler(api)}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		transport := &http.Transport{DialContext: listener.dial}
		test(t, s, &http.Client{Transport: transport})
		transport.CloseIdleConnections()
		s.Close()
		_ = server.Close()
		<-served
	})
}

func fetch(t *testing.T, client *http.Client, q req) (int, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), q.method, "http://standin"+q.path, strings.NewReader(q.body))
	if err != nil {
		t.Fatal(err)
	}
	if q.media != "" {
		r.Header.Set("Content-Type", q.media)
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	reply, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(reply.Body)
	return reply.StatusCode, string(body), err
}

func TestLifetimesInABubble(t *testing.T) {
	for _, row := range []struct {
		api    API
		q      req
		use    func(token string) req
		key    string
		length time.Duration
	}{
		{Coinify, jsonPost("/auth", coinifyLogin), func(v string) req { return withBearer("GET", "/traders/me", v) }, "access_token", 20 * time.Minute},
		{Apirone, jsonPost("/api/v2/auth/login", apironeBody), func(v string) req { return withBearer("GET", "/api/v2/accounts/apr-1/callback", v) }, "access-token", 10 * time.Minute},
		{OAuth2, formPost("/token", "client_id", "a", "client_secret", "b", "grant_type", "client_credentials"), func(v string) req { return withBearer("GET", "/api/me", v) }, "access_token", time.Hour},
	} {
		t.Run(string(row.api), func(t *testing.T) {
			inBubble(t, Options{AnyAccount: true}, row.api, func(t *testing.T, s *Server, client *http.Client) {
				_, body, err := fetch(t, client, row.q)
				if err != nil {
					t.Fatal(err)
				}
				_, rest, _ := strings.Cut(body, `"`+row.key+`":"`)
				token, _, _ := strings.Cut(rest, `"`)
				time.Sleep(row.length - time.Second)
				if status, _, err := fetch(t, client, row.use(token)); status != 200 {
					t.Errorf("a second before its end: %d %v", status, err)
				}
				time.Sleep(time.Second)
				if status, _, err := fetch(t, client, row.use(token)); status != 401 {
					t.Errorf("at its end: %d %v", status, err)
				}
			})
		})
	}
}

func TestWaitingInABubble(t *testing.T) {
	inBubble(t, Options{AnyAccount: true, Rules: Rules{Latency: 3 * time.Second}}, Coinify, func(t *testing.T, s *Server, client *http.Client) {
		begin := time.Now()
		if status, _, err := fetch(t, client, jsonPost("/auth", coinifyLogin)); status != 200 || time.Since(begin) != 3*time.Second {
			t.Errorf("%d %v after %v, want 200 after 3s", status, err, time.Since(begin))
		}
		s.Fail(Fault{Kind: FaultDelay, Delay: time.Hour})
		if status, _, err := fetch(t, client, jsonPost("/auth", coinifyLogin)); status != 200 || time.Since(begin) != time.Hour+6*time.Second {
			t.Errorf("%d %v after %v, want 200 after 1h6s", status, err, time.Since(begin))
		}
		s.Fail(Fault{Kind: FaultStall, Acts: true})
		client.Timeout = time.Minute
		if _, _, err := fetch(t, client, jsonPost("/auth", coinifyLogin)); err == nil || time.Since(begin) != time.Hour+time.Minute+6*time.Second {
			t.Errorf("%v after %v, want a timeout after a minute", err, time.Since(begin))
		}
		if got := s.Counts(Coinify).Grants; got != 3 {
			t.Errorf("%d grants, want 3", got)
		}
	})
}

// A client that gives up during the latency has its request carried out all the same, as on a real server.
func TestLatencyOutlivesTheClient(t *testing.T) {
	inBubble(t, Options{AnyAccount: true, Rules: Rules{Latency: 10 * time.Second}}, Coinify, func(t *testing.T, s *Server, client *http.Client) {
		client.Timeout = time.Second
		if _, _, err := fetch(t, client, jsonPost("/auth", coinifyLogin)); err == nil {
			t.Error("no timeout")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := s.Counts(Coinify).Grants; got != 1 {
			t.Errorf("%d grants, want 1", got)
		}
	})
}
