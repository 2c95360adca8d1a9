package web

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// wantsJSON reports whether a request prefers JSON to plain text (RFC 9110,
// section 12.5.1). A wildcard is no preference: curl and probes send it and are
// read by people.
func wantsJSON(r *http.Request) bool {
	var json, text float64
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			switch kind, q := mediaRange(part); kind {
			case "application/json":
				json = max(json, q)
			case "text/plain", "text/*":
				text = max(text, q)
			}
		}
	}
	return json > 0 && json >= text
}

func mediaRange(part string) (kind string, q float64) {
	kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
	if err != nil {
		return "", 0
	}
	quality, given := params["q"]
	if !given {
		return kind, 1
	}
	if q, err = strconv.ParseFloat(quality, 64); err != nil || !(q >= 0 && q <= 1) {
		return "", 0
	}
	return kind, q
}
