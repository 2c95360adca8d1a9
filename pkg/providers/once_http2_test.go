package providers_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
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

	codeProtocol = 1
	codeRefused  = 7
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

// A request is sent once over HTTP/2 too. net/http sends one again that has no
// body, also where the server only says that the stream broke some rule, which
// it may say of a request that it has carried out.
func TestHTTP2SendsOnce(t *testing.T) {
	reset := func(code uint32) func(io.Writer, uint32) {
		return func(w io.Writer, stream uint32) {
			_, _ = w.Write(frame(frameReset, 0, stream, binary.BigEndian.AppendUint32(nil, code)))
		}
	}
	goAway := func(w io.Writer, _ uint32) { _, _ = w.Write(frame(frameGoAway, 0, 0, make([]byte, 8))) }
	for name, refuse := range map[string]func(io.Writer, uint32){"a protocol error": reset(codeProtocol), "a refusal": reset(codeRefused), "a farewell": goAway} {
		for _, grant := range []string{"post_json", "post_nothing", "get", "delete"} {
			t.Run(name+" "+grant, func(t *testing.T) {
				base, trust, requests := http2Refusing(t, refuse)
				e := waysEndpoint(t, base, trust)
				_, err := send(e, grant)
				if pe := asError(t, err); pe.Class != providers.ClassUnknown || !pe.Reached {
					t.Errorf("%s, reached: %v: %v", pe.Class, pe.Reached, pe)
				}
				if n := requests.Load(); n != 1 {
					t.Errorf("%d requests came", n)
				}
			})
		}
	}
}
