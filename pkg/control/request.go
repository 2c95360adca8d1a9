package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

func isEmpty(err error) bool { return errors.Is(err, io.EOF) }

// badRequest says what is wrong with a request without quoting it.
func badRequest(err error) *Error {
	e := &Error{Kind: KindInvalid, Message: "the request is not the JSON that this daemon expects"}
	tooLong, isLong := errors.AsType[*http.MaxBytesError](err)
	wrongType, isType := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case isLong:
		e.Message = fmt.Sprintf("the request is longer than %d bytes", tooLong.Limit)
	case isType:
		e.Message = fmt.Sprintf("the request's %s is a %s, and should be a %s", wrongType.Field, wrongType.Value, wrongType.Type)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		e.Kind = KindProtocol
		e.Message = "this daemon does not know the request's argument " + strings.TrimPrefix(err.Error(), "json: unknown field ")
		e.Hint = "the daemon is older than this command: restart it"
	}
	return e
}
