package providers_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/spec"
)

// gathered holds back what is written to it until all of it goes at once: several
// records of TLS in one segment, as the kernel of a server may send them.
type gathered struct {
	net.Conn
	mu   sync.Mutex
	hold bool
	buf  bytes.Buffer
}

func (g *gathered) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hold {
		return g.buf.Write(p)
	}
	return g.Conn.Write(p)
}

func (g *gathered) gather() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = true
}

// send writes what was gathered, but for so many bytes at its end.
func (g *gathered) send(but int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.SetWriteDeadline(time.Time{}) // the end of TLS sets one
	_, _ = g.Conn.Write(g.buf.Bytes()[:g.buf.Len()-but])
}

// tlsScripted serves connections with TLS, one after the other, each by its own
// function.
func tlsScripted(t *testing.T, conns ...func(c *tls.Conn, g *gathered, r *bufio.Reader)) (base string, trust func(*spec.Provider)) {
	t.Helper()
	srv := httptest.NewTLSServer(nil) // for its certificate
	config, ca := &tls.Config{Certificates: srv.TLS.Certificates, NextProtos: []string{"http/1.1"}}, caFile(t, srv)
	srv.Close()
	serve := make([]func(net.Conn, *bufio.Reader), len(conns))
	for i, one := range conns {
		serve[i] = func(raw net.Conn, _ *bufio.Reader) {
			g := &gathered{Conn: raw}
			c := tls.Server(g, config)
			one(c, g, bufio.NewReader(c))
		}
	}
	base, _ = scripted(t, serve...)
	return "https" + base[len("http"):], func(p *spec.Provider) { p.HTTP.CAFile = ca }
}

// What came together with the last reply, in records of TLS behind it, is seen
// although the socket has nothing any more: no request is written to a connection
// whose end was said, and nothing is taken for the answer to a request that came
// before the request.
func TestKeptConnectionWithMoreBehindTheReplyIsNotUsed(t *testing.T) {
	const another = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"access_token\":\"b\"}"
	for name, behind := range map[string]struct {
		write func(*tls.Conn)
		but   int // bytes at the end that do not come
	}{
		"a reply that nobody asked for":       {func(c *tls.Conn) { _, _ = io.WriteString(c, another) }, 0},
		"the beginning of a record":           {func(c *tls.Conn) { _, _ = io.WriteString(c, another) }, 20},
		"the beginning of a record's header":  {func(c *tls.Conn) { _, _ = io.WriteString(c, "x") }, 20},
		"its end, with the socket still open": {func(c *tls.Conn) { _ = c.CloseWrite() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			more := make(chan error, 1)
			base, trust := tlsScripted(t,
				func(c *tls.Conn, g *gathered, r *bufio.Reader) {
					q, err := http.ReadRequest(r)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, q.Body)
					g.gather()
					_, _ = io.WriteString(c, shortReply)
					behind.write(c)
					g.send(behind.but)
					_, err = http.ReadRequest(r)
					more <- err
				},
				func(c *tls.Conn, _ *gathered, r *bufio.Reader) { _ = answer(c, r, shortReply) },
			)
			e := waysEndpoint(t, base, trust)
			mustSend(t, e, `{"access_token":"a"}`)
			mustSend(t, e, `{"access_token":"a"}`)
			if err := await(t, more, "the end of the first connection"); err == nil {
				t.Error("a request came on the connection that had more to say")
			}
		})
	}
}

// Over TLS, too, a connection is used again where nothing is wrong with it.
func TestKeptConnectionIsUsedAgain(t *testing.T) {
	base, trust := tlsScripted(t, func(c *tls.Conn, _ *gathered, r *bufio.Reader) {
		for range 3 {
			if err := answer(c, r, shortReply); err != nil {
				t.Errorf("a request did not come on the connection that was kept: %v", err)
				return
			}
		}
	})
	e := waysEndpoint(t, base, trust)
	for range 3 {
		mustSend(t, e, `{"access_token":"a"}`)
	}
}

// A connection that was switched to another protocol, or that speaks another
// one, is not HTTP/1.1 any more.
func TestKeptConnectionOfAnotherProtocolIsClosed(t *testing.T) {
	for name, reply := range map[string]string{
		"switched": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"other":    "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			more := make(chan error, 1)
			base, _ := scripted(t,
				func(c net.Conn, r *bufio.Reader) {
					_ = answer(c, r, reply)
					_, err := http.ReadRequest(r)
					more <- err
				},
				func(c net.Conn, r *bufio.Reader) { _ = answer(c, r, shortReply) },
			)
			e := waysEndpoint(t, base)
			_, _ = send(e, "post_json")
			mustSend(t, e, `{"access_token":"a"}`)
			if err := await(t, more, "the end of the first connection"); err == nil {
				t.Error("a request came on a connection that is not HTTP/1.1")
			}
		})
	}
}

// Of two first requests to a server that speaks HTTP/2, both find that out, each
// with a connection of its own. The second one is not needed, since the first one
// is shared, and is closed at once: nobody would watch it, and long after, when
// the first has gone, a request would be sent on it.
func TestSpareHTTP2ConnectionIsClosed(t *testing.T) {
	both, first := make(chan bool), make(chan bool)
	second, ends := make(chan string, 1), make(chan ended, 10)
	var hellos atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.ProtoMajor != 2 {
			t.Errorf("%s", q.Proto)
		}
		_, _ = io.WriteString(w, `{"access_token":"a"}`)
	}))
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hellos.Add(1) == 1 {
			<-both
		} else {
			second <- hello.Conn.RemoteAddr().String()
			close(both)
			<-first // its handshake takes longer than the first request
		}
		return nil, nil
	}}
	srv.Listener = endListener{srv.Listener, ends}
	srv.StartTLS()
	defer srv.Close()
	e := waysEndpoint(t, srv.URL, func(p *spec.Provider) { p.HTTP.CAFile = caFile(t, srv) })
	var wg sync.WaitGroup
	var once sync.Once
	for range 2 {
		wg.Go(func() {
			if _, err := send(e, "post_json"); err != nil {
				t.Error(err)
			}
			once.Do(func() { close(first) })
		})
	}
	wg.Wait()
	spare := await(t, second, "a second connection")
	end := await(t, ends, "the end of a connection")
	for end.addr != spare {
		end = await(t, ends, "the end of the connection that was not needed")
	}
	if errors.Is(end.err, os.ErrDeadlineExceeded) {
		t.Error("the server had to give up the connection that was not needed: it was left open")
	}
}

// ended is how the client left a connection that the server closes.
type ended struct {
	addr string
	err  error // os.ErrDeadlineExceeded: it did not
}

// endListener tells how its connections ended.
type endListener struct {
	net.Listener
	ends chan<- ended
}

func (l endListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &endConn{Conn: c, ends: l.ends}, nil
}

type endConn struct {
	net.Conn
	ends chan<- ended
	once sync.Once
}

func (c *endConn) Close() error {
	c.once.Do(func() {
		_ = c.SetReadDeadline(time.Now().Add(3 * time.Second)) // by then what the client did long ago is here
		_, err := io.Copy(io.Discard, c.Conn)
		c.ends <- ended{c.RemoteAddr().String(), err}
	})
	return c.Conn.Close()
}
