package providers

import (
	"encoding/json"
	"net/http"
	"strings"
)

// elsewhereHint is for a reply that does not look like the API's.
const elsewhereHint = "check " + setBy + ": something else than the API may have answered"

// walled says that a refusal is a web page, as a wall before the API shows one
// for a while (a rule that takes us for a robot, a country that is shut out): the
// API itself has refused nothing. Where it has, it mostly says 400 or 401, and a
// wrong address 404 or 405. A grant that counts against an account is not risked.
// passing is false then: such a refusal stops it unless more is known of the wall.
func (e *Endpoint) walled(f *frame, r *Reply) (walled, passing bool) {
	switch s := r.Status; {
	case s < 400, s >= 500, s == http.StatusBadRequest, s == http.StatusUnauthorized, s == http.StatusNotFound, s == http.StatusMethodNotAllowed:
		return false, false
	}
	g := e.grants[f.call.Grant]
	switch op := f.call.Op; {
	case op != OpRefresh && op != OpRevoke && op != OpGrant, !webPage(r):
		return false, false
	case op == OpGrant:
		return true, g != nil && !g.traits.Lockout
	}
	return true, true
}

// NoAnswer says that a success does not look like the API's own: a web page, of a
// proxy or a portal on the way, or nothing at all. Whether the API was asked is
// not known, unless its type finds a token in such a reply, in a header say.
func NoAnswer(r *Reply) bool {
	if r == nil || r.Status < 200 || r.Status >= 300 {
		return false
	}
	if r.TooLarge {
		return false
	}
	return strings.TrimSpace(r.Body.Reveal()) == "" || webPage(r)
}

// NoJSON says that a body is no JSON, or was cut off, whatever its type is said to be.
func NoJSON(r *Reply) bool { return !json.Valid([]byte(r.Body.Reveal())) }

// webPage says that a body is a page of HTML, whatever its type is said to be.
func webPage(r *Reply) bool {
	text := strings.TrimSpace(r.Body.Reveal())
	start := strings.ToLower(text[:min(len(text), 16)])
	return strings.HasPrefix(start, "<!doctype") || strings.HasPrefix(start, "<html")
}

// noAnswer is the error for such a reply: like one that never came.
func (e *Endpoint) noAnswer(f *frame, r *Reply) *Error {
	return &Error{Op: f.call.Op, Class: ClassUnknown, Status: r.Status, URL: r.URL, Reached: true, Message: describeBody(r),
		Hint: e.hintFor(f.call, elsewhereHint)}
}

func isHTML(r *Reply, text string) bool {
	start := strings.ToLower(text[:min(len(text), 64)])
	return strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || strings.HasPrefix(start, "<!doctype") || strings.HasPrefix(start, "<html")
}
