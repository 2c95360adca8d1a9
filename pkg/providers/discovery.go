package providers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// metadataLifetime is how long an issuer's metadata are taken to be true.
const metadataLifetime = time.Hour

// metadataRetry is how long the last good ones do after they could not be read again.
const metadataRetry = time.Minute

// metadata of one issuer. A read that fails leaves the last good ones in force,
// and while one goes on they can be used.
type metadata struct {
	reading sync.Mutex // one read at a time
	current atomic.Pointer[document]
	failed  atomic.Pointer[time.Time] // when they could not be read again
}

// document is metadata as read once.
type document struct {
	doc jsonValue
	at  time.Time
}

// issuer evaluates the type's discovery; "" where there is none.
func (e *Endpoint) issuer(f *frame) string {
	if e.discovery == nil {
		return ""
	}
	v, err := e.discovery(f)
	if err != nil || v.isNull() {
		return ""
	}
	s, _ := v.str()
	return s
}

// known returns the metadata for a frame whose request may name them; null
// where no issuer is given.
func (e *Endpoint) known(f *frame) (jsonValue, error) {
	issuer := e.issuer(f)
	if issuer == "" {
		return "", nil
	}
	if m, ok := e.issuers.Load(issuer); ok {
		if d := m.(*metadata).current.Load(); d != nil {
			return d.doc, nil
		}
	}
	return "", &Error{Op: f.call.Op, Class: ClassTransient, Message: "the issuer's metadata have not been read yet"}
}

// Discover reads the metadata of the issuer that the inputs name (RFC 8414,
// OpenID Connect Discovery), where a grant's requests need them and they were
// not read within the last hour. It must have succeeded before [Endpoint.Prepare]
// and [Endpoint.Origins] of such a grant ([Traits].Discovers); for others it
// does nothing. It only reads, so it needs no intent and may be repeated. The
// error is an *Error, and there is none as long as older metadata are there.
func (e *Endpoint) Discover(ctx context.Context, grant string, in spec.Values, origins []string) error {
	c := Call{Op: OpGrant, Grant: grant, Inputs: in, Origins: origins}
	g, err := e.grant(&c)
	if err != nil {
		return err
	}
	issuer, m := e.unread(g, &c)
	if m == nil {
		return nil
	}
	m.reading.Lock()
	defer m.reading.Unlock()
	now := e.options.Now()
	if m.fresh(now) {
		return nil
	}
	doc, err := e.fetchMetadata(ctx, &c, issuer)
	if err != nil {
		if m.current.Load() != nil {
			m.failed.Store(&now)
			e.options.Logger.Debug("metadata of the issuer could not be read again", "issuer", issuer, "error", err)
			return nil
		}
		return err
	}
	m.current.Store(&document{doc, now})
	return nil
}

// Undiscovered is the issuer that [Endpoint.Discover] would ask: a request that belongs
// to those of its provider. It is "" where nobody would be asked.
func (e *Endpoint) Undiscovered(grant string, in spec.Values) (issuer string) {
	c := Call{Op: OpGrant, Grant: grant, Inputs: in}
	g, err := e.grant(&c)
	if err != nil {
		return ""
	}
	issuer, _ = e.unread(g, &c)
	return issuer
}

// unread are the metadata that a grant needs and that are to be read, again; nil where
// there are none.
func (e *Endpoint) unread(g *grantProgram, c *Call) (issuer string, m *metadata) {
	issuer = e.issuer(&frame{call: c, config: e.provider.Config, functions: e.functions})
	if !g.traits.Discovers || issuer == "" {
		return "", nil
	}
	slot, _ := e.issuers.LoadOrStore(issuer, &metadata{})
	if m = slot.(*metadata); m.fresh(e.options.Now()) {
		return "", nil
	}
	return issuer, m
}

func (m *metadata) fresh(now time.Time) bool {
	d, failed := m.current.Load(), m.failed.Load()
	if d == nil {
		return false
	}
	within := func(at time.Time, lasts time.Duration) bool { return now.Sub(at) < lasts && !now.Before(at) }
	return within(d.at, metadataLifetime) || failed != nil && within(*failed, metadataRetry)
}

// fetchMetadata tries the two places in turn: OpenID Connect's, then RFC 8414's.
func (e *Endpoint) fetchMetadata(ctx context.Context, c *Call, issuer string) (jsonValue, error) {
	u, err := e.parseURL(issuer)
	if err != nil {
		return "", &Error{Op: c.Op, Class: ClassConfig, Message: "the issuer: " + err.Error(), Hint: "set issuer to the URL of the authorization server"}
	}
	var last error
	for _, place := range metadataURLs(u) {
		doc, err := e.readMetadata(ctx, c, place, issuer)
		if err == nil {
			return doc, nil
		}
		last = err
		var known *Error
		if !errors.As(err, &known) || known.Status < 400 || known.Status >= 500 || known.Status == http.StatusTooManyRequests {
			return "", err
		}
	}
	return "", last
}

// metadataURLs are where an issuer's metadata may be.
func metadataURLs(issuer *url.URL) []*url.URL {
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	at := func(p string) *url.URL {
		u := *issuer
		u.RawQuery, u.RawPath = "", ""
		if dec, err := url.PathUnescape(p); err == nil {
			u.Path, u.RawPath = dec, p
		}
		return &u
	}
	return []*url.URL{at(path + "/.well-known/openid-configuration"), at("/.well-known/oauth-authorization-server" + path)}
}

func (e *Endpoint) readMetadata(ctx context.Context, c *Call, u *url.URL, issuer string) (jsonValue, error) {
	r := &Request{Method: http.MethodGet, Origin: originOf(u), url: u, call: *c,
		header: http.Header{"Accept": acceptJSON, "User-Agent": {e.options.UserAgent}}}
	if err := e.checkOrigin(r); err != nil {
		return "", err
	}
	fail := func(class Class, status int, format string, args ...any) error {
		return &Error{Op: c.Op, Class: class, Status: status, URL: r.address(), Message: "reading the issuer's metadata: " + fmt.Sprintf(format, args...),
			Hint: "check issuer, or give the endpoints by hand"}
	}
	reply, err := e.Send(ctx, r)
	if err != nil {
		var sent *Error
		if errors.As(err, &sent) {
			// A read changes nothing, whatever became of it.
			sent.Class, sent.Reached, sent.Message = ClassTransient, false, "reading the issuer's metadata: "+sent.Message
			sent.Hint = ""
		}
		return "", err
	}
	switch s := reply.Status; {
	case s == http.StatusTooManyRequests || s >= 500:
		known := fail(ClassTransient, s, "%s", strings.ToLower(http.StatusText(s))).(*Error)
		known.RetryAfter = retryAfter(reply)
		return "", known
	case s != http.StatusOK:
		return "", fail(ClassPermanent, s, "%s", strings.ToLower(http.StatusText(s)))
	}
	doc, ok := scanJSON(reply.Body.Reveal())
	if !ok || !doc.isObject() || reply.TooLarge {
		return "", fail(ClassPermanent, reply.Status, "the reply is not a JSON object")
	}
	if got := doc.member("issuer").text(); strings.TrimSuffix(got, "/") != strings.TrimSuffix(issuer, "/") {
		return "", fail(ClassPermanent, reply.Status, "they are those of another issuer, %q", clean(secret.Scrub(got), 100))
	}
	return doc, nil
}
