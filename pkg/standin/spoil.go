package standin

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
)

// spoil sends the reply that a fault wants, and says false when that is the right one after all. The status
// that the books have for the request was noted before.
func (a *Armed) spoil(c *call, out *reply, w http.ResponseWriter) bool {
	a.announce()
	switch a.f.Kind {
	case FaultStall:
		select {
		case <-c.r.Context().Done():
		case <-a.released:
		case <-c.server.closed:
		}
		abort()
	case FaultDelay:
		c.server.pause(a.f.Delay, a.released)
		return false
	case FaultLost, FaultClose:
		abort()
	case FaultCut:
		a.cut(c, out, w)
	case FaultHuge:
		a.head(w, 200, mediaJSON)
		stream(w, cmp.Or(a.f.Bytes, 100<<20))
		return true
	}
	if bad := a.substitute(c); bad != nil {
		bad.write(c, w)
		return true
	}
	return false
}

// substitute is the complete reply that a fault sends in place of the right one, or nil.
func (a *Armed) substitute(c *call) *reply {
	f := &a.f
	code, text := cmp.Or(f.Code, "invalid_grant"), cmp.Or(f.Body, "refused on command")
	switch f.Kind {
	case FaultRefuse:
		return c.refuse(cmp.Or(f.Status, 400), code, text)
	case FaultOKError:
		return c.refuse(200, code, text)
	case FaultThrottle:
		out := c.refuse(cmp.Or(f.Status, 429), "slow_down", "too many requests")
		if f.RetryAfter > 0 && f.RetryAfterDate {
			out.header = http.Header{"Retry-After": {c.now.Add(f.RetryAfter).UTC().Format(http.TimeFormat)}}
		} else if f.RetryAfter > 0 {
			out.header = retryAfter(f.RetryAfter)
		}
		return out
	case FaultStatus:
		out := c.refuse(cmp.Or(f.Status, 500), "server_error", "failed on command")
		if f.Body != "" {
			out.body, out.media = f.Body, "text/plain; charset=utf-8"
		}
		return out
	case FaultHTML:
		return page(cmp.Or(f.Status, 200), "Bad Gateway", "<p>The upstream server is having a rest.</p>")
	case FaultEmpty:
		return &reply{status: cmp.Or(f.Status, 200), media: mediaJSON}
	case FaultGarbage:
		return &reply{status: cmp.Or(f.Status, 200), media: mediaJSON, body: cmp.Or(f.Body, `{"access_token": "abc", "expires_`)}
	case FaultEcho:
		return c.refuse(cmp.Or(f.Status, 400), code, c.everyValue())
	case FaultRedirect:
		return &reply{status: cmp.Or(f.Status, 307), location: cmp.Or(f.Location, "/_standin/elsewhere")}
	}
	return nil
}

// everyValue repeats all that a request said, as the error pages of careless servers do.
func (c *call) everyValue() string {
	var b strings.Builder
	b.WriteString("refused:")
	for _, f := range c.in {
		b.WriteString(" " + f.key + "=" + f.value)
	}
	for _, name := range [...]string{"Authorization", "access-token"} {
		if v := c.r.Header.Get(name); v != "" {
			b.WriteString(" " + name + ": " + v)
		}
	}
	return b.String()
}

// cut sends half of the body under the length of the whole.
func (a *Armed) cut(c *call, out *reply, w http.ResponseWriter) {
	body, media := out.encode(c)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	a.head(w, out.status, media)
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush() // what cannot be flushed is lost, which is a cut too
	abort()
}

func (a *Armed) head(w http.ResponseWriter, status int, media string) {
	if media != "" {
		w.Header().Set("Content-Type", media)
	}
	for name, value := range a.f.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(cmp.Or(a.f.Status, status))
}

// faultStatus is the status that the books note for a request that a fault befell; 0 where none is sent.
func (a *Armed) faultStatus(c *call, out *reply) int {
	switch a.f.Kind {
	case FaultStall, FaultLost, FaultClose:
		return 0
	case FaultHuge:
		return cmp.Or(a.f.Status, 200)
	}
	if bad := a.substitute(c); bad != nil {
		return bad.status
	}
	return out.status
}

// ExpireAccess ends every living access token of an account (of all for ""), as a provider does that restarts
// without its memory: they are refused although their lifetime said otherwise. It returns how many there were.
func (s *Server) ExpireAccess(api API, account string) int {
	return s.end(api, account, func(t *token) bool { return t.kind == accessToken })
}

// RevokeAccount ends every living token of an account (of all for "") behind its holder's back. It returns how many there were.
func (s *Server) RevokeAccount(api API, account string) int {
	return s.end(api, account, func(*token) bool { return true })
}

func (s *Server) end(api API, account string, which func(*token) bool) int {
	l, now, n := s.services[api].l, s.now(), 0
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.order {
		if (account == "" || t.session.account.name == account) && which(t) && t.alive(now) {
			l.kill(t, now, deadRevoked)
			n++
		}
	}
	return n
}
