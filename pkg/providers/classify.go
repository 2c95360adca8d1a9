package providers

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// errorProgram is a type's own judgement of replies.
type errorProgram struct{ gone, permanent, transient, login, code, message node }

func (c *compiler) errors(r *spec.Errors) *errorProgram {
	if r == nil {
		return &errorProgram{}
	}
	return &errorProgram{
		gone: c.expr(r.Gone), permanent: c.expr(r.Permanent), transient: c.expr(r.Transient), login: c.expr(r.Login), code: c.expr(r.Code), message: c.expr(r.Message),
	}
}

// judge says what a reply means as a whole: nil when it is to be read, else an
// *Error. A type's own conditions go first, then the status, then what the body
// says. But what a type says of refusals makes none of a revocation's reply that names
// a token as unknown by the standard codes.
func (e *Endpoint) judge(f *frame, r *Reply, token field) error {
	out := &Error{Op: f.call.Op, Status: r.Status, URL: r.URL, Reached: true}
	class, own := e.ownClass(f)
	if code, gone := namesUnknownToken(f, r); gone && (!own || class == ClassPermanent) {
		out.Class, out.Code = ClassGone, code
	} else if own {
		out.Class, out.Own = class, true
	} else if !e.statusClass(f, r, out) {
		return nil
	} else if r.Status < 300 && brings(f, token) {
		// A token that a refresh was spent for is not thrown away.
		return e.unreadable(f, r, "the reply", textError("it has an error and a token"))
	}
	if out.Class == ClassTransient || out.Class == ClassThrottled {
		out.RetryAfter = retryAfter(r)
	}
	e.explain(f, r, out)
	return out
}

// ownClass asks the type's error block. A condition that cannot be evaluated
// over this reply does not hold.
func (e *Endpoint) ownClass(f *frame) (Class, bool) {
	gone := e.errors.gone
	if f.call.Op != OpRevoke {
		gone = nil
	}
	for _, rule := range []struct {
		n     node
		class Class
	}{{gone, ClassGone}, {e.errors.login, ClassLogin}, {e.errors.permanent, ClassPermanent}, {e.errors.transient, ClassTransient}} {
		if rule.n == nil {
			continue
		}
		if v, err := rule.n(f); err == nil {
			if b, err := v.bool(); err == nil && b {
				return rule.class, true
			}
		}
	}
	return "", false
}

// namesUnknownToken says that a revocation's reply says, by its status or by a code that
// is standard or usual, that the token is not known any more. Errors that pass tell
// nothing of it.
func namesUnknownToken(f *frame, r *Reply) (code string, gone bool) {
	switch s := r.Status; {
	case f.call.Op != OpRevoke, s >= 300 && s < 400, s >= 500,
		s == http.StatusTooManyRequests, s == http.StatusRequestTimeout, s == http.StatusMisdirectedRequest, s == http.StatusTooEarly:
		return "", false
	case s == http.StatusGone:
		return "", true
	}
	switch code, _ := bodyError(f.body); code {
	case "invalid_grant", "invalid_token", "token_not_found", "unknown_token":
		return code, true
	}
	return "", false
}

// statusClass judges by status and by the error's code (RFC 6749 section 5.2);
// false means that the reply is a success.
func (e *Endpoint) statusClass(f *frame, r *Reply, out *Error) bool {
	op := f.call.Op
	walled, passing := e.walled(f, r)
	switch s := r.Status; {
	case s < 200: // no final status (RFC 9110 section 15.2): an API that switches protocols says nothing of the call
		out.Class, out.Hint = ClassUnknown, e.hintFor(f.call, elsewhereHint)
	case s >= 200 && s < 300 && op == OpVerify:
		return false // what a protected path answers is the API's business
	case s >= 200 && s < 300 && (op == OpRevoke || op == OpAction) && webPage(r):
		out.Class, out.Walled, out.Hint = ClassUnknown, true, e.hintFor(f.call, elsewhereHint) // whoever says so, it may not be done
	case s >= 200 && s < 300:
		code, failed := bodyError(f.body)
		if !failed {
			return false
		}
		out.Code, out.Class = code, classOfCode(code)
		return true
	case s == http.StatusTooManyRequests || s == http.StatusServiceUnavailable:
		out.Class = ClassThrottled
	case s == http.StatusRequestTimeout || s == http.StatusMisdirectedRequest || s == http.StatusTooEarly:
		out.Class = ClassTransient // RFC 9110 sections 15.5.9 and 15.5.20, RFC 8470 section 5.2: it was not processed
	case s >= 500:
		out.Class = ClassUnknown
		out.Hint = HintUnknown
	case s < 400:
		out.Class = ClassPermanent
		out.Message = "the server redirects, and a redirect of a token call is not followed"
		out.Hint = e.hintFor(f.call, "check "+setBy)
		if u, err := parseRequestURL(r.Header.Get("Location")); err == nil {
			out.Message += "; it points to " + originOf(u)
		}
	case s == http.StatusForbidden && op == OpVerify:
		return false // the token was recognized; it only lacks the right to this path
	case passing:
		out.Class, out.Walled, out.Hint = ClassTransient, true, e.hintFor(f.call, elsewhereHint)
	default:
		out.Walled, out.Page = walled, webPage(r)
		code, _ := bodyError(f.body)
		out.Code, out.Class = code, classOfCode(code)
		if s == http.StatusNotFound || s == http.StatusMethodNotAllowed {
			out.Hint = e.hintFor(f.call, "check "+setBy+", and the path of the request")
		}
	}
	return true
}

// brings says that a reply has a token, whatever else is in it.
func brings(f *frame, token field) bool {
	if f.call.Op != OpGrant && f.call.Op != OpExchange && f.call.Op != OpRefresh {
		return false
	}
	v, err := token.eval(f)
	return err == nil && v.kind == kindString && v.text != ""
}

// bodyError finds an `error` member that says something, and its code.
func bodyError(body jsonValue) (code string, failed bool) {
	m := body.member("error")
	switch {
	case m.isNull(), m == "false", m == "0", m == `""`, m.isEmpty():
		return "", false
	case m.isObject():
		if m.member("code") == "0" {
			return "", false
		}
		for _, name := range []string{"code", "type", "status"} {
			if c := m.member(name); c.isString() || c.isNumber() {
				return codeText(c.text()), true
			}
		}
		return "", true
	case m.isString():
		return codeText(m.text()), true
	}
	return "", true
}

// codeText is s when it looks like a code and not like a sentence or a secret.
func codeText(s string) string {
	if len(s) == 0 || len(s) > 48 {
		return ""
	}
	for _, c := range s {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.') {
			return ""
		}
	}
	return s
}

// classOfCode is what an OAuth 2.0 error code means. An error without a known
// code is a refusal.
func classOfCode(code string) Class {
	switch code {
	case "temporarily_unavailable", "authorization_pending":
		return ClassTransient
	case "slow_down":
		return ClassThrottled
	case "server_error":
		return ClassUnknown
	case "login_required", "interaction_required", "consent_required", "account_selection_required":
		return ClassLogin
	}
	return ClassPermanent
}

const maxRetryAfter = 24 * time.Hour

// retryAfter reads both forms of the header, from now on; at most a day. Seconds may
// have a fraction, which RFC 9110 section 10.2.3 does not know.
func retryAfter(r *Reply) time.Duration {
	h := strings.TrimSpace(r.Header.Get("Retry-After"))
	var d time.Duration
	if secs, err := strconv.ParseFloat(h, 64); (err == nil || errors.Is(err, strconv.ErrRange)) && !math.IsNaN(secs) {
		if !(secs < maxRetryAfter.Seconds()) {
			return maxRetryAfter
		}
		d = time.Duration(math.Ceil(secs)) * time.Second
	} else if at, err := http.ParseTime(h); err == nil {
		from := r.At
		if date, err := http.ParseTime(r.Header.Get("Date")); err == nil {
			from = date // both by the server's clock
		}
		d = at.Sub(from)
	}
	return min(max(d, 0), maxRetryAfter)
}

// explain fills in code, message and hint.
func (e *Endpoint) explain(f *frame, r *Reply, out *Error) {
	hide := e.replySecrets(f, r)
	if n := e.errors.code; n != nil {
		if v, err := n(f); err == nil && v.kind <= kindBool {
			if c := codeText(v.text); c != "" {
				out.Code = c
			}
		}
	} else if out.Code == "" {
		out.Code, _ = bodyError(f.body)
	}
	if out.Code != "" && secret.Scrub(out.Code, hide...) != out.Code {
		out.Code = ""
	}
	said := ""
	if n := e.errors.message; n != nil {
		if v, err := n(f); err == nil && v.kind == kindString {
			said = v.text
		}
	}
	if said == "" {
		said = bodyMessage(f.body)
	}
	said = clean(scrubbed(said, hide), 200)
	switch {
	case out.Message != "" && said != "":
		out.Message += ": " + said
	case said != "":
		out.Message = said
	case out.Message == "" && out.Code == "":
		out.Message = describeBody(r)
	}
	if out.Hint == "" {
		out.Hint = hintFor(out)
	}
}

// bodyMessage is what a reply says in words, where replies say it.
func bodyMessage(body jsonValue) string {
	for _, name := range []string{"error_description", "message", "error_message", "detail", "title"} {
		if m := body.member(name); m.isString() {
			return m.text()
		}
	}
	switch m := body.member("error"); {
	case m.isString() && codeText(m.text()) == "":
		return m.text()
	case m.isObject():
		for _, name := range []string{"message", "description", "detail"} {
			if s := m.member(name); s.isString() {
				return s.text()
			}
		}
	}
	return ""
}

// describeBody says what a body is that says nothing itself.
func describeBody(r *Reply) string {
	text := strings.TrimSpace(r.Body.Reveal())
	switch {
	case r.cut():
		return fmt.Sprintf("the reply is larger than %d MiB, and only its beginning was kept: no provider type can read it", MaxReply>>20)
	case text == "":
		return "the reply is empty"
	case isHTML(r, text):
		return "the reply is a web page (HTML)"
	}
	return strings.ToLower(http.StatusText(r.Status))
}

func hintFor(e *Error) string {
	switch e.Code {
	case "invalid_client", "unauthorized_client":
		return "check client_id and client_secret, and how the client has to authenticate"
	case "invalid_scope":
		return "check scopes"
	case "unsupported_grant_type":
		return "the provider does not offer this grant: choose another one"
	case "invalid_grant":
		if e.Op == OpGrant {
			return "check the inputs that the provider did not accept"
		}
	}
	if e.Class == ClassPermanent && e.Op == OpGrant {
		return "mend the inputs"
	}
	return ""
}

// replySecrets are all that a message of the provider must not show: what we
// sent, and what the reply itself holds besides.
func (e *Endpoint) replySecrets(f *frame, r *Reply) []secret.Text {
	hide := e.knownSecrets(f.call)
	for _, s := range r.sent {
		hide = append(hide, secret.New(s))
	}
	if r.sent == nil {
		// A reply that was recorded: values derived from secrets (a Basic header)
		// are known to the request alone, so it is made again for their sake.
		if again, err := e.Prepare(*f.call); err == nil {
			hide = append(hide, again.secrets()...)
		}
	}
	collectSecrets(f.body, "", 0, &hide)
	return hide
}

var secretName = regexp.MustCompile(`(?i)token|secret|passw|key|assertion|jwt|auth|credential|session|^code$`)

var words = regexp.MustCompile(`^[A-Za-z]+(?:[ _.-][A-Za-z]+)*$`)

// collectSecrets finds the strings of a reply that look by their names as if
// they were secret.
func collectSecrets(v jsonValue, name string, depth int, out *[]secret.Text) {
	if depth > 8 || len(*out) > 200 {
		return
	}
	switch {
	case v.isString():
		// A code of words ("used", "INVALID_STATE") names an error; the code of a login
		// is no word.
		if secretName.MatchString(name) && !(strings.EqualFold(name, "code") && words.MatchString(v.text())) {
			*out = append(*out, secret.New(v.text()))
		}
	case v.isObject():
		v.each(func(key string, m jsonValue) bool {
			if name != "error" || key != "code" { // an error's code is there to be read
				collectSecrets(m, key, depth+1, out)
			}
			return true
		})
	case v != "" && v[0] == '[':
		for i := 0; i < 50; i++ {
			el := v.element(i)
			if el == "" {
				return
			}
			collectSecrets(el, name, depth+1, out)
		}
	}
}

// opaque is a run of characters that no sentence has: a token that nobody told
// us about.
var opaque = regexp.MustCompile(`[A-Za-z0-9_\-+/=.~]{40,}`)

// clean makes foreign text fit for one line: no control characters, no markup
// of terminals, no long opaque run, at most limit characters.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	s = opaque.ReplaceAllString(s, secret.Redacted)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit]) + "…"
	}
	return s
}

// unreadable says which part of a reply cannot be read, and why.
func (e *Endpoint) unreadable(f *frame, r *Reply, part string, err error) *Error {
	hint := fmt.Sprintf("compare the reply with the response block of provider type %s, and mend that", e.typ.Name)
	if strings.Contains(err.Error(), DeadOnArrival) {
		hint = fmt.Sprintf("either the API answers wrongly, or the response block of provider type %s reads the lifetime wrongly", e.typ.Name)
	}
	out := &Error{Op: f.call.Op, Class: ClassUnreadable, Reached: r != nil,
		Message: fmt.Sprintf("reading %s: %s", part, clean(secret.Scrub(err.Error(), e.knownSecrets(f.call)...), 300)),
		Hint:    hint}
	if r != nil {
		out.Status, out.URL = r.Status, r.URL
	}
	return out
}

// notJSON is a success whose body cannot be read at all.
func (e *Endpoint) notJSON(f *frame, r *Reply) *Error {
	out := e.unreadable(f, r, "the reply", textError(describeSuccess(r)))
	if isHTML(r, strings.TrimSpace(r.Body.Reveal())) || strings.TrimSpace(r.Body.Reveal()) == "" {
		out.Hint = e.hintFor(f.call, elsewhereHint)
	}
	return out
}

func describeSuccess(r *Reply) string {
	if d := describeBody(r); d != strings.ToLower(http.StatusText(r.Status)) {
		return d
	}
	return "it is not JSON, or was cut off"
}

// noToken is a success without a token in it.
func (e *Endpoint) noToken(f *frame, r *Reply, p *responseProgram) *Error {
	msg := "there is none"
	if r == nil {
		msg = "the redirect has none"
	} else if names := memberNames(f.body); len(names) > 0 {
		msg += "; the reply has " + strings.Join(names, ", ")
	}
	return e.unreadable(f, r, p.accessToken.String(), textError(msg))
}

// memberNames lists the names of a reply's members, which help to find a
// misspelt one. What does not look like a name is not shown.
func memberNames(body jsonValue) []string {
	var out []string
	body.each(func(key string, _ jsonValue) bool {
		if len(key) <= 24 && codeText(key) != "" {
			out = append(out, key)
		}
		return len(out) < 10
	})
	return out
}

// textError is an error that is its text.
type textError string

func (t textError) Error() string { return string(t) }

// mostScrubbed is how much of what somebody else wrote is looked through for secrets, of
// which a few hundred bytes are shown.
const mostScrubbed = 16 << 10

// scrubbed is the beginning of a text without secrets, and without its last word where it
// was cut: that may be the beginning of one.
func scrubbed(text string, hide []secret.Text) string {
	if len(text) > mostScrubbed {
		text = text[:mostScrubbed]
		text = text[:max(0, strings.LastIndexAny(text, " \t\r\n"))]
	}
	return secret.Scrub(text, hide...)
}
