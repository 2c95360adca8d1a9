package login

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"tokend/pkg/oneline"
	"tokend/pkg/providers"
)

//go:embed callback.html
var callbackSource string

//go:embed callback.css
var callbackStyle string

//go:embed callback.js
var callbackScript string

// MaxRedirect bounds a redirect, pasted or handed over by a browser.
const MaxRedirect = 64 << 10

// ErrNone: no login waits for this redirect.
var ErrNone = errors.New("no login waits for this redirect")

// Again reports whether an error of a redirect leaves its login pending: what was
// brought was not it, and the right one may still come.
func Again(err error) bool {
	return errors.Is(err, ErrState) || errors.Is(err, ErrIncomplete) || errors.Is(err, ErrNone)
}

// Callback is the page that a redirect leads to: where the authorization server
// sends the browser after the person has decided. It hands what the redirect
// brought to Finish and says in plain words what came of it.
//
// What a redirect carries in its fragment a browser keeps to itself; the page then
// hands it over by a script of a few lines, the only one that its policy allows,
// and tells a browser without scripts to paste the address instead.
//
// Any web page can send a browser here, with a code of somebody else's account or
// an error that nobody met. So what carries no state is handed to nobody: the page
// asks the person to paste its address, which a person has to mean. Nor does a visit
// count that is no visit of a page (Sec-Fetch-Dest: a picture, a frame).
//
// A HEAD request finishes nothing, nor does one for another host, which a web page
// may have led here under a name of its own (DNS rebinding). Nothing of a redirect
// is shown, stored or logged.
type Callback struct {
	// Finish completes the login that a redirect answers, given as its query and
	// its fragment ("?…#…"), and says which credential that was. path is where it
	// came to. It has a state, and whether that is the one of a login Finish finds
	// out. It is called by many goroutines at once. An error of which [Again] is true
	// leaves the login pending.
	Finish func(ctx context.Context, path, redirected string) (address string, err error)
	// Host reports whether a Host header names the one that serves; nil: whoever
	// calls the handler has looked at it.
	Host func(host string) bool
	// Path reports whether redirects come to a path; nil: to any.
	Path func(path string) bool
}

// callbackView is what the page shows, every text escaped.
type callbackView struct {
	Style   template.CSS
	Script  template.JS // "": the page has none
	Title   string
	Text    string
	Hint    string
	Address string
}

// ServeHTTP implements http.Handler.
func (c *Callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case c.Host != nil && !c.Host(r.Host):
		c.show(w, r, http.StatusMisdirectedRequest, callbackView{Title: "Not here", Text: "This is not the address that logins come back to."})
	case c.Path != nil && !c.Path(r.URL.Path):
		http.NotFound(w, r)
	case r.Method == http.MethodHead:
		c.show(w, r, http.StatusOK, callbackView{})
	case !isPage(r):
		c.show(w, r, http.StatusBadRequest, callbackView{Title: "Not understood", Text: "A login comes back here by a visit of this page, and as no part of another one."})
	case r.Method == http.MethodGet:
		c.visited(w, r)
	case r.Method == http.MethodPost:
		c.handed(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		c.show(w, r, http.StatusMethodNotAllowed, callbackView{Title: "Not allowed", Text: "A login comes back here by a visit of a browser."})
	}
}

// visited is a browser that was sent here. Where its query is not all of it, the
// script hands over the fragment, if there is one.
func (c *Callback) visited(w http.ResponseWriter, r *http.Request) {
	address, err := c.finish(r, "?"+r.URL.RawQuery)
	status, v := outcome(address, err)
	if errors.Is(err, ErrIncomplete) {
		v.Script = template.JS(callbackScript)
	}
	c.show(w, r, status, v)
}

// handed is the fragment, sent by the script.
func (c *Callback) handed(w http.ResponseWriter, r *http.Request) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	r.Body = http.MaxBytesReader(w, r.Body, MaxRedirect)
	if !sameOrigin(r) || kind != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
		c.show(w, r, http.StatusBadRequest, callbackView{Title: "Not understood", Text: "This was not sent by the page that logins come back to."})
		return
	}
	given := "#" + r.PostForm.Get("fragment")
	if q := r.PostForm.Get("query"); q != "" {
		given = "?" + q + given
	}
	address, err := c.finish(r, given)
	status, v := outcome(address, err)
	c.show(w, r, status, v)
}

// finish hands over what says which login it answers, and nothing else.
func (c *Callback) finish(r *http.Request, given string) (string, error) {
	if StateIn(given) == "" {
		return "", ErrIncomplete
	}
	return c.Finish(r.Context(), r.URL.Path, given)
}

// isPage reports whether a browser asks for a page that the person then sees, as
// far as it tells.
func isPage(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "" || dest == "document"
}

// sameOrigin refuses what a page of another origin sends, as far as the browser
// tells. An opaque origin ("null") tells nothing.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// outcome is what came of a redirect, in words.
func outcome(address string, err error) (int, callbackView) {
	const paste = "Where a login brought you here: copy this page's whole address, and paste it where tokend login waits."
	v := callbackView{Address: address}
	var refused *providers.Error
	switch {
	case err == nil:
		v.Title, v.Text = "Logged in", "tokend has what it needs. You can close this page."
		return http.StatusOK, v
	case errors.Is(err, ErrIncomplete):
		v.Title, v.Text, v.Hint = "Nothing was handed over", "Logins come back to this page. What this visit brought does not say which login it belongs to, and nothing was taken from it.", paste
		return http.StatusBadRequest, v
	case errors.Is(err, ErrNone):
		v.Title, v.Text, v.Hint = "No login waits here", "The login that this page belongs to is over, or it began somewhere else.", "Begin again with tokend login."
		return http.StatusNotFound, v
	case errors.Is(err, ErrState):
		v.Title, v.Text, v.Hint = "This belongs to another login", "What the browser brought does not answer the login that waits here, and was not used.", "Open the address that tokend login printed last. Where it was that one: copy this page's whole address, and paste it there."
		return http.StatusBadRequest, v
	case errors.Is(err, providers.ErrRefused):
		v.Title = "Not approved"
	default:
		v.Title = "Not logged in"
	}
	v.Text, v.Hint = oneline.Of(err.Error()), "Begin again with tokend login."
	if errors.As(err, &refused) && refused.Hint != "" {
		v.Hint = strings.ToUpper(refused.Hint[:1]) + refused.Hint[1:] + "."
	}
	return http.StatusForbidden, v
}

// show writes the page. It may hand itself a form and run its own script, and
// nothing else.
func (c *Callback) show(w http.ResponseWriter, r *http.Request, status int, v callbackView) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin") // else the form's Origin would be null
	h.Set("Content-Security-Policy", "default-src 'none'; style-src '"+digestOf(callbackStyle)+"'; script-src '"+digestOf(callbackScript)+
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	v.Style = template.CSS(callbackStyle)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_ = callbackPage().Execute(w, v)
	}
}

func callbackPage() *template.Template {
	return template.Must(template.New("callback").Parse(callbackSource))
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}
