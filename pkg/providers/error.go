package providers

import (
	"strconv"
	"strings"
	"time"
)

// Class says what a failure means for what comes next.
type Class string

// The classes of failure.
const (
	// ClassPermanent: the provider refused. The same call again is refused
	// again. Of a refresh it means that the refresh token is worth nothing any
	// more, not that the credential is.
	ClassPermanent Class = "permanent"
	// ClassTransient: nothing was spent or created, and the same call may work
	// later.
	ClassTransient Class = "transient"
	// ClassThrottled: like transient; the provider asks for time (RetryAfter).
	ClassThrottled Class = "throttled"
	// ClassUnknown: the provider may or may not have carried the call out.
	ClassUnknown Class = "unknown"
	// ClassLogin: a person must log in.
	ClassLogin Class = "login"
	// ClassUnreadable: the call was carried out, and its reply cannot be read.
	// It can be read again by [Endpoint.Read] once the type was mended.
	ClassUnreadable Class = "unreadable"
	// ClassGone: the token that was to be revoked is not known any more, which
	// is what revoking is for.
	ClassGone Class = "gone"
	// ClassConfig: the call could not even be made; the configuration must
	// change. Nothing was sent.
	ClassConfig Class = "config"
)

// Error is why a call failed. Neither its text nor any field contains a secret.
type Error struct {
	Op         Op
	Class      Class
	Status     int    // HTTP status; 0: no reply
	Code       string // the provider's own, such as invalid_grant
	Message    string // what failed, in words; what the provider says is an excerpt of it
	Hint       string // the next move
	URL        string // scheme, host and path that the request went to
	RetryAfter time.Duration
	Reached    bool // a byte of the request may have been written
	Walled     bool // a web page answered: whether the API itself was asked is not known
	Page       bool // the body of a refusal is a web page, whatever may be made of it
	Own        bool // the class is what the type's own error block says
	Err        error
}

// Error says what was tried, where, and why it failed; the hint is not part of it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op.doing())
	if e.URL != "" {
		b.WriteString(" at ")
		b.WriteString(e.URL)
	}
	b.WriteString(": ")
	parts := make([]string, 0, 3)
	if e.Status != 0 {
		parts = append(parts, statusWord+strconv.Itoa(e.Status))
	}
	if e.Code != "" && e.Code != e.Message {
		parts = append(parts, e.Code)
	}
	if e.Message != "" {
		parts = append(parts, e.Message)
	}
	b.WriteString(strings.Join(parts, ", "))
	return b.String()
}

// HintUnknown goes with an error that leaves open whether the call took place.
const HintUnknown = "whether the provider carried it out is not known"

// Answered says whether the words of an [Error] are about a complete reply, as those of
// one that has a status are.
func Answered(words string) bool { return strings.Contains(words, ": "+statusWord) }

const statusWord = "status "

// Unwrap returns the error below, where a caller may ask for it (a cancelled
// context, a refused connection).
func (e *Error) Unwrap() error { return e.Err }
