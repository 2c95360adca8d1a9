package vault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"tokend/pkg/oneline"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// What a caller may ask of an error, with errors.Is.
var (
	// ErrSealed: Vault is there, but sealed or not initialized.
	ErrSealed = errors.New("vault is sealed")
	// ErrUnreachable: no answer of Vault came; whether it did what it was asked
	// to is not known.
	ErrUnreachable = errors.New("vault cannot be reached")
	// ErrStandby: the node is a standby and could not pass the request on.
	ErrStandby = errors.New("vault node is a standby")
	// ErrDenied: the token, or the login, is not allowed to do this.
	ErrDenied = errors.New("permission denied")
	// ErrNotFound: there is nothing at this path, or not in this version.
	ErrNotFound = errors.New("not found in vault")
	// ErrCASMismatch: somebody else wrote in between.
	ErrCASMismatch = errors.New("changed by someone else in between")
	// ErrThrottled: a quota is used up; Error.RetryAfter says for how long.
	ErrThrottled = errors.New("vault limits the rate of requests")
	// ErrInvalid: Vault, or this package, refuses the request as it is; trying
	// again is pointless.
	ErrInvalid = errors.New("vault refuses the request")
	// ErrUnreadable: what answered is not Vault's JSON.
	ErrUnreadable = errors.New("the answer is not vault's")
	// ErrLogin: it was the login that failed, not the call itself. It comes with
	// one of the others.
	ErrLogin = errors.New("vault login failed")
)

// Error is a failed call to Vault.
type Error struct {
	Op      string       // what was done: "reading kv/trading/coinify"
	Vault   spec.Address // "vault.main"
	Address string       // "https://vault.example.com:8200"
	Class   error        // one of this package's errors
	Status  int          // of the HTTP answer; 0: none
	Message string       // what Vault said, on one line, without secrets
	Hint    string       // what to do next; may be empty
	Login   bool         // it was the login that failed
	// Refused: Vault itself said, in its own words, that it has not done what was
	// asked. What a proxy says proves nothing, nor does a failure in the midst of it.
	Refused bool
	// RetryAfter is how long to wait at least; 0: as you like.
	RetryAfter time.Duration

	cause error // a context's error, for errors.Is
}

// Error is "reading kv/x from vault.main (https://…): permission denied: …; hint".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s (%s): ", e.Op, e.Vault, e.Address)
	switch {
	case e.Message == "" || e.Message == e.Class.Error():
		b.WriteString(e.Class.Error())
	case e.Class == ErrDenied && e.Status == 0:
		b.WriteString(e.Message) // Vault was not asked: it denied nothing
	default:
		b.WriteString(e.Class.Error() + ": " + e.Message)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Is answers for the error's class, and for [ErrLogin].
func (e *Error) Is(target error) bool {
	return target == e.Class || e.Login && target == ErrLogin
}

// Unwrap is a context's error where one was the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// fault says what went wrong, before it is known where: class, status, text.
type fault struct {
	class   error
	status  int
	message string
	hint    string
	refused bool // see [Error.Refused]
	cause   error
}

// faultOf reads an error of Vault's library. Foreign text goes through scrub as
// it came, before anything is made of it: a secret that was cut, or of which the
// line breaks were taken out, is not recognised any more.
func faultOf(err error, scrub func(string) string) fault {
	var answered *api.ResponseError
	switch {
	case errors.As(err, &answered):
		return answeredFault(answered, scrub)
	case errors.Is(err, context.Canceled):
		return fault{class: ErrUnreachable, message: "the call was cancelled", cause: context.Canceled}
	case errors.Is(err, context.DeadlineExceeded):
		return fault{class: ErrUnreachable, message: "no answer in time", hint: "check the address, or give the vault block a longer timeout", cause: context.DeadlineExceeded}
	}
	if f, ok := unreadableFault(err); ok {
		return f
	}
	return networkFault(err, scrub)
}

// answeredFault classifies an HTTP status and Vault's words, as
// https://developer.hashicorp.com/vault/api-docs#http-status-codes has them.
func answeredFault(e *api.ResponseError, scrub func(string) string) fault {
	said := plain(scrub(strings.Join(e.Errors, "; ")))
	lower := strings.ToLower(strings.Join(e.Errors, "; "))
	has := func(s string) bool { return strings.Contains(lower, s) }
	f := fault{class: ErrUnreadable, status: e.StatusCode, message: said}
	if e.RawError { // foreign text: it is looked at, and not shown
		f.message = fmt.Sprintf("status %d without Vault's JSON", e.StatusCode)
		f.hint = "see whether a proxy answers in Vault's place"
	}
	switch {
	case e.RawError && has("http request to an https server"):
		f.class, f.message, f.hint = ErrInvalid, "the server speaks TLS", "address should begin with https://"
	case has("vault is sealed"), has("not initialized"), has("not yet initialized"):
		f.class, f.message, f.hint = ErrSealed, "", "unseal it with `vault operator unseal`; a tokend that runs goes on by itself"
	case has("local node not active"), has("not the active node"), e.StatusCode == 472, e.StatusCode == 473:
		f.class, f.hint = ErrStandby, "let address name the active node or a load balancer"
	case has("check-and-set parameter did not match"):
		f.class = ErrCASMismatch
	case has("upgrading from non-versioned"):
		f.class, f.hint = ErrUnreachable, "the mount has just become KV version 2 and will be there in a moment"
	case e.StatusCode == 403,
		e.StatusCode == 400 && (has("invalid role or secret id") || has("invalid secret id") || has("invalid role id")):
		f.class = ErrDenied
	case e.StatusCode == 404:
		f.class = ErrNotFound
	case e.StatusCode == 429:
		f.class = ErrThrottled
	case e.StatusCode == 412, e.StatusCode == 502, e.StatusCode == 503, e.StatusCode == 504:
		f.class = ErrUnreachable
	case e.StatusCode >= 500:
		f.class, f.hint = ErrUnreachable, "see Vault's own log"
	case !e.RawError:
		f.class = ErrInvalid
	}
	f.refused = refused(e) && f.class != ErrCASMismatch // which may be our own write's doing
	if f.class == ErrUnreachable && !e.RawError && f.message != "" {
		f.message = fmt.Sprintf("status %d: %s", e.StatusCode, f.message)
	}
	return f
}

// refused says that an answer is Vault's own, which always says why (a gateway's JSON
// has no errors that are a list of texts), and of a status that it gives before it
// does anything.
func refused(e *api.ResponseError) bool {
	if e.RawError || len(e.Errors) == 0 {
		return false
	}
	switch e.StatusCode {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	}
	return false
}

// unreadableFault recognises an answer that could not be decoded. Errors of
// encoding/json quote a character of the input at most.
func unreadableFault(err error) (fault, bool) {
	var (
		syntax *json.SyntaxError
		kind   *json.UnmarshalTypeError
	)
	f := fault{class: ErrUnreadable, hint: "check that address is a Vault server's"}
	switch {
	case errors.Is(err, errTooLarge):
		f.message = err.Error()
	case errors.As(err, &syntax), errors.As(err, &kind), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		f.message = "not the JSON that was expected"
	default:
		return fault{}, false
	}
	return f, true
}

// networkFault is for everything below HTTP. Its text comes from the standard
// library and names hosts, files and certificates, no headers or bodies.
func networkFault(err error, scrub func(string) string) fault {
	var (
		wrapped   *url.Error
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		record    tls.RecordHeaderError
		dns       *net.DNSError
	)
	cause := err
	if errors.As(err, &wrapped) {
		cause = wrapped.Err
	}
	f := fault{class: ErrUnreachable, message: oneLine(scrub(cause.Error()))}
	switch {
	case errors.As(err, &authority):
		f.hint = "set ca_file to the certificate of the authority that signed Vault's"
	case errors.As(err, &hostname):
		f.hint = "set tls_server_name to a name in Vault's certificate"
	case errors.As(err, &record), strings.Contains(f.message, "HTTP response to HTTPS client"):
		f.hint = "Vault listens without TLS there: address should begin with http://"
	case errors.As(err, &dns):
		f.hint = "check the host name in address"
	}
	return f
}

var multierror = regexp.MustCompile(`\d+ errors? occurred:`)

// plain puts Vault's error text into one line.
func plain(text string) string {
	s := multierror.ReplaceAllString(text, "")
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\t' })
	for i, p := range parts {
		parts[i] = strings.TrimPrefix(strings.TrimSpace(p), "* ")
	}
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return oneLine(strings.Join(kept, ", "))
}

// oneLine takes control characters out of foreign text and bounds it.
func oneLine(s string) string {
	s = strings.TrimSpace(oneline.Of(s))
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}

// leaves are all strings in a value that is on its way to Vault: what an error
// must not echo.
func leaves(v any) []secret.Text {
	switch x := v.(type) {
	case string:
		return []secret.Text{secret.New(x)}
	case map[string]any:
		var out []secret.Text
		for _, e := range x {
			out = append(out, leaves(e)...)
		}
		return out
	case []any:
		var out []secret.Text
		for _, e := range x {
			out = append(out, leaves(e)...)
		}
		return out
	}
	return nil
}
