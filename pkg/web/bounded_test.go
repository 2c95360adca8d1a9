package web

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// openConns counts a listener's connections.
type openConns struct {
	net.Listener
	taken, open, most atomic.Int64
	reached           chan struct{} // closed when goal were taken
	goal              int64
}

func (l *openConns) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if n := l.open.Add(1); n > l.most.Load() { // one goroutine accepts
		l.most.Store(n)
	}
	if l.taken.Add(1) == l.goal {
		close(l.reached)
	}
	return &counted{Conn: c, l: l}, nil
}

type counted struct {
	net.Conn
	l    *openConns
	done atomic.Bool
}

func (c *counted) Close() error {
	if !c.done.Swap(true) {
		c.l.open.Add(-1)
	}
	return c.Conn.Close()
}

// Whoever reaches the port does not take the daemon's memory by connections that
// say nothing; who comes after them is served once they are gone.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const many = maxConnections + 100
	ln := &openConns{Listener: inner, reached: make(chan struct{}), goal: many}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- ServeListener(ctx, ln, handlerOf(healthy()), slog.New(slog.DiscardHandler)) }()
	for range many {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	<-ln.reached // those in front have run into their timeout
	if most := ln.most.Load(); most > maxConnections {
		t.Errorf("%d connections were open at once, want %d at the most", most, maxConnections)
	}
	resp, err := http.Get("http://" + inner.Addr().String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, net.ErrClosed) {
		t.Errorf("ServeListener = %v", err)
	}
}

// Connections that are kept between requests make room for the next one at once.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, handlerOf(healthy()))
	for range maxConnections + 20 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(idleTimeout / 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp, err)
		}
		_ = resp.Body.Close()
	}
}
