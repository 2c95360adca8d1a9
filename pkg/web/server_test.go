package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// serve serves h until the test ends or stop is called, which waits for the end.
func serve(t *testing.T, h http.Handler) (addr string, stop func() error) {
	t.Helper()
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ServeListener(ctx, ln, h, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(cancel)
	return ln.Addr().String(), func() error {
		cancel()
		return <-ended
	}
}

func TestServe(t *testing.T) {
	addr, stop := serve(t, handlerOf(healthy()))
	resp, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || string(body) != "ready\n" {
		t.Errorf("%d %q, %v", resp.StatusCode, body, err)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Errorf("a stop as asked is an error: %v", err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("it still listens after its end")
	}
}

func TestServeSaysWhatIsWrong(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	taken := ln.Addr().String()
	_, port, _ := net.SplitHostPort(taken)
	for _, c := range []struct {
		addr string
		is   error
		want []string
	}{
		{taken, syscall.EADDRINUSE, []string{"listening on " + taken, "another process has taken port " + port, "sport = :" + port, "set another port as listen"}},
		{"192.0.2.1:0", syscall.EADDRNOTAVAIL, []string{"listening on 192.0.2.1:0", "this machine has no such address"}},
		{"8250", nil, []string{`listening on "8250"`, `host:port, as in "127.0.0.1:8250"`}},
		{"", nil, []string{`listening on ""`, "host:port"}},
		{"127.0.0.1:http-but-not", nil, []string{"listening on 127.0.0.1:http-but-not", "check listen in the tokend block"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := Serve(ctx, c.addr, handlerOf(healthy()), nil)
		cancel()
		if err == nil {
			t.Errorf("%q: no error", c.addr)
			continue
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%q: %v is not %v", c.addr, err, c.is)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v does not say %q", c.addr, err, want)
			}
		}
	}
}

func TestListenHintOfAReservedPort(t *testing.T) {
	err := &net.OpError{Op: "listen", Err: syscall.EACCES}
	if got := listenHint("127.0.0.1:80", err); !strings.Contains(got, "port 80 is reserved to root") {
		t.Error(got)
	}
}

// A request that is under way when the end is asked for is answered.
func TestServeEndsGracefully(t *testing.T) {
	inside, release := make(chan struct{}), make(chan struct{})
	addr, stop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-release
		_, _ = io.WriteString(w, "answered")
	}))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-inside
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	waitRefused(t, addr)
	select {
	case err := <-ended:
		t.Fatalf("it ended with a request under way: %v", err)
	default:
	}
	close(release)
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(answer), "answered") {
		t.Errorf("got %q, %v", answer, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// waitRefused waits until nothing listens at addr any more.
func waitRefused(t *testing.T, addr string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-tick.C {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		_ = c.Close()
	}
	t.Fatal("it still listens")
}

func TestServeRefusesLargeHeaders(t *testing.T) {
	addr, _ := serve(t, handlerOf(healthy()))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := fmt.Fprintf(c, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: %s\r\n\r\n", strings.Repeat("x", 2*maxHeaderBytes)); err != nil {
		t.Fatal(err)
	}
	status, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(status, "431") {
		t.Errorf("got %q, %v", status, err)
	}
}

// A listener that breaks is an error, not a quiet end.
func TestServeListenerThatBreaks(t *testing.T) {
	ln, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ServeListener(t.Context(), ln, handlerOf(healthy()), nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A redirect that ends a login is answered however long its code is.
func TestServeTakesALongRedirect(t *testing.T) {
	addr, _ := serve(t, handlerOf(healthy()))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/callback?code="+strings.Repeat("x", 40<<10), nil)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	if reply.StatusCode == http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %s", reply.Status)
	}
}
