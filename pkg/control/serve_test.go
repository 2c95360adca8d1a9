package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A client that asks for a stream and then does not read it is given up, and
// does not keep the daemon from stopping.
func TestClientThatDoesNotReadIsGivenUp(t *testing.T) {
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	gaveUp := make(chan error, 1)
	mux := http.NewServeMux()
	mux.Handle("POST /v1/watch", HandleStream(func(_ context.Context, _ struct{}, send func(any) error) error {
		for {
			if err := send(strings.Repeat("x", 64<<10)); err != nil {
				gaveUp <- err
				return err
			}
		}
	}))
	s := &server{handler: mux, log: noLog(), sendTimeout: 100 * time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, ln) }()

	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("POST /v1/watch HTTP/1.1\r\nHost: x\r\nTokend-Control: 1\r\nContent-Length: 0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []struct {
		what string
		c    <-chan error
		end  func()
	}{{"the handler gave up", gaveUp, func() {}}, {"the server stopped", done, cancel}} {
		wait.end()
		select {
		case err := <-wait.c:
			if wait.c == gaveUp && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s by %v, want a deadline", wait.what, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("not within 20 s: %s", wait.what)
		}
	}
}
