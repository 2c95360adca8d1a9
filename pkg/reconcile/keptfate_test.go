package reconcile_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// spoiled answers some logins in another form than others.
type spoiled struct {
	*together
	logins int
	which  int // the how manyth login is answered so
}

func (x *spoiled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	x.together.ServeHTTP(answer, r)
	body := answer.Body.String()
	if r.URL.Path == "/token" {
		if x.logins++; x.logins == x.which {
			body = strings.Replace(body, "access_token", "token", 1)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.Code)
	_, _ = w.Write([]byte(body))
}

// What a kept reply brought is of the account that it was asked for, whatever its
// credential is of by now: its revocation would end the token that another one of that
// account has in force, and waits.
func TestWhatAKeptReplyBroughtIsOfItsAccount(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &spoiled{together: &together{live: map[string]string{}, until: map[string]time.Time{}, refresh: map[string]string{}}, which: 2}
		w.serveAlso(x, "cached.localhost")
		order := func(kind reconcile.OrderKind) {
			t.Helper()
			if err := w.loop.Do(t.Context(), "credential.cached.b", reconcile.Order{Kind: kind}); err != nil {
				t.Fatal(err)
			}
		}
		w.set(togetherConfig(false, "a=me"))
		time.Sleep(time.Second)
		w.set(togetherConfig(false, "a=me", "b=me"))
		time.Sleep(time.Second)
		if l := w.line("credential.cached.b"); l.State != reconcile.Unread {
			t.Fatalf("no reply is kept: %+v", l)
		}
		w.set(togetherConfig(false, "a=me", "b=you"))
		order(reconcile.OrderTaint)
		time.Sleep(time.Minute)
		w.set(strings.Replace(togetherConfig(false, "a=me", "b=you"), "= body.access_token", "= body.access_token != null ? body.access_token : body.token", 1))
		order(reconcile.OrderRetry)
		time.Sleep(3 * time.Minute)
		for _, n := range []string{"a", "b"} {
			if got := w.places.get(n); !x.works(got) {
				t.Errorf("%s holds %q, which does not work; revoked %q", n, got, x.revocations())
			}
		}
		if l := w.line("credential.cached.b"); !strings.Contains(l.Why, "credential.cached.a has a token of the same account") {
			t.Errorf("it does not say what it waits for: %+v", l)
		}
		w.set(togetherConfig(false, "a=me") + "\n# b is removed\n")
		time.Sleep(3 * time.Minute)
		if got := w.places.get("a"); !x.works(got) {
			t.Errorf("a holds %q, which does not work; revoked %q", got, x.revocations())
		}
		w.set(togetherConfig(false) + "\n# nothing is left\n")
		time.Sleep(3 * time.Minute)
		if x.works("me-2") {
			t.Errorf("revoked %q, and what the reply brought lives", x.revocations())
		}
	})
}
