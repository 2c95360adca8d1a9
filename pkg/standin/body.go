package standin

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxBody bounds a request body; every genuine one is a few hundred bytes.
const maxBody = 64 << 10

// A field is one named value of a request, whether it came as JSON, form or query.
type field struct{ key, value string }

type fields []field

func (f fields) get(key string) string {
	for i := range f {
		if f[i].key == key {
			return f[i].value
		}
	}
	return ""
}

func (f fields) has(key string) bool {
	return slices.ContainsFunc(f, func(x field) bool { return x.key == key })
}

// input is the shape that a route wants its request in.
type input uint8

const (
	inputNone  input = iota // neither body nor query
	inputJSON               // a JSON object of strings, no query
	inputForm               // a form, no query
	inputQuery              // a query, no body
)

// readInput parses a request, and says in the second result what is wrong with it, never naming a value.
func readInput(r *http.Request, want input) (fields, string) {
	body, problem := readBody(r)
	if problem != "" {
		return nil, problem
	}
	if want != inputQuery && r.URL.RawQuery != "" {
		return nil, "the URL must not have a query"
	}
	switch want {
	case inputJSON:
		if !isMedia(r, "application/json") {
			return nil, "the content type must be application/json"
		}
		return parseObject(body)
	case inputForm:
		if !isMedia(r, "application/x-www-form-urlencoded") {
			return nil, "the content type must be application/x-www-form-urlencoded"
		}
		return parsePairs(string(body))
	}
	if len(body) > 0 {
		return nil, "the request must not have a body"
	}
	if want == inputQuery {
		return parsePairs(r.URL.RawQuery)
	}
	return nil, ""
}

// readBody reads a body to its end, which is also what lets the HTTP server notice a client that goes away.
func readBody(r *http.Request) ([]byte, string) {
	switch n := r.ContentLength; {
	case n == 0 || r.Body == nil:
		return nil, ""
	case n > maxBody:
		return nil, "the body is too large"
	case n > 0:
		body := make([]byte, n)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, "the body ended early"
		}
		return body, ""
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, "the body ended early"
	case len(body) > maxBody:
		return nil, "the body is too large"
	}
	return body, ""
}

func isMedia(r *http.Request, want string) bool {
	values := r.Header["Content-Type"]
	if len(values) != 1 {
		return false
	}
	if values[0] == want {
		return true
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || media != want {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// parsePairs reads a form or a query. A name that comes twice is refused (RFC 6749 section 3.2).
func parsePairs(s string) (fields, string) {
	if s == "" {
		return nil, ""
	}
	out := make(fields, 0, strings.Count(s, "&")+1)
	for pair := range strings.SplitSeq(s, "&") {
		rawKey, rawValue, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(rawKey)
		value, err2 := url.QueryUnescape(rawValue)
		switch {
		case err != nil || err2 != nil || strings.Contains(pair, ";"):
			return nil, "the parameters are not well encoded"
		case key == "":
			return nil, "a parameter has no name"
		case !utf8.ValidString(key) || !utf8.ValidString(value):
			return nil, "the parameters are not UTF-8"
		case out.has(key):
			return nil, "the parameter " + quoteName(key) + " is repeated"
		}
		out = append(out, field{key, value})
	}
	return out, ""
}

// parseObject reads a flat JSON object whose members are all strings, as every JSON request of these APIs is.
// It is written by hand because encoding/json lets repeated members and bad UTF-8 pass, and because the
// benchmarks share their cores with it.
func parseObject(b []byte) (fields, string) {
	const malformed = "the body is not one JSON object"
	p := objectParser{b: b}
	out := make(fields, 0, 4)
	if !utf8.Valid(b) || !p.take('{') {
		return nil, malformed
	}
	if p.take('}') {
		return out, p.end(malformed)
	}
	for {
		key, ok := p.text()
		if !ok || !p.take(':') {
			return nil, malformed
		}
		p.space()
		if p.i >= len(p.b) {
			return nil, malformed
		}
		if p.b[p.i] != '"' {
			if json.Valid(b) {
				return nil, "the field " + quoteName(key) + " must be a string"
			}
			return nil, malformed
		}
		value, ok := p.text()
		if !ok {
			return nil, malformed
		}
		if out.has(key) {
			return nil, "the field " + quoteName(key) + " is repeated"
		}
		out = append(out, field{key, value})
		if p.take(',') {
			continue
		}
		if !p.take('}') {
			return nil, malformed
		}
		return out, p.end(malformed)
	}
}

type objectParser struct {
	b []byte
	i int
}

func (p *objectParser) space() {
	for p.i < len(p.b) && strings.IndexByte(" \t\r\n", p.b[p.i]) >= 0 {
		p.i++
	}
}

func (p *objectParser) take(c byte) bool {
	p.space()
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *objectParser) end(problem string) string {
	if p.space(); p.i != len(p.b) {
		return problem
	}
	return ""
}

// text reads one string; one with an escape goes to encoding/json.
func (p *objectParser) text() (string, bool) {
	if !p.take('"') {
		return "", false
	}
	start, escaped := p.i, false
	for ; p.i < len(p.b); p.i++ {
		switch c := p.b[p.i]; {
		case c == '"':
			raw := p.b[start:p.i]
			p.i++
			if !escaped {
				return intern(raw), true
			}
			var s string
			err := json.Unmarshal(p.b[start-1:p.i], &s)
			return s, err == nil
		case c == '\\':
			escaped = true
			p.i++
		case c < 0x20:
			return "", false
		}
	}
	return "", false
}

// intern is string(b) without an allocation for the texts that most requests have.
func intern(b []byte) string {
	switch string(b) {
	case "grant_type":
		return "grant_type"
	case "email":
		return "email"
	case "partnerId":
		return "partnerId"
	case "login":
		return "login"
	case "password":
		return "password"
	case "refresh_token":
		return "refresh_token"
	case "offline_token":
		return "offline_token"
	}
	return string(b)
}

// quoteName makes a name from a request fit to be shown: cut, and without what could be mistaken for markup.
func quoteName(name string) string {
	if len(name) > 40 {
		name = name[:40] + "..."
	}
	return "`" + strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || strings.ContainsRune("`\"\\<>&", r) {
			return '?'
		}
		return r
	}, name) + "`"
}

// check says what is wrong with a request's fields: one of required is missing or empty, or there is one that
// is neither required nor optional. A nil optional allows any.
func (f fields) check(required, optional []string) string {
	for _, name := range required {
		if f.get(name) == "" {
			if f.has(name) {
				return "the field " + quoteName(name) + " is empty"
			}
			return "the field " + quoteName(name) + " is missing"
		}
	}
	if optional == nil {
		return ""
	}
	for i := range f {
		if !slices.Contains(required, f[i].key) && !slices.Contains(optional, f[i].key) {
			return "the field " + quoteName(f[i].key) + " is unknown"
		}
	}
	return ""
}

// bearer is the token of a request's only Authorization header, or "".
func bearer(r *http.Request) string {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return ""
	}
	scheme, token, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") || token != strings.TrimSpace(token) {
		return ""
	}
	return token
}
