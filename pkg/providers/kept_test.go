package providers_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// await fails the test when something does not happen for long.
func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

// scripted serves connections one after the other, each by its own function,
// which may use what was read of requests so far.
func scripted(t *testing.T, conns ...func(c net.Conn, r *bufio.Reader)) (base string, ended <-chan int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan int, len(conns))
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		for i, serve := range conns {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				serve(c, bufio.NewReader(c))
				_ = c.Close()
				over <- i
			})
		}
	})
	return "http://" + ln.Addr().String(), over
}

// answer reads a request and writes a reply.
func answer(c net.Conn, r *bufio.Reader, reply string) error {
	q, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, q.Body)
	_, err = io.WriteString(c, reply)
	return err
}

const shortReply = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"access_token\":\"a\"}"

// untilEnd waits until the other side closes the connection.
func untilEnd(r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }

func mustSend(t *testing.T, e *providers.Endpoint, body string) *providers.Reply {
	t.Helper()
	rep, err := send(e, "post_json")
	if err != nil {
		t.Fatal(err)
	}
	if rep.Status != 200 || rep.Body.Reveal() != body {
		t.Fatalf("status %d, body %q", rep.Status, rep.Body.Reveal())
	}
	return rep
}

// Each way of saying where a reply ends leaves the connection ready for the next
// request, but for the one that ends with it.
func TestKeptConnectionReadsEveryFraming(t *testing.T) {
	short := `{"access_token":"a"}`
	base, ended := scripted(t,
		func(c net.Conn, r *bufio.Reader) {
			for _, reply := range []string{
				shortReply,
				"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n7\r\n{\"acces\r\nd\r\ns_token\":\"a\"}\r\n0\r\nX-End: 1\r\n\r\n",
				"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + shortReply,
				"HTTP/1.1 204 No Content\r\n\r\n",
				"HTTP/1.1 200 OK\r\n\r\n" + short, // until the connection ends
			} {
				if answer(c, r, reply) != nil {
					t.Error("a request did not come on the connection that was kept")
				}
			}
		},
		func(c net.Conn, r *bufio.Reader) {
			_ = answer(c, r, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n"+short)
			untilEnd(r)
		},
		func(c net.Conn, r *bufio.Reader) { _ = answer(c, r, shortReply) },
	)
	e := waysEndpoint(t, base)
	mustSend(t, e, short)
	mustSend(t, e, short)
	mustSend(t, e, short)
	if rep, err := send(e, "post_json"); err != nil || rep.Status != 204 {
		t.Fatal(rep, err)
	}
	mustSend(t, e, short)
	mustSend(t, e, short)
	mustSend(t, e, short)
	for range 3 {
		await(t, ended, "the end of a connection")
	}
}

// What happened to an idle connection is seen before the next request is written
// to it: it arrives, once, on another one.
func TestKeptConnectionThatEndedIsNotUsed(t *testing.T) {
	for name, then := range map[string]func(c net.Conn){
		"closed":      func(c net.Conn) { _ = c.Close() },
		"reset":       func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() },
		"unsolicited": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			did := make(chan bool, 1)
			more := make(chan error, 1)
			answered := make(chan bool)
			base, _ := scripted(t,
				func(c net.Conn, r *bufio.Reader) {
					_ = answer(c, r, shortReply)
					<-answered
					then(c)
					did <- true
					_, err := http.ReadRequest(r)
					more <- err
				},
				func(c net.Conn, r *bufio.Reader) { _ = answer(c, r, shortReply) },
			)
			e := waysEndpoint(t, base)
			mustSend(t, e, `{"access_token":"a"}`)
			close(answered)
			await(t, did, "the end")
			mustSend(t, e, `{"access_token":"a"}`)
			if err := await(t, more, "the end of the first connection"); err == nil {
				t.Error("a request came on the connection that had ended")
			}
		})
	}
}

func TestKeptConnectionBoundsTheHead(t *testing.T) {
	for name, reply := range map[string]string{
		"a head without end": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Much: "+strings.Repeat("x", 1000)+"\r\n", 200),
		"a line without end": "HTTP/1.1 200 OK\r\nX-Much: " + strings.Repeat("x", 200_000),
		"interim replies":    strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 7000),
	} {
		t.Run(name, func(t *testing.T) {
			base, ended := scripted(t, func(c net.Conn, r *bufio.Reader) {
				_ = answer(c, r, reply)
				untilEnd(r)
			})
			_, err := send(waysEndpoint(t, base), "post_json")
			if got := asError(t, err); got.Class != providers.ClassUnknown || !got.Reached {
				t.Errorf("%s: %v", got.Class, got)
			}
			await(t, ended, "the end of the connection")
		})
	}
}

// An API that is busy for long may say so every second before it answers: the answer
// may have spent a token, and is not thrown away for that.
func TestKeptConnectionReadsWhatFollowsInterimReplies(t *testing.T) {
	base, _ := scripted(t, func(c net.Conn, r *bufio.Reader) {
		_ = answer(c, r, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 300)+shortReply)
		_ = answer(c, r, shortReply)
	})
	e := waysEndpoint(t, base)
	mustSend(t, e, `{"access_token":"a"}`)
	mustSend(t, e, `{"access_token":"a"}`)
}

// A reply that only the end of its connection ends, and whose JSON ends too soon, was
// cut off: what became of the call is not known. With a length, or where it is no JSON
// at all, it is what the API said.
func TestReplyCutByTheEndOfItsConnection(t *testing.T) {
	const begun = `{"access_token":"a","refresh_tok`
	for name, c := range map[string]struct {
		reply string
		cut   bool
	}{
		"cut":          {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + begun, true},
		"cut, by 1.0":  {"HTTP/1.0 200 OK\r\n\r\n" + begun, true},
		"whole":        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + `{"access_token":"a"}`, false},
		"no JSON":      {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\naccess_token=a", false},
		"nothing":      {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", false},
		"of a length":  {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(begun), begun), false},
		"in one chunk": {fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(begun), begun), false},
	} {
		t.Run(name, func(t *testing.T) {
			base, _ := scripted(t, func(conn net.Conn, r *bufio.Reader) {
				_ = answer(conn, r, c.reply)
				_ = conn.Close()
			})
			rep, err := send(waysEndpoint(t, base), "post_json")
			if !c.cut {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatalf("read: %d", rep.Status)
			}
			if got := asError(t, err); got.Class != providers.ClassUnknown || !got.Reached || !strings.Contains(got.Error(), "before the reply was complete") {
				t.Errorf("%s: %v", got.Class, got)
			}
		})
	}
}

// A body that a server compressed though nobody asked it to is read; one that was cut
// off leaves open what became of the call, and one that is no gzip is handed on.
func TestCompressedReplyIsRead(t *testing.T) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, `{"access_token":"a"}`)
	_ = w.Close()
	var bomb bytes.Buffer
	w = gzip.NewWriter(&bomb)
	_, _ = w.Write(make([]byte, 40<<20))
	_ = w.Close()
	for name, c := range map[string]struct {
		body, want string
		cut, large bool
	}{
		"whole":    {body: packed.String(), want: `{"access_token":"a"}`},
		"cut":      {body: packed.String()[:packed.Len()-9], cut: true},
		"not gzip": {body: `{"access_token":"b"}`, want: `{"access_token":"b"}`},
		"a bomb":   {body: bomb.String(), large: true},
	} {
		t.Run(name, func(t *testing.T) {
			base, _ := scripted(t, func(conn net.Conn, r *bufio.Reader) {
				_ = answer(conn, r, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(c.body), c.body))
			})
			rep, err := send(waysEndpoint(t, base), "post_json")
			if c.cut {
				if got := asError(t, err); got.Class != providers.ClassUnknown || !got.Reached {
					t.Errorf("%s: %v", got.Class, got)
				}
				return
			}
			if err != nil || rep.TooLarge != c.large || !c.large && rep.Body.Reveal() != c.want || len(rep.Body.Reveal()) > providers.MaxReply {
				t.Errorf("too large %t, %d bytes: %v", rep.TooLarge, len(rep.Body.Reveal()), err)
			}
		})
	}
}

// An idle connection is closed before common servers close it, also where no
// request comes any more; and at once when the endpoint is closed.
func TestKeptConnectionIsClosedWhenIdle(t *testing.T) {
	t.Parallel()
	serve := func(c net.Conn, r *bufio.Reader) {
		_ = answer(c, r, shortReply)
		untilEnd(r)
	}
	base, ended := scripted(t, serve, serve)
	e := waysEndpoint(t, base)
	mustSend(t, e, `{"access_token":"a"}`)
	await(t, ended, "the end of an idle connection")
	mustSend(t, e, `{"access_token":"a"}`)
	e.Close()
	await(t, ended, "the end of a connection whose endpoint is closed")
}

// A reply that is not read to its end takes its connection with it.
func TestKeptConnectionOfALargeReplyIsClosed(t *testing.T) {
	large := strings.Repeat("x", providers.MaxReply+10)
	base, ended := scripted(t,
		func(c net.Conn, r *bufio.Reader) {
			_ = answer(c, r, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(large), large))
			untilEnd(r)
		},
		func(c net.Conn, r *bufio.Reader) { _ = answer(c, r, shortReply) },
	)
	e := waysEndpoint(t, base)
	rep, err := send(e, "post_json")
	if err != nil || !rep.TooLarge {
		t.Fatal(rep, err)
	}
	await(t, ended, "the end of the connection")
	mustSend(t, e, `{"access_token":"a"}`)
}

// A reply that stops half way is an unknown outcome after the endpoint's
// timeout, whoever waits.
func TestKeptConnectionTimesOut(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	base, ended := scripted(t, func(c net.Conn, r *bufio.Reader) {
		_ = answer(c, r, shortReply[:len(shortReply)-3])
		cancel() // the request is there, so who waits has no say any more
		untilEnd(r)
	})
	e := waysEndpoint(t, base, func(p *spec.Provider) { p.HTTP.Timeout = 2 * time.Second })
	_, err := sendWith(ctx, e, "post_json")
	if got := asError(t, err); got.Class != providers.ClassUnknown || !got.Reached || !strings.Contains(got.Error(), "no complete reply within 2s") {
		t.Errorf("%s: %v", got.Class, got)
	}
	await(t, ended, "the end of the connection")
}

// Whoever asks gets the reply to their own request, over TLS, however many do at
// the same time; and no more connections are made than requests are in flight.
func TestKeptConnectionsAreNotMixedUp(t *testing.T) {
	const callers, each = 16, 40
	var conns atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.ProtoMajor != 1 {
			t.Errorf("%s", q.Proto)
		}
		_, _ = io.Copy(w, q.Body)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	typ := typeOf(t, `provider_type "echo" {
  config "base_url" { type = string }
  grant "say" {
    input "say" { type = string }
    request {
      method = "POST"
      url    = "${config.base_url}/"
      json   = { say = input.say }
    }
  }
  response { access_token = body.say }
}
`)
	inputs := typ.Grants[0].Inputs
	e, err := providers.NewEndpoint(&spec.Provider{
		Addr: "provider.echo.default", Type: typ, Config: filled(t, typ.Config, map[string]any{"base_url": srv.URL}), HTTP: spec.HTTPSettings{CAFile: caFile(t, srv)},
	}, providers.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			for i := range each {
				say := fmt.Sprintf("%d of %d", i, n)
				req, err := e.Prepare(providers.Call{Op: providers.OpGrant, Grant: "say", Now: time.Now(), Inputs: filled(t, inputs, map[string]any{"say": say})})
				if err != nil {
					t.Error(err)
					return
				}
				rep, err := e.Send(context.Background(), req)
				if err != nil || rep.Body.Reveal() != fmt.Sprintf(`{"say":%q}`, say) {
					t.Errorf("%q: %v", say, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := conns.Load(); n > callers {
		t.Errorf("%d connections", n)
	}
}
