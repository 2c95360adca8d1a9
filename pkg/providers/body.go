package providers

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// readBody reads to the end, or to the limit; then the rest is not asked for.
func readBody(resp *http.Response) (_ []byte, tooLarge bool, err error) {
	defer func() { _ = resp.Body.Close() }()
	if resp.ContentLength > MaxReply {
		b, err := io.ReadAll(io.LimitReader(resp.Body, MaxReply))
		return b, true, err
	}
	size := int64(1024)
	if resp.ContentLength >= 0 {
		size = resp.ContentLength + bytes.MinRead // room to see the end without growing
	}
	buf := bytes.NewBuffer(make([]byte, 0, size))
	_, err = buf.ReadFrom(io.LimitReader(resp.Body, MaxReply+1))
	if buf.Len() > MaxReply {
		return buf.Bytes()[:MaxReply], true, nil
	}
	return buf.Bytes(), false, err
}

// endlessly says that nothing but the end of its connection ends a reply's body, so
// that the reply of a server that dies looks like a whole one (RFC 9112 section 6.3).
func endlessly(resp *http.Response) bool {
	return resp.ProtoMajor == 1 && resp.ContentLength < 0 && len(resp.TransferEncoding) == 0
}

// cutOff says that a body begins as JSON that has members, and ends before that does.
func cutOff(body []byte) bool {
	text := bytes.TrimSpace(body)
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return false
	}
	var v json.RawMessage
	return errors.Is(json.NewDecoder(bytes.NewReader(text)).Decode(&v), io.ErrUnexpectedEOF)
}

// unpacked is a body without the coding that some servers send it in though nobody
// asked for one (RFC 9110 section 12.5.3 lets them), which its header names no more then.
// One that is cut off is an error; one that is not what its header says stays as it is.
func unpacked(body []byte, header http.Header) (_ []byte, tooLarge bool, _ error) {
	if c := header.Get("Content-Encoding"); !strings.EqualFold(c, "gzip") && !strings.EqualFold(c, "x-gzip") {
		return body, false, nil
	}
	var out bytes.Buffer
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err == nil {
		_, err = out.ReadFrom(io.LimitReader(r, MaxReply+1))
	}
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return body, false, io.ErrUnexpectedEOF
	case err != nil:
		return body, false, nil
	}
	header.Del("Content-Encoding")
	if out.Len() > MaxReply {
		return out.Bytes()[:MaxReply], true, nil
	}
	return out.Bytes(), false, nil
}
