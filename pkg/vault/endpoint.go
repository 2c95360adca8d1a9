package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// maxAnswer bounds what is read of one answer. Vault takes no request above
// 32 MiB and stores no entry above 1 MiB unless told to.
const maxAnswer = 16 << 20

var errTooLarge = fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)

// dialFunc opens a connection, as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// endpoint is one server with its connections. It outlives the sessions made
// with it, and is replaced when a setting of the connection changes.
type endpoint struct {
	name     spec.Address
	settings Settings
	stamps   string // of the files that were read for it
	http     *http.Client
	flight   chan struct{} // a place for each request in flight, but for logins and what keeps a token alive
}

// inFlight bounds the requests to one Vault at once, and is how many of its connections
// are kept for the next ones. Where thousands of secrets are read into files, more make
// no server answer sooner; each takes a connection and a handshake.
const inFlight = 64

func newEndpoint(name spec.Address, s Settings, p *Pool) (*endpoint, error) {
	dial := p.dial
	stamps := s.stamps() // before they are read: a change in between is then seen
	conf, err := tlsConfig(s)
	if err != nil {
		return nil, &Error{Op: "reading the TLS settings", Vault: name, Address: s.Address, Class: ErrInvalid, Message: oneLine(err.Error())}
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	}
	base := &http.Transport{
		DialContext:         dial,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: 5 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: inFlight,
		// Shorter than the idle timeouts of Vault (5 min) and of usual load
		// balancers (60 s), so that a write seldom meets a connection that the
		// other side has just closed.
		IdleConnTimeout: 50 * time.Second,
	}
	return &endpoint{name: name, settings: s, stamps: stamps, flight: make(chan struct{}, inFlight), http: &http.Client{
		Transport:     &boundedTransport{base: base, address: strings.TrimRight(s.Address, "/"), home: serverOf(s.Address), allow: p.allowedFor(s)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// with is the same server with the same connections and other settings for
// logging in.
func (e *endpoint) with(s Settings) *endpoint {
	c := *e
	c.settings = s
	return &c
}

func (e *endpoint) timeout() time.Duration {
	if e.settings.Timeout > 0 {
		return e.settings.Timeout
	}
	return DefaultTimeout
}

// enter waits until the request may be sent, and leave makes its place free.
func (e *endpoint) enter(ctx context.Context, op string) error {
	select {
	case e.flight <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &Error{Op: op, Vault: e.name, Address: e.settings.Address, Class: ErrUnreachable, Message: "stopped while it waited for other requests to be answered", cause: ctx.Err()}
	}
}

func (e *endpoint) leave() { <-e.flight }

// tlsConfig reads the certificates. The client's own is read anew at each
// handshake, because it is renewed in place.
func tlsConfig(s Settings) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.TLSServerName}
	if s.CAFile != "" || s.CADir != "" {
		pool, err := certPool(s.CAFile, s.CADir)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = pool
	}
	if s.ClientCertFile != "" {
		if _, err := tls.LoadX509KeyPair(s.ClientCertFile, s.ClientKeyFile); err != nil {
			return nil, fmt.Errorf("reading client_cert_file and client_key_file: %w", err)
		}
		// The server's list of acceptable authorities is not heeded: Vault's cert
		// login takes certificates that the listener does not name.
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(s.ClientCertFile, s.ClientKeyFile)
			return &pair, err
		}
	}
	return conf, nil
}

func certPool(file, dir string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading ca_file: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading ca_file: %s holds no PEM certificate", file)
		}
	}
	if dir == "" {
		return pool, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading ca_dir: %w", err)
	}
	found := false
	for _, entry := range entries {
		// Not every file in such a directory is a certificate.
		if pem, err := os.ReadFile(filepath.Join(dir, entry.Name())); err == nil && pool.AppendCertsFromPEM(pem) {
			found = true
		}
	}
	if !found {
		return nil, fmt.Errorf("reading ca_dir: no file in %s holds a PEM certificate", dir)
	}
	return pool, nil
}

// client makes a client of Vault's library with nothing of the environment in
// it. An empty token makes one for logging in.
func (e *endpoint) client(token secret.Text) (*api.Client, error) {
	c, err := api.NewClient(&api.Config{Address: e.settings.Address, HttpClient: e.http, MaxRetries: 0})
	if err != nil {
		return nil, &Error{Op: "preparing a client", Vault: e.name, Address: e.settings.Address, Class: ErrInvalid, Message: oneLine(err.Error()),
			Hint: "tokend uses no VAULT_ variable, but Vault's library stops at one that it cannot read: unset it"}
	}
	c.SetHeaders(http.Header{api.RequestHeaderName: {"true"}, "User-Agent": {"tokend"}})
	if e.settings.Namespace != "" {
		c.SetNamespace(e.settings.Namespace)
	}
	c.SetToken(token.Reveal())
	c.SetWrappingLookupFunc(func(string, string) string { return "" })
	return c, nil
}

// once makes one request within the endpoint's timeout. f's error comes back
// as an *Error; hide is what its text must not show.
func (e *endpoint) once(ctx context.Context, op string, hide []secret.Text, f func(context.Context) (*api.Secret, error)) (*api.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout())
	defer cancel()
	var retryAfter time.Duration
	answer, err := f(context.WithValue(ctx, retryAfterKey{}, &retryAfter))
	if err == nil {
		return answer, nil
	}
	fault := faultOf(err, func(text string) string {
		return secret.Scrub(text, append(e.settings.secrets(), hide...)...)
	})
	if fault.class == ErrThrottled && retryAfter == 0 {
		retryAfter = time.Second
	}
	if errors.Is(fault.cause, context.DeadlineExceeded) && fault.message == "no answer in time" {
		fault.message = fmt.Sprintf("no answer within %s", e.timeout())
	}
	return nil, &Error{
		Op: op, Vault: e.name, Address: e.settings.Address, Class: fault.class, Status: fault.status,
		Message: fault.message, Hint: fault.hint, RetryAfter: retryAfter, Refused: fault.refused, cause: fault.cause,
	}
}

// retryAfterKey carries a *time.Duration in a request's context, where the
// transport leaves the answer's Retry-After: Vault's library drops headers of
// answers that it turns into errors.
type retryAfterKey struct{}

// boundedTransport bounds the bodies of answers and keeps their Retry-After. It is
// asked here whether a request may go where an answer sent it on to: Vault's library
// follows one redirect, to whatever host, with the token and the body.
type boundedTransport struct {
	base    *http.Transport
	address string // of the settings, which may have a path before Vault's own
	home    string // scheme://host:port of it
	allow   func(address string) error
	leader  leader
}

// serverOf is the scheme, host and port of an address, each in one form.
func serverOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(spec.LowerASCII(u.Hostname()), port)
}

func (t *boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if to := serverOf(r.URL.String()); to != t.home {
		if err := t.follows(r.Context(), to); err != nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, err
		}
	}
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if to, ok := r.Context().Value(retryAfterKey{}).(*time.Duration); ok {
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			*to = min(time.Duration(n)*time.Second, time.Hour)
		}
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

// CloseIdleConnections is what http.Client looks for.
func (t *boundedTransport) CloseIdleConnections() { t.base.CloseIdleConnections() }

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}
