package web

import (
	"net/http"
	"testing"
)

func TestWantsJSON(t *testing.T) {
	for _, c := range []struct {
		accept []string
		want   bool
	}{
		{nil, false},
		{[]string{"*/*"}, false},
		{[]string{"application/*"}, false},
		{[]string{"text/html,application/xhtml+xml,*/*;q=0.8"}, false},
		{[]string{"application/json"}, true},
		{[]string{"Application/JSON; charset=utf-8"}, true},
		{[]string{"text/plain", "application/json"}, true},
		{[]string{"text/plain, application/json;q=0.5"}, false},
		{[]string{"text/*;q=0.4, application/json;q=0.5"}, true},
		{[]string{"application/json;q=0"}, false},
		{[]string{"application/json;q=7"}, false},
		{[]string{"application/json;q=NaN"}, false},
		{[]string{"application/json;q=x"}, false},
		{[]string{";;;,,,"}, false},
	} {
		r := &http.Request{Header: http.Header{"Accept": c.accept}}
		if got := wantsJSON(r); got != c.want {
			t.Errorf("Accept %q: %v, want %v", c.accept, got, c.want)
		}
	}
}
