package providers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"
)

const (
	defaultTimeout = 30 * time.Second
	dialTimeout    = 10 * time.Second
	// idleTimeout is shorter than that of common servers (Apache and Node: five
	// seconds), so that a request seldom meets a connection that the server is
	// just closing.
	idleTimeout = 4 * time.Second
	maxIdle     = 512
)

// countedConn counts the writes that took place, which is how we know whether a
// byte of a request may have reached the server.
type countedConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	// Counted before, because the reply may be here before Write returns; taken
	// back when it turns out that not a byte went.
	c.writes.Add(1)
	n, err := c.Conn.Write(b)
	if n == 0 {
		c.writes.Add(-1)
	}
	return n, err
}

// countedUnder finds the counted connection below TLS; nil when there is none.
func countedUnder(c net.Conn) *countedConn {
	for c != nil {
		if counted, ok := c.(*countedConn); ok {
			return counted
		}
		under, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = under.NetConn()
	}
	return nil
}

// newTransports makes the endpoint's HTTP client. Besides the pooled transport
// there is one that never reuses a connection, for the few requests that
// net/http would send again by itself when a reused connection turns out dead.
func (e *Endpoint) newTransports() error {
	dial := e.options.DialContext
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	tlsConfig, err := tlsOf(e.provider.HTTP.CAFile, e.provider.HTTP.ClientCertFile, e.provider.HTTP.ClientKeyFile)
	if err != nil {
		return err
	}
	counted := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		watched := &countedConn{Conn: c}
		if f, ok := ctx.Value(flightKey{}).(*flight); ok {
			f.dialed.Store(watched)
		}
		return watched, nil
	}
	t := &http.Transport{
		DialContext:            counted,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    dialTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 64 << 10,
	}
	if p := e.provider.HTTP.Proxy; p != "" {
		u, err := url.Parse(p)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h" {
			return errors.New("proxy must be a URL such as http://proxy.example:3128")
		}
		t.Proxy = proxyBeyond(u)
	} else if e.options.DialContext == nil {
		e.kept = newKeptConns(counted, tlsConfig)
		t.DialTLSContext = e.kept.dialTLS
	}
	e.transport = t
	e.unpooled = t.Clone()
	e.unpooled.DisableKeepAlives = true
	return nil
}

// proxyBeyond sends what leaves this machine through a proxy. An address of this machine is
// asked directly: plain http is allowed there since it goes nowhere else, and what the
// proxy takes for localhost is another machine.
func proxyBeyond(proxy *url.URL) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		if loopback(r.URL.Hostname()) {
			return nil, nil
		}
		return proxy, nil
	}
}

// FileError says why a file without which nothing can be asked of a provider cannot be
// used as it is. Trying again helps once somebody has put it right.
type FileError struct{ err error }

func (e *FileError) Error() string { return e.err.Error() }
func (e *FileError) Unwrap() error { return e.err }

func tlsOf(caFile, certFile, keyFile string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, &FileError{fmt.Errorf("reading ca_file: %w", err)}
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &FileError{fmt.Errorf("reading ca_file %s: it has no certificate in PEM", caFile)}
		}
	}
	if (certFile == "") != (keyFile == "") {
		return nil, errors.New("client_cert_file and client_key_file must be given together")
	}
	if certFile != "" {
		if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
			return nil, &FileError{fmt.Errorf("reading client_cert_file and client_key_file: %w", err)}
		}
		// Read at each handshake: certificates of clients are short-lived too.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &cert, err
		}
	}
	return c, nil
}

// parseProxy returns who logs in to a proxy; nil when nobody does.
func parseProxy(proxy string) (*url.Userinfo, error) {
	if proxy == "" {
		return nil, nil
	}
	u, err := url.Parse(proxy)
	if err != nil {
		return nil, err
	}
	return u.User, nil
}
