package control

import (
	"context"
	"errors"
	"net/http"
)

// Kind is what an exit status is chosen by.
type Kind string

// The kinds of errors.
const (
	KindFailed      Kind = "failed"       // it was tried and did not work; every error without a kind
	KindInvalid     Kind = "invalid"      // the request, or the configuration that it names, is wrong
	KindNotFound    Kind = "not_found"    // there is no such address
	KindRefused     Kind = "refused"      // a guard or a lifecycle setting forbids it
	KindNeedsPerson Kind = "needs_person" // a login or an approval is needed first
	KindUnavailable Kind = "unavailable"  // not now: starting, stopping, disk full
	KindInterrupted Kind = "interrupted"  // stopped, or cut off, before the outcome was known
	KindDenied      Kind = "denied"       // not for this user
	KindProtocol    Kind = "protocol"     // daemon and command line do not speak the same version
	KindInternal    Kind = "internal"     // a bug
)

// Error is an error that crosses the socket. Message is for people and has no
// secret in it; Hint, where it is not empty, is the next move.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// What a caller may ask of an error.
var (
	// ErrNoDaemon: nobody listens at the path.
	ErrNoDaemon = errors.New("no daemon answers")
	// ErrInUse: somebody listens at the path already.
	ErrInUse = errors.New("another daemon answers there already")
)

// KindOf is the kind of an error, [KindFailed] if it has none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindFailed
}

// errorOf is what is sent of an error. What a wrapping error says stays.
func errorOf(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return &Error{Kind: e.Kind, Message: err.Error(), Hint: e.Hint}
	}
	kind := KindFailed
	if errors.Is(err, context.Canceled) {
		kind = KindInterrupted
	}
	return &Error{Kind: kind, Message: err.Error()}
}

// status is for those who use curl; our client reads the kind.
func (k Kind) status() int {
	switch k {
	case KindInvalid:
		return http.StatusBadRequest
	case KindNotFound:
		return http.StatusNotFound
	case KindRefused, KindNeedsPerson:
		return http.StatusConflict
	case KindDenied:
		return http.StatusForbidden
	case KindProtocol:
		return http.StatusUpgradeRequired
	case KindUnavailable, KindInterrupted:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
