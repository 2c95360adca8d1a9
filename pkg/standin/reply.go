package standin

import (
	"io"
	"net/http"
	"strconv"
	"time"
)

// action is what a request did, for the books.
type action string

const (
	actNone       action = ""
	actGrant      action = "grant"
	actRefresh    action = "refresh"
	actReplay     action = "replay"
	actRevoke     action = "revoke"
	actDeactivate action = "deactivate"
	actAuthorize  action = "authorize"
	actProtected  action = "protected"
	actFault      action = "fault" // a fault kept it from being carried out
)

// reply is what a request is answered with, before a fault may spoil it.
type reply struct {
	status   int
	act      action
	code     string // an error code of RFC 6749 section 5.2; "" for a success
	text     string // its description
	login    bool   // a login or client was refused, which counts against its account
	pair     *pair
	body     string
	media    string
	location string
	header   http.Header
}

const mediaJSON = "application/json; charset=utf-8"

// refuse makes an error reply. It takes no lock.
func (c *call) refuse(status int, code, text string) *reply {
	return &reply{status: status, code: code, text: text}
}

// malformed refuses a request that the API's page does not allow.
func (c *call) malformed(text string) *reply {
	return c.refuse(http.StatusBadRequest, "invalid_request", text)
}

// refuseToken refuses a refresh token, code or password.
func (c *call) refuseToken(text string) *reply {
	status := http.StatusBadRequest
	if c.l.api == Apirone {
		status = c.rules.RefusedStatus
	}
	return c.refuse(status, "invalid_grant", text)
}

// refuseLogin is refuseToken for what counts against an account.
func (c *call) refuseLogin(text string) *reply {
	out := c.refuseToken(text)
	out.login = true
	return out
}

// refuseClient refuses a client's credentials.
func (c *call) refuseClient(text string) *reply {
	out := c.refuse(http.StatusUnauthorized, "invalid_client", text)
	out.login = true
	return out
}

// allowed is a success with a JSON body.
func allowed(act action, body string) *reply {
	return &reply{status: http.StatusOK, act: act, body: body, media: mediaJSON}
}

// write sends a reply.
func (out *reply) write(c *call, w http.ResponseWriter) {
	body, media := out.encode(c)
	h := w.Header()
	for name, values := range out.header {
		h[name] = values
	}
	if out.location != "" {
		h["Location"] = []string{out.location}
	}
	if c.fault != nil {
		for name, value := range c.fault.f.Header {
			h.Set(name, value)
		}
	}
	values := [...]string{media, strconv.Itoa(len(body)), "no-store", "no-cache"} // one allocation for all
	if media != "" {
		h["Content-Type"] = values[0:1:1]
	}
	if out.status != http.StatusNoContent {
		h["Content-Length"] = values[1:2:2]
	}
	if out.pair != nil { // RFC 6749 section 5.1
		h["Cache-Control"], h["Pragma"] = values[2:3:3], values[3:4:4]
	}
	w.WriteHeader(out.status)
	if len(body) > 0 {
		_, _ = w.Write(body) // a client that has gone away is its own affair
	}
}

// encode makes the body: a token pair or an error in the API's own form, or what the reply has.
func (out *reply) encode(c *call) ([]byte, string) {
	switch {
	case out.pair != nil:
		return c.encodePair(out.pair), mediaJSON
	case out.code != "" && out.body == "":
		return c.encodeError(out.code, out.text), mediaJSON
	}
	return []byte(out.body), out.media
}

// encodeError is an error response of RFC 6749 section 5.2; Apirone's page shows none, so its is a message.
func (c *call) encodeError(code, text string) []byte {
	b := make([]byte, 0, 128)
	if c.l.api == Apirone {
		b = append(b, `{"message":`...)
		return append(appendString(b, text), '}')
	}
	b = append(b, `{"error":`...)
	b = appendString(b, code)
	b = append(b, `,"error_description":`...)
	return append(appendString(b, text), '}')
}

// encodePair writes the token response of each API with the fields that its page names, and a lifetime where
// the rules ask for one.
func (c *call) encodePair(p *pair) []byte {
	b := make([]byte, 0, 640)
	access, refresh := "access_token", "refresh_token"
	b = append(b, '{')
	if c.l.api == Apirone {
		access, refresh = "access-token", "refresh-token"
		b = append(b, `"login":`...)
		b = append(appendString(b, p.session.account.name), ',')
	}
	switch c.faultKind() {
	case FaultMissingToken:
		b = append(b, `"hint":"none"`...) // so that the commas below stand right
	case FaultWrongTypes:
		b = append(appendString(b, access), `:{"value":12345}`...)
	default:
		b = append(appendString(b, access), ':')
		b = appendString(b, p.access.value)
	}
	if p.refresh != nil && c.faultKind() != FaultMissingToken {
		b = append(appendString(append(b, ','), refresh), ':')
		b = appendString(b, p.refresh.value)
	}
	switch c.l.api {
	case Coinify:
		b = append(b, `,"token_type":"bearer"`...)
	case CoinsPh:
		b = append(b, `,"token_type":"Bearer"`...)
	case OAuth2:
		b = append(b, `,"token_type":"Bearer"`...)
		if p.session.scopes != "" {
			b = appendString(append(b, `,"scope":`...), p.session.scopes)
		}
	}
	if c.l.api != Apirone {
		b = c.appendExpiry(b, p.access)
	}
	return append(b, '}')
}

func (c *call) appendExpiry(b []byte, t *token) []byte {
	if c.faultKind() == FaultWrongTypes {
		return append(b, `,"expires_in":{"seconds":60}`...)
	}
	if t.expires.IsZero() {
		return b
	}
	if raw := c.form().render(int64(t.expires.Sub(c.now) / time.Second)); raw != "" {
		b = append(append(b, `,"expires_in":`...), raw...)
	}
	return b
}

// retryAfter is the header in its form of seconds, rounded up.
func retryAfter(d time.Duration) http.Header {
	seconds := int64((d + time.Second - 1) / time.Second)
	return http.Header{"Retry-After": {strconv.FormatInt(seconds, 10)}}
}

// page makes an HTML reply.
func page(status int, title, content string) *reply {
	return &reply{
		status: status, media: "text/html; charset=utf-8",
		body: `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>` + title + `</title></head><body><h1>` + title + `</h1>` + content + `</body></html>`,
	}
}

// stream writes n bytes of a JSON string that never ends, until the client has had enough.
func stream(w io.Writer, n int64) {
	const head = `{"access_token":"`
	if _, err := io.WriteString(w, head); err != nil {
		return
	}
	chunk := make([]byte, 64<<10)
	for i := range chunk {
		chunk[i] = 'a'
	}
	for left := n - int64(len(head)); left > 0; left -= int64(len(chunk)) {
		if _, err := w.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
			return
		}
	}
}
