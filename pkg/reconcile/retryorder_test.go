package reconcile_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// plainAPI is an API that takes a client's secret for a token, and has no refresh.
type plainAPI struct {
	asked     atomic.Int64
	throttles atomic.Bool
}

func (x *plainAPI) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := x.asked.Add(1)
	w.Header().Set("Content-Type", "application/json")
	if x.throttles.Load() {
		w.Header().Set("Retry-After", "40")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = fmt.Fprint(w, `{}`)
		return
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"at%d","expires_in":7200}`, n)
}

func (x *plainAPI) config() string {
	return strings.ReplaceAll(before((&pages{}).config("a@example.com", "false"), "  refresh {"), "    refresh_token = body.refresh_token\n", "") +
		"}\ncredential" + after((&pages{}).config("a@example.com", "false"), "\ncredential")
}

// A refresh by hand that fails, of a token that is not due, is what a retry tries again,
// whether it spends a refresh token or asks for a new token by the grant. A retry of which
// nothing fails says that nothing was sent.
func TestARetryDoesWhatWasOrderedLast(t *testing.T) {
	const cred = "credential.pages.a"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &plainAPI{}
		w.serveAlso(x, "pages.localhost")
		w.set(x.config())
		w.pass(time.Minute, time.Minute, nil)
		order := func(kind reconcile.OrderKind) error {
			return w.loop.Do(t.Context(), cred, reconcile.Order{Kind: kind})
		}
		expect := func(when string, asked int64, gen uint64) {
			t.Helper()
			if l := w.line(cred); x.asked.Load() != asked || l.Generation != gen {
				t.Errorf("%s the API was asked %d times, want %d; it is %+v, want generation %d", when, x.asked.Load(), asked, l, gen)
			}
		}
		if err := order(reconcile.OrderRetry); !errors.Is(err, reconcile.ErrNothingFailed) {
			t.Errorf("a retry where nothing fails: %v", err)
		}
		expect("at first", 1, 1)

		x.throttles.Store(true)
		if err := order(reconcile.OrderRefresh); err == nil {
			t.Fatal("it was refreshed")
		}
		expect("throttled", 2, 1)
		x.throttles.Store(false)
		if err := order(reconcile.OrderRetry); err != nil {
			t.Error(err)
		}
		expect("tried again", 3, 2)
		if rec, _, _, err := w.loop.Record(t.Context(), cred); err != nil || rec.Failure != nil {
			t.Errorf("what is recorded after it: %+v, %v", rec.Failure, err)
		}
		if err := order(reconcile.OrderRefresh); err != nil {
			t.Error(err)
		}
		expect("refreshed", 4, 3)

		// Where nobody retries, it is over once it could be tried again, also for what
		// fails after that.
		x.throttles.Store(true)
		if err := order(reconcile.OrderRefresh); err == nil {
			t.Fatal("it was refreshed")
		}
		w.pass(time.Minute, time.Minute, nil)
		if l := w.line(cred); l.State != reconcile.Ready || l.Why != "" {
			t.Errorf("a minute after it is %+v", l)
		}
		if rec, _, _, err := w.loop.Record(t.Context(), cred); err != nil || rec.Failure != nil {
			t.Errorf("a minute after there is on record %+v, %v", rec.Failure, err)
		}
		if err := order(reconcile.OrderRetry); !errors.Is(err, reconcile.ErrNothingFailed) {
			t.Errorf("a minute after a retry: %v", err)
		}
		expect("a minute after", 5, 3)
		failed := time.Now()
		if err := order(reconcile.OrderRefresh); err == nil {
			t.Fatal("it was refreshed")
		}
		expect("ordered again", 6, 3)
		if l := w.line(cred); l.State != reconcile.Failing || l.Since.Before(failed) {
			t.Errorf("it is %s since %s, though it was ready until %s", l.State, l.Since, failed)
		}
	})
}

// So it is with a refresh token; and the logins that count against an account are kept
// however long nobody needs one.
func TestAFailureThatNobodyNeedsIsOver(t *testing.T) {
	const cred = "credential.pages.a"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &plainAPI{}
		w.serveAlso(x, "pages.localhost")
		w.set(strings.Replace(x.config(), "lockout = false", "lockout = true", 1))
		w.pass(time.Minute, time.Minute, nil)
		x.throttles.Store(true)
		for range 3 {
			_ = w.loop.Do(t.Context(), cred, reconcile.Order{Kind: reconcile.OrderRefresh})
			w.pass(20*time.Minute, time.Minute, nil)
		}
		rec, _, _, err := w.loop.Record(t.Context(), cred)
		if err != nil || rec.Failure == nil || rec.Failure.Class != "counted" || rec.Failure.Reached != 3 {
			t.Errorf("on record is %+v, %v; want the three logins that count", rec.Failure, err)
		}
		if l := w.line(cred); l.State != reconcile.Ready {
			t.Errorf("it is %+v", l)
		}
	})
}
