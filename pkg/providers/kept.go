package providers

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// keptConns sends requests over HTTP/1.1 connections that it keeps, in the
// goroutine of whoever calls. net/http has two goroutines for each connection
// and hands every request and every reply over to them and back, which costs as
// much as the encryption does; a daemon that makes thousands of small calls a
// second feels that. Requests and replies are written and read by net/http all
// the same.
//
// It knows the plain case only: a small request straight to a server that speaks
// HTTP/1.1. Everything else goes the standard way (see [keptConns.takes]); a
// server that turns out to speak HTTP/2 gets there with the connection on which
// that was found out.
//
// A connection is used again only where nothing speaks against it: the last
// reply ended where it said it would, nothing came since, not even in part, and
// no clock says that it was idle for long. A new connection costs milliseconds,
// and a request on one that is no good may cost a refresh token.
//
// It is safe for concurrent use.
type keptConns struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	tls  *tls.Config

	mu    sync.Mutex
	idle  map[string][]*keptConn // by place; the one that was used last is last
	http2 map[string]bool        // places that speak it
	reap  *time.Timer            // nil: nothing is idle
}

const (
	// maxKeptBody is the largest body that is sent here: one that the kernel
	// takes at once, so that a server which answers before it has read all of it
	// cannot hold up the writing.
	maxKeptBody = 16 << 10
	maxHead     = 64 << 10
)

func newKeptConns(dial func(ctx context.Context, network, address string) (net.Conn, error), c *tls.Config) *keptConns {
	c = c.Clone()
	c.NextProtos = []string{"h2", "http/1.1"}
	return &keptConns{dial: dial, tls: c, idle: map[string][]*keptConn{}, http2: map[string]bool{}}
}

// takes says whether a request is sent here. Headers that govern a connection or
// how a body is framed are for net/http to interpret.
func (k *keptConns) takes(r *Request) bool {
	if k == nil || len(r.body) > maxKeptBody || !plainHost(r.url.Hostname()) {
		return false
	}
	for _, name := range []string{"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		if _, ok := r.header[name]; ok {
			return false
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.http2[placeOf(r.url)]
}

// plainHost says that a host's name goes into DNS and certificates as it is.
func plainHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || c == '%' {
			return false
		}
	}
	return host != ""
}

// placeOf is the address that a URL leads to, with a mark for TLS.
func placeOf(u *url.URL) string {
	port := u.Port()
	if u.Scheme == "https" {
		if port == "" {
			port = "443"
		}
		return tlsMark + net.JoinHostPort(u.Hostname(), port)
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

const tlsMark = "tls "

// errHTTP2: the server speaks HTTP/2, so the request, which was not sent, goes
// the standard way, and the connection with it (see [flight.http2]).
var errHTTP2 = errors.New("the server speaks HTTP/2")

// roundTrip sends a request once and reads the head of its reply. ctx ends it
// only before there is a connection, the deadline at any time. The body is to be
// closed, which gives the connection back if it was read to its end.
func (k *keptConns) roundTrip(ctx context.Context, r *Request, f *flight, deadline time.Time) (*http.Response, error) {
	c, err := k.take(ctx, r.url, f, deadline)
	if err != nil {
		if cause := ctx.Err(); cause != nil {
			err = cause
		}
		return nil, err
	}
	if !f.isReady() {
		c.close()
		return nil, errNotReady
	}
	f.state.Store(flies)
	f.before = c.counted.writes.Load()
	f.conn.Store(c.counted)
	resp, err := c.exchange(r.plain())
	if err != nil {
		c.close()
		return nil, err
	}
	resp.Body = &keptBody{Reader: resp.Body, k: k, c: c, reusable: staysOpen(resp)}
	return resp, nil
}

// staysOpen says that a reply leaves its connection for the next request. One
// that was switched to another protocol (101) is not HTTP any more.
func staysOpen(resp *http.Response) bool {
	return !resp.Close && resp.StatusCode >= http.StatusOK && resp.ProtoMajor == 1
}

// take is a connection that is known to have been open a moment ago, or a new one.
func (k *keptConns) take(ctx context.Context, u *url.URL, f *flight, deadline time.Time) (*keptConn, error) {
	place := placeOf(u)
	for c := k.pop(place); c != nil; c = k.pop(place) {
		if c.recent(time.Now()) && c.SetDeadline(deadline) == nil && c.drained(deadline) && c.quiet() {
			return c, nil
		}
		c.close()
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := k.connect(ctx, place)
	if err != nil {
		return nil, err
	}
	if t, ok := conn.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
		k.mu.Lock()
		k.http2[place] = true
		k.mu.Unlock()
		f.http2.Store(t)
		return nil, errHTTP2
	}
	c := &keptConn{Conn: conn, place: place, counted: countedUnder(conn)}
	if c.in, c.out = bufio.NewReader(c), bufio.NewWriter(conn); c.SetDeadline(deadline) != nil {
		c.close()
		return nil, errors.New("the connection was closed at once")
	}
	return c, nil
}

func (k *keptConns) pop(place string) *keptConn {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.idle[place]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	k.idle[place] = list[:len(list)-1]
	return c
}

// connect dials a place, and shakes hands where it has TLS.
func (k *keptConns) connect(ctx context.Context, place string) (net.Conn, error) {
	address, secure := cutMark(place)
	raw, err := k.dial(ctx, "tcp", address)
	if err != nil || !secure {
		return raw, err
	}
	config := k.tls.Clone()
	if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
		_ = raw.Close()
		return nil, err
	}
	shaking, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn := tls.Client(&recordConn{Conn: raw}, config)
	if err := conn.HandshakeContext(shaking); err != nil {
		_ = raw.Close()
		if shaking.Err() != nil && ctx.Err() == nil {
			return nil, fmt.Errorf("the TLS handshake took longer than %v", dialTimeout)
		}
		return nil, err
	}
	return conn, nil
}

func cutMark(place string) (address string, secure bool) {
	if len(place) > len(tlsMark) && place[:len(tlsMark)] == tlsMark {
		return place[len(tlsMark):], true
	}
	return place, false
}

// dialTLS is how net/http connects to a server that has TLS. The request that
// found out that the server speaks HTTP/2 brings its connection along; no other
// one gets that, since nobody would watch it until then.
func (k *keptConns) dialTLS(ctx context.Context, _, address string) (net.Conn, error) {
	if f, ok := ctx.Value(flightKey{}).(*flight); ok {
		if c := f.http2.Swap(nil); c != nil {
			f.dialed.Store(countedUnder(c))
			return c, nil
		}
	}
	return k.connect(ctx, tlsMark+address)
}

// put keeps a connection for the next request to the same place.
func (k *keptConns) put(c *keptConn) {
	c.since = time.Now()
	k.mu.Lock()
	full := len(k.idle[c.place]) >= maxIdle
	if !full {
		k.idle[c.place] = append(k.idle[c.place], c)
		if k.reap == nil {
			k.reap = time.AfterFunc(idleTimeout, k.reapIdle)
		}
	}
	k.mu.Unlock()
	if full {
		c.close()
	}
}

// reapIdle closes what nobody has used for so long that the server may be about
// to.
func (k *keptConns) reapIdle() {
	k.drop(time.Now().Add(-idleTimeout))
}

// drop closes the idle connections that were not used after a time.
func (k *keptConns) drop(until time.Time) {
	var old []*keptConn
	k.mu.Lock()
	var next time.Time
	for place, list := range k.idle {
		n := 0
		for n < len(list) && !list[n].since.After(until) {
			n++
		}
		old = append(old, list[:n]...)
		switch list = append([]*keptConn(nil), list[n:]...); {
		case len(list) == 0:
			delete(k.idle, place)
		default:
			k.idle[place] = list
			if next.IsZero() || list[0].since.Before(next) {
				next = list[0].since
			}
		}
	}
	if k.reap != nil {
		k.reap.Stop()
		k.reap = nil
	}
	if !next.IsZero() {
		k.reap = time.AfterFunc(max(time.Until(next.Add(idleTimeout)), time.Millisecond), k.reapIdle)
	}
	k.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// closeIdle closes all connections that nobody uses.
func (k *keptConns) closeIdle() {
	if k != nil {
		k.drop(time.Now())
	}
}

// keptConn is one connection. Whoever took it has it alone.
type keptConn struct {
	net.Conn
	counted *countedConn // below TLS
	place   string
	in      *bufio.Reader // of this, so that a head has its bound
	out     *bufio.Writer
	left    int64     // how much may be read before a head has ended
	since   time.Time // when it became idle
	peek    [1]byte
}

var errHeadTooLarge = errors.New("the reply's head is too large")

func (c *keptConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeadTooLarge
	}
	n, err := c.Conn.Read(b)
	c.left -= int64(n)
	return n, err
}

func (c *keptConn) close() { _ = c.Conn.Close() }

// exchange writes a request and reads the head of its final reply. However many
// interim ones come before it, as an API that is busy for long sends them, together
// they may be as large as a head; and they have to come in the request's time.
func (c *keptConn) exchange(q *http.Request) (*http.Response, error) {
	if err := q.Write(c.out); err != nil {
		return nil, err
	}
	if err := c.out.Flush(); err != nil {
		return nil, err
	}
	for interim := int64(0); interim <= maxHead; interim += maxHead - c.left {
		c.left = maxHead
		resp, err := http.ReadResponse(c.in, q)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= http.StatusOK || resp.StatusCode == http.StatusSwitchingProtocols {
			c.left = math.MaxInt64
			return resp, nil
		}
	}
	return nil, errHeadTooLarge
}

// keptBody is the body of a reply.
type keptBody struct {
	io.Reader
	k        *keptConns
	c        *keptConn
	reusable bool
	ended    bool
}

func (b *keptBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

// Close gives the connection back, or closes it when not all was read or the
// server wants it so. It is called once.
func (b *keptBody) Close() error {
	if b.ended && b.reusable && b.c.in.Buffered() == 0 {
		b.k.put(b.c)
		return nil
	}
	return b.c.Conn.Close()
}
