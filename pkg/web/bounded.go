package web

import (
	"net"
	"net/http"
	"sync"
)

// bounded is a listener that takes no more connections than so many at once. Where
// there are as many, one that is kept for another request goes to make room.
type bounded struct {
	net.Listener
	room   chan struct{} // holds a token for each connection
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	idle    map[net.Conn]struct{}
	waiting bool // for room
}

func newBounded(ln net.Listener, most int) *bounded {
	return &bounded{Listener: ln, room: make(chan struct{}, most), closed: make(chan struct{}), idle: map[net.Conn]struct{}{}}
}

// Accept implements [net.Listener].
func (b *bounded) Accept() (net.Conn, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.room
		return nil, err
	}
	return &boundedConn{Conn: c, room: b.room}, nil
}

// enter waits for room.
func (b *bounded) enter() error {
	select {
	case b.room <- struct{}{}:
		return nil
	default:
	}
	b.wants(true)
	defer b.wants(false)
	select {
	case b.room <- struct{}{}:
		return nil
	case <-b.closed:
		return net.ErrClosed
	}
}

// wants notes whether room is waited for, and ends an idle connection if so.
func (b *bounded) wants(room bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = room
	for c := range b.idle {
		if !b.waiting {
			return
		}
		b.end(c)
	}
}

// end closes an idle connection; nobody waits any more. mu is held.
func (b *bounded) end(c net.Conn) {
	delete(b.idle, c)
	b.waiting = false
	_ = c.Close() // its server notices
}

// state is told what becomes of a connection (http.Server.ConnState).
func (b *bounded) state(c net.Conn, s http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.idle, c)
	if s != http.StateIdle {
		return
	}
	if b.idle[c] = struct{}{}; b.waiting {
		b.end(c)
	}
}

// Close implements [net.Listener].
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

// Close implements [net.Conn].
func (c *boundedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { <-c.room })
	return err
}
