package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandlerGuardsEveryAnswer(t *testing.T) {
	h := handlerOf(healthy())
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/livez", 200},
		{"GET", "/readyz", 200},
		{"GET", "/readyz/hook.exec.nginx", 200},
		{"GET", "/metrics", 200},
		{"HEAD", "/readyz", 200},
		{"HEAD", "/metrics", 200},
		{"POST", "/livez", 405},
		{"POST", "/readyz", 405},
		{"PUT", "/readyz/hook.exec.nginx", 405},
		{"DELETE", "/metrics", 405},
		{"OPTIONS", "/metrics", 405},
		{"TRACE", "/livez", 405},
		{"GET", "/", 200},
		{"POST", "/", 405},
		{"GET", "/index.html", 404},
		{"GET", "/state", 404},
		{"GET", "/debug/pprof/", 404},
		{"GET", "/debug/vars", 404},
		{"GET", "/metrics/", 404},
		{"GET", "/readyz/sink.file.unknown", 404},
		{"GET", "/../../etc/passwd", 307},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil)
			r.Host = "127.0.0.1:8250"
			h.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if c.want == http.StatusMethodNotAllowed && w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("Allow is %q", w.Header().Get("Allow"))
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff",
				"Cache-Control":          "no-store",
				"Referrer-Policy":        "no-referrer",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			want := "default-src 'none'; frame-ancestors 'none'"
			if c.path == "/" && c.want == http.StatusOK {
				want = newPage(nil).policy
			}
			if got := w.Header().Get("Content-Security-Policy"); got != want {
				t.Errorf("Content-Security-Policy is %q, want %q", got, want)
			}
		})
	}
}

// Two handlers of one process have registries of their own: nothing is global.
func TestHandlersShareNothing(t *testing.T) {
	rec := NewRecorder(noon)
	for range 2 {
		h := Handler(Options{Source: healthy(), Recorder: rec, Now: noon})
		if w := get(t, h, "/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), "\ntokend_ready 1\n") {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	}
}
