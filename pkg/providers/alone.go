package providers

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
)

// errUnprocessed: the server said over HTTP/2 that it has not carried the request
// out, and that it may be sent again (RFC 9113 section 8.7).
var errUnprocessed = errors.New("the server refused the request before it processed it")

// streamError is what net/http's error of a reset stream turns itself into: by
// errors.As it takes any struct that has these fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "the stream was reset" }

// codeRefusedStream is REFUSED_STREAM (RFC 9113 section 7).
const codeRefusedStream = 7

// What net/http says of a stream above the last one that a GOAWAY names.
const (
	aboveGoAway     = "http2: Transport received Server's graceful shutdown GOAWAY"
	aboveGoAwayCode = "http2: Transport received GOAWAY from server ErrCode:"
)

// heldBack is how net/http quotes one of these errors where it would have sent the
// request again, had the body not gone.
var heldBack = regexp.MustCompile(`^http2: Transport: cannot retry err \[(?:` + regexp.QuoteMeta(aboveGoAway) +
	`|stream error: stream ID \d+; REFUSED_STREAM; received from peer)\] after Request\.Body was written; define Request\.GetBody to avoid this error$`)

// unprocessed reports whether the server certainly has not carried the request out:
// it reset the stream with REFUSED_STREAM, or said by GOAWAY that the last stream it
// looks at is an earlier one. Every other reset may be of a request that it has
// carried out. net/http has no values for some of these errors, so their texts are
// compared as a whole; nothing that a server writes looks like them, and were they
// worded anew the outcome would count as unknown.
func unprocessed(err error) bool {
	var reset streamError
	if errors.As(err, &reset) {
		return reset.Code == codeRefusedStream
	}
	text := err.Error()
	return text == aboveGoAway || strings.HasPrefix(text, aboveGoAwayCode) || heldBack.MatchString(text)
}

// needsOwn says that a request gets a connection of its own, of which net/http's
// pool knows nothing. Over HTTP/2 the pool sends a request without a body again as
// often as the server resets its stream, and keeps to itself what the server said of
// the first one; on such a connection it is sent once, and the error comes here.
func needsOwn(r *Request) bool {
	return !r.hasBody && r.url.Scheme == "https" && plainHost(r.url.Hostname())
}

// onItsOwn sends a request on a new connection, which is closed with the reply.
func (f *flight) onItsOwn(ctx context.Context, t *http.Transport, r *Request) (*http.Response, error) {
	address, _ := cutMark(placeOf(r.url))
	c, err := t.NewClientConn(ctx, r.url.Scheme, address)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	switch {
	case !f.isReady():
		f.state.Store(notReady)
		_ = c.Close()
		return nil, errNotReady
	case !f.state.CompareAndSwap(waits, flies):
		_ = c.Close()
		return nil, context.Canceled
	}
	f.watch(f.dialed.Load())
	resp, err := c.RoundTrip(r.plain().WithContext(ctx))
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	resp.Body = &endingBody{resp.Body, func() { _ = c.Close() }}
	return resp, nil
}
