package web

import (
	"net/http"
	"strings"
	"testing"

	"tokend/pkg/reconcile"
)

// A removed credential of which only tokens are left that nobody knows is shown and
// counted, and makes nothing less ready.
func TestWhatIsRemovedMakesNothingUnready(t *testing.T) {
	src := healthy()
	src.view.Credentials = append(src.view.Credentials, reconcile.Line{Address: "credential.old.x", Type: "old", State: reconcile.Removed, Orphans: 2,
		Why: "2 tokens may live that nobody knows", Mend: "tokend revoke --forget-orphans old.x", Since: noon()})
	h := handlerOf(src)
	for path, want := range map[string]string{
		"/readyz":         "ready\n",
		"/readyz/old.x":   "ready\n",
		"/readyz?verbose": "credential.old.x: removed",
		"/metrics":        `tokend_orphans{type="old"} 2`,
		"/":               "Orphans: 2 tokens may",
	} {
		if w := get(t, h, path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if body := get(t, h, "/readyz").Body.String(); strings.Contains(body, "old.x") {
		t.Errorf("it is among what is not ready: %s", body)
	}
	has(t, get(t, h, "/").Body.String(), "<tr class=\"\"><td><code>old.x</code></td><td>removed<br>2 tokens may live that nobody knows")
	if m := get(t, h, "/metrics").Body.String(); strings.Contains(m, `tokend_unready_since_timestamp_seconds{address="credential.old.x"`) || !strings.Contains(m, `state="removed",type="old"} 1`) {
		t.Errorf("the metrics say: %s", m)
	}
}
