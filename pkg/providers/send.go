package providers

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"tokend/pkg/secret"
)

// MaxReply is how much of a reply's body is read. A token's reply has a few
// hundred bytes.
const MaxReply = 1 << 20

// Reply is a reply whose end has been seen, or of which MaxReply bytes have.
type Reply struct {
	Status   int
	Header   http.Header // Date among it
	Body     secret.Text
	TooLarge bool          // there was more than MaxReply; Body has the beginning
	At       time.Time     // when the head of the reply was there; of the request where the machine slept meanwhile
	Slept    time.Duration // how much earlier than the reply At is for that
	URL      string        // scheme, host and path that the request went to
	sent     []string      // sensitive texts of the request, derived ones too; not kept with a recorded reply
}

// keptOfLarge is how much is kept of a reply that is too large to be read: as much as helps
// a person to see what it was, and no more than a record has room for.
const keptOfLarge = 64 << 10

// Kept is what is worth keeping of a body that cannot be read. Of one that is too large
// that is its beginning, which is known by its length when it is read again.
func (r *Reply) Kept() secret.Text {
	if !r.TooLarge {
		return r.Body
	}
	text := r.Body.Reveal()
	return secret.New(strings.Clone(text[:min(len(text), keptOfLarge)]))
}

// cut says that only the beginning of a body is there, also of one that was kept.
func (r *Reply) cut() bool {
	if n := len(r.Body.Reveal()); r.TooLarge || n != keptOfLarge && n != MaxReply {
		return r.TooLarge
	}
	_, whole := scanJSON(r.Body.Reveal())
	return !whole
}

// sleptMargin is by how much more than the timeout a reply has to be late to have
// come from before a suspend.
const sleptMargin = 5 * time.Second

var (
	// errNotReady: there is a connection, and the request is not to be sent any more.
	errNotReady = errors.New("the connection came too late")
	// errNotTwice: net/http would have sent a request again.
	errNotTwice = errors.New("the server ended the request without an answer")
)

// States of a flight.
const (
	waits    = iota // for a connection
	flies           // has one
	givenUp         // before it had one
	notReady        // when it had one
	notTwice        // when net/http had another one for it
)

// flight follows one request on its way, to know whether a byte of it may have
// been written, and to let a reply come in that was already asked for.
type flight struct {
	state  atomic.Int32
	ready  func() bool // the call's; nil: always
	cancel func()      // ends what net/http does with the request
	conn   atomic.Pointer[countedConn]
	opaque atomic.Bool // the connection cannot be watched
	wrote  atomic.Bool // net/http has written the request's head, as far as it knows
	before int64
	http2  atomic.Pointer[tls.Conn]    // speaks HTTP/2, and is there for this request alone
	dialed atomic.Pointer[countedConn] // the last connection that was made for it
	within time.Duration               // how long its reply is waited for, or was when that was given up
}

// flightKey is what a request's context has its flight under.
type flightKey struct{}

// leave closes a connection that was brought along and not needed: net/http had
// one that it shares.
func (f *flight) leave() {
	if c := f.http2.Swap(nil); c != nil {
		_ = c.Close()
	}
}

func (f *flight) isReady() bool { return f.ready == nil || f.ready() }

// gotConn is told of each connection that net/http takes for the request. It takes
// another one where the first was no good, before it has written to it, and that is
// well; but over HTTP/2 it also sends a request without a body again that it has
// written, as often as the server resets its stream (go.dev/issue/47635), and does not
// say what the server said of the first one. Most such requests do not get there (see
// [needsOwn]); of the others the outcome is unknown.
func (f *flight) gotConn(info httptrace.GotConnInfo) {
	switch {
	case f.wrote.Load() && f.reached():
		f.refuse(info.Conn, notTwice)
		return
	case !f.isReady():
		f.refuse(info.Conn, notReady)
		return
	}
	f.state.CompareAndSwap(waits, flies)
	f.leave() // before long, else a second try of net/http might get it when it is old
	f.watch(countedUnder(info.Conn))
}

// watch counts what is written from here on; nil is a connection that cannot be
// watched.
func (f *flight) watch(c *countedConn) {
	if c == nil {
		f.opaque.Store(true)
		return
	}
	f.before = c.writes.Load()
	f.conn.Store(c)
}

// refuse keeps net/http from writing the request to the connection that it has for
// it. HTTP/2 looks at the context once more before it writes; HTTP/1.1 does not, but
// there the connection is this request's alone.
func (f *flight) refuse(c net.Conn, why int32) {
	f.state.Store(why)
	f.cancel()
	f.leave()
	if t, ok := c.(*tls.Conn); !ok || t.ConnectionState().NegotiatedProtocol != "h2" {
		_ = c.Close()
	}
}

// reached reports whether a byte may have been written. On a connection that
// several requests share (HTTP/2) another one's byte counts too.
func (f *flight) reached() bool {
	if f.opaque.Load() {
		return true
	}
	c := f.conn.Load()
	return c != nil && c.writes.Load() > f.before
}

// Send sends the request exactly once: no redirect is followed, and nothing is
// sent again by the transport. A cancelled ctx stops it only before it has a
// connection; after that the reply is read to its end, within the endpoint's
// timeout, because the server may already have acted. A verification and a revocation
// lose nothing by being made once more: of these ctx ends the waiting for the reply
// too, by its deadline or a cancellation. Nor is it sent where the
// call's Ready says no to that connection. The error is an *Error: unknown once a
// byte was written, unless the server says over HTTP/2 that it has not processed the
// request (REFUSED_STREAM, or a GOAWAY whose last stream is an earlier one), which is
// transient and as if it had not been reached.
func (e *Endpoint) Send(ctx context.Context, r *Request) (*Reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, e.sendError(r, nil, err)
	}
	f := &flight{ready: r.call.Ready, within: e.timeout}
	sent := e.options.Now()
	resp, err := e.roundTrip(ctx, r, f)
	if err != nil {
		return nil, e.sendError(r, f, err)
	}
	at, slept := e.options.Now(), time.Duration(0)
	if at.Round(0).Sub(sent.Round(0)) > e.timeout+sleptMargin {
		slept = at.Round(0).Sub(sent.Round(0))
		at = sent // the machine slept meanwhile: what was issued may be as old as the request
	}
	body, tooLarge, err := readBody(resp)
	if err == nil && !tooLarge {
		body, tooLarge, err = unpacked(body, resp.Header)
	}
	if err == nil && !tooLarge && endlessly(resp) && cutOff(body) {
		err = io.ErrUnexpectedEOF
	}
	reply := &Reply{Status: resp.StatusCode, Header: resp.Header, Body: secret.New(string(body)), TooLarge: tooLarge, At: at, Slept: slept, URL: r.address(), sent: r.hidden}
	if err != nil && reply.Status != http.StatusTooManyRequests && reply.Status != http.StatusServiceUnavailable {
		return nil, e.sendError(r, f, err)
	}
	return reply, nil
}

// roundTrip chooses a way for a request and returns when the head of its reply is
// there. Closing the body ends it.
func (e *Endpoint) roundTrip(ctx context.Context, r *Request, f *flight) (*http.Response, error) {
	t := e.transportFor(r)
	began, drops := time.Now(), r.call.drops() && ctx.Done() != nil
	if drops {
		t = e.unpooled // what is dropped takes its connection with it
	}
	deadline := began.Add(e.timeout)
	if d, ok := ctx.Deadline(); ok && drops && d.Before(deadline) {
		deadline, f.within = d, inWords(d.Sub(began))
	}
	if t == e.transport && e.kept.takes(r) {
		if resp, err := e.kept.roundTrip(ctx, r, f, deadline); !errors.Is(err, errHTTP2) {
			return resp, err
		}
		defer f.leave()
	}
	lasting := ctx
	if ctx.Done() != nil {
		lasting = context.WithoutCancel(ctx)
	}
	inner, cancel := context.WithDeadline(lasting, deadline)
	f.cancel = cancel
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() {
			if f.state.CompareAndSwap(waits, givenUp) || drops {
				cancel()
			}
		})
	}
	inner = httptrace.WithClientTrace(context.WithValue(inner, flightKey{}, f), &httptrace.ClientTrace{GotConn: f.gotConn, WroteHeaders: func() { f.wrote.Store(true) }})
	var resp *http.Response
	var err error
	if needsOwn(r) {
		resp, err = f.onItsOwn(inner, t, r)
	} else {
		resp, err = t.RoundTrip(r.plain().WithContext(inner))
	}
	if err != nil {
		stop()
		cancel()
		switch state := f.state.Load(); {
		case (state == givenUp || state == flies && drops) && ctx.Err() != nil:
			if err = ctx.Err(); drops && errors.Is(err, context.Canceled) {
				f.within = min(f.within, inWords(time.Since(began)))
			}
		case state == notReady:
			err = errNotReady
		case state == notTwice:
			err = errNotTwice
		case unprocessed(err):
			err = errUnprocessed
		}
		return nil, err
	}
	resp.Body = &endingBody{resp.Body, func() { stop(); cancel() }}
	return resp, nil
}

// inWords is a time as a message says it.
func inWords(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}

// endingBody ends what belongs to a reply when its body is closed.
type endingBody struct {
	io.ReadCloser
	end func()
}

func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// transportFor chooses the transport. The pooled one sends a request again that
// it takes for idempotent when it has no body, and finds out so late that the
// connection was dead; such a one gets a connection of its own.
func (e *Endpoint) transportFor(r *Request) *http.Transport {
	if !r.hasBody && r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch && r.Method != http.MethodDelete {
		return e.unpooled
	}
	if _, ok := r.header["Idempotency-Key"]; ok && !r.hasBody {
		return e.unpooled
	}
	if _, ok := r.header["X-Idempotency-Key"]; ok && !r.hasBody {
		return e.unpooled
	}
	return e.transport
}

// plain makes the request of net/http. It has no GetBody, so that nothing can
// rewind the body and send it again.
func (r *Request) plain() *http.Request {
	h := &http.Request{
		Method: r.Method, URL: r.url, Host: r.url.Host, Header: r.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if r.hasBody {
		h.Body, h.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
	}
	return h
}

// sendError classifies what went wrong on the way. Once a byte may have been
// written the outcome is unknown, unless the server said that it has not processed
// the request; before, nothing has happened.
func (e *Endpoint) sendError(r *Request, f *flight, err error) *Error {
	out := &Error{Op: r.call.Op, URL: r.address(), Reached: f != nil && f.reached() && !errors.Is(err, errUnprocessed)}
	within := e.timeout
	if f != nil && f.within < within {
		within = f.within
	}
	if out.Reached {
		out.Class = ClassUnknown
		out.Message, out.Err = afterWriting(err, within)
		out.Hint = HintUnknown
		return out
	}
	out.Class = ClassTransient
	out.Message, out.Hint, out.Err = beforeWriting(err, within, r)
	out.Hint = e.hintFor(&r.call, out.Hint)
	if toProxy, host := e.proxyRefused(err); toProxy {
		out.Message = fmt.Sprintf("reaching the proxy %s: %s", host, out.Message)
		out.Hint = "check proxy in http { … } on the provider, and that the proxy runs"
	}
	out.Message = clean(secret.Scrub(out.Message, append(r.secrets(), e.clientSecrets()...)...), 300)
	return out
}

// proxyRefused says whether it was the proxy, and not the server, that could not be
// reached, and which one that is.
func (e *Endpoint) proxyRefused(err error) (bool, string) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "proxyconnect" {
		return false, ""
	}
	u, err := url.Parse(e.provider.HTTP.Proxy)
	if err != nil {
		return false, ""
	}
	return true, u.Host
}

// afterWriting says why no whole reply came. The transport's own words are not
// used: they quote what the server sent.
func afterWriting(err error, timeout time.Duration) (string, error) {
	var netErr net.Error
	switch {
	case errors.Is(err, errNotTwice):
		return errNotTwice.Error(), errNotTwice
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout():
		return fmt.Sprintf("no complete reply within %v", timeout), context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return fmt.Sprintf("no complete reply within %v, when something else had to be done", timeout), context.Canceled
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return "the connection was closed before the reply was complete", io.ErrUnexpectedEOF
	case errors.Is(err, syscall.ECONNRESET):
		return "the connection was reset before the reply was complete", syscall.ECONNRESET
	case errors.Is(err, syscall.EPIPE):
		return "the connection was closed while the request was being written", syscall.EPIPE
	}
	return "the connection failed before a reply was complete, or what came is not HTTP", nil
}

// beforeWriting says why the request could not be sent.
func beforeWriting(err error, timeout time.Duration, r *Request) (message, hint string, cause error) {
	var dns *net.DNSError
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errUnprocessed):
		return errUnprocessed.Error(), "", errUnprocessed
	case errors.Is(err, errNotReady):
		return "the connection came too late, and nothing was sent", "", errNotReady
	case errors.Is(err, context.Canceled):
		return "it was stopped before anything was sent", "", context.Canceled
	case errors.As(err, &dns):
		return fmt.Sprintf("looking up %s: %s", dns.Name, dns.Err), "check the name in " + setBy + ", and this host's DNS", err
	case errors.As(err, &unknownCA):
		return "the server's certificate is signed by an unknown authority", "if that is right, name its CA with http { ca_file = … } on the provider", err
	case errors.As(err, &host):
		return "the server's certificate is not for " + r.url.Hostname(), "check the name in " + setBy, err
	case errors.As(err, &invalid):
		return "the server's certificate is not valid (expired, or this host's clock is wrong)", "have the server's certificate renewed, or set this host's clock", err
	case errors.As(err, &record):
		return "the server does not speak TLS at this address", "check the scheme and the port of " + setBy, err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no connection within %v", timeout), "", context.DeadlineExceeded
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused", "check that the server runs, and the port of " + setBy, err
	}
	return "connecting: " + err.Error(), "", err
}

// clientSecrets are what the client itself carries: a proxy's password.
func (e *Endpoint) clientSecrets() []secret.Text {
	u, err := parseProxy(e.provider.HTTP.Proxy)
	if err != nil || u == nil {
		return nil
	}
	if p, ok := u.Password(); ok {
		return []secret.Text{secret.New(p)}
	}
	return nil
}

// knownSecrets are all that a failed call's text must not show.
func (e *Endpoint) knownSecrets(c *Call) []secret.Text {
	return append(c.secrets(e.provider.Config), e.clientSecrets()...)
}
