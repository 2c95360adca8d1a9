package providers_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// Frames of HTTP/2 (RFC 9113 section 6) and codes of errors (section 7).
const (
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameGoAway   = 7

	codeRefused = 7
)

// http2Refusing speaks just enough of HTTP/2 to answer every request with what
// refuse writes, and counts the requests that came.
func http2Refusing(t *testing.T, refuse func(w io.Writer, stream uint32)) (base string, trust func(*spec.Provider), requests *atomic.Int64) {
	t.Helper()
	srv := httptest.NewTLSServer(nil) // for its certificate
	config, ca := &tls.Config{Certificates: srv.TLS.Certificates, NextProtos: []string{"h2"}}, caFile(t, srv)
	srv.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	requests = &atomic.Int64{}
	go func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			go serveHTTP2(tls.Server(raw, config), requests, refuse)
		}
	}()
	return "https://" + ln.Addr().String(), func(p *spec.Provider) { p.HTTP.CAFile = ca }, requests
}

func serveHTTP2(c net.Conn, requests *atomic.Int64, refuse func(w io.Writer, stream uint32)) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	if _, err := io.CopyN(io.Discard, r, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	_, _ = c.Write(frame(frameSettings, 0, 0, nil))
	for {
		var head [9]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, r, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
			return
		}
		switch kind, flags := head[3], head[4]; {
		case kind == frameSettings && flags == 0:
			_, _ = c.Write(frame(frameSettings, 1, 0, nil))
		case kind == frameHeaders:
			requests.Add(1)
			refuse(c, binary.BigEndian.Uint32(head[5:]))
		}
	}
}

func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	b := append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, binary.BigEndian.AppendUint32(nil, stream)...)
	return append(b, payload...)
}

func resetWith(code uint32) func(io.Writer, uint32) {
	return func(w io.Writer, stream uint32) {
		_, _ = w.Write(frame(frameReset, 0, stream, binary.BigEndian.AppendUint32(nil, code)))
	}
}

// goAway says that streams above one are not processed, and why.
func goAway(w io.Writer, last, code uint32) {
	_, _ = w.Write(frame(frameGoAway, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code)))
}

// succeed answers with status 200 and nothing else.
func succeed(w io.Writer, stream uint32) {
	const endsStreamAndHeaders = 0x5
	_, _ = w.Write(frame(frameHeaders, endsStreamAndHeaders, stream, []byte{0x88}))
}

// http2Ways are grants whose requests have a body, none, and such a method that
// net/http takes them for idempotent.
var http2Ways = []string{"post_json", "post_nothing", "get", "delete"}

// A request is sent once over HTTP/2 too. What became of it is known only where the
// server says that it has not processed it (RFC 9113 section 8.7); a stream that
// broke some rule may be that of a request that was carried out.
func TestHTTP2SendsOnce(t *testing.T) {
	type refusal struct {
		refuse func(io.Writer, uint32)
		class  providers.Class
	}
	refusals := map[string]refusal{
		"a farewell":                  {func(w io.Writer, _ uint32) { goAway(w, 0, 0) }, providers.ClassTransient},
		"a farewell with an error":    {func(w io.Writer, _ uint32) { goAway(w, 0, 11) }, providers.ClassTransient},
		"a farewell after the stream": {func(w io.Writer, stream uint32) { goAway(w, stream, 0); _ = w.(io.Closer).Close() }, providers.ClassUnknown},
		"the end":                     {func(w io.Writer, _ uint32) { _ = w.(io.Closer).Close() }, providers.ClassUnknown},
	}
	for code := range uint32(14) {
		class := providers.ClassUnknown
		if code == codeRefused {
			class = providers.ClassTransient
		}
		refusals[fmt.Sprintf("reset with code %d", code)] = refusal{resetWith(code), class}
	}
	for name, c := range refusals {
		for _, grant := range http2Ways {
			t.Run(name+" "+grant, func(t *testing.T) {
				base, trust, requests := http2Refusing(t, c.refuse)
				e := waysEndpoint(t, base, trust)
				_, err := send(e, grant)
				if pe := asError(t, err); pe.Class != c.class || pe.Reached != (c.class == providers.ClassUnknown) {
					t.Errorf("%s, reached: %v: %v", pe.Class, pe.Reached, pe)
				}
				if n := requests.Load(); n != 1 {
					t.Errorf("%d requests came", n)
				}
			})
		}
	}
}

// A reply that had begun when its stream was refused is one to a request that was
// looked at.
func TestHTTP2RefusedAfterTheHead(t *testing.T) {
	base, trust, requests := http2Refusing(t, func(w io.Writer, stream uint32) {
		const endsHeaders = 0x4
		_, _ = w.Write(frame(frameHeaders, endsHeaders, stream, []byte{0x88}))
		resetWith(codeRefused)(w, stream)
	})
	for _, grant := range http2Ways {
		_, err := send(waysEndpoint(t, base, trust), grant)
		if pe := asError(t, err); pe.Class != providers.ClassUnknown || !pe.Reached {
			t.Errorf("%s: %s, reached: %v: %v", grant, pe.Class, pe.Reached, pe)
		}
	}
	if n := requests.Load(); n != int64(len(http2Ways)) {
		t.Errorf("%d requests came", n)
	}
}

// A request without a body has a connection of its own, so it never meets one that
// the server has said farewell on since.
func TestHTTP2ConnectionEnds(t *testing.T) {
	for _, grant := range []string{"post_nothing", "get", "delete"} {
		t.Run(grant, func(t *testing.T) {
			base, trust, requests := http2Refusing(t, func(w io.Writer, stream uint32) {
				if stream > 1 {
					goAway(w, stream-2, 0)
					return
				}
				succeed(w, stream)
				goAway(w, stream, 0)
			})
			e := waysEndpoint(t, base, trust)
			for i := range int64(6) {
				if r, err := send(e, grant); err != nil || r.Status != 200 || requests.Load() != i+1 {
					t.Fatalf("request %d: %v, %v; %d came", i+1, r, err, requests.Load())
				}
			}
		})
	}
}
