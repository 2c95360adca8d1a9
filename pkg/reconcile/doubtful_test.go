package reconcile_test

import (
	"context"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// inHeaders is a trader whose type finds the token in headers of these names; ""
// is the type as it is.
func inHeaders(access, refresh string) string {
	own := ownCoinify{settings: "session = \"independent\"\ndefault_lifetime = \"1h\"", expires: "try(body.expires_in, null)"}
	if access != "" {
		own.access, own.refresh = `headers["`+access+`"]`, `headers["`+refresh+`"]`
	}
	return trader("a@example.com", own.String())
}

// A reply without a body is taken for none, and is kept: once its type says that
// the token is in a header, a retry finds it there, and nothing is asked again.
func TestAReplyThatSeemedNoneIsReadAgain(t *testing.T) {
	const addr = "credential.coinify.trader"
	kept := func(w *world) bool {
		t.Helper()
		c, _, _, err := w.loop.Record(context.Background(), addr)
		if err != nil {
			t.Fatal(err)
		}
		return c.Raw != nil
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultEmpty, Header: map[string]string{"X-Access": "in-a-header", "X-Refresh": "another"}, Times: 1})
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, RetryAfter: time.Hour, Times: -1})
		w.set(inHeaders("", ""))
		time.Sleep(100 * time.Millisecond)
		if !kept(w) || w.line(addr).Orphans != 1 {
			t.Fatalf("kept %v: %+v", kept(w), w.line(addr))
		}
		asked := w.server.Counts(standin.Coinify).Requests
		w.halt() // so that nothing is tried again before the type was mended
		w.start()
		w.set(inHeaders("X-Access", "X-Refresh"))
		if err := w.loop.Do(context.Background(), addr, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := w.places.get("trader"); got != "in-a-header" {
			t.Errorf("the place holds %q: %+v", got, w.line(addr))
		}
		if l := w.line(addr); l.Orphans != 0 || l.State != reconcile.Ready || kept(w) {
			t.Errorf("%+v", l)
		}
		if n := w.server.Counts(standin.Coinify).Requests - asked; n > 1 {
			t.Errorf("%d requests more", n)
		}
	})
}

// A page of something on the way holds nothing up: a new token is obtained, by
// itself or when a person says so, and then the page is kept no more.
func TestAPageIsNoAnswer(t *testing.T) {
	const addr = "credential.coinify.trader"
	for _, ordered := range []bool{false, true} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultHTML, Times: 1})
			w.set(inHeaders("", ""))
			if ordered {
				time.Sleep(50 * time.Millisecond)
				if err := w.loop.Do(context.Background(), addr, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Minute)
			c, _, _, err := w.loop.Record(context.Background(), addr)
			if err != nil || c.Raw != nil || c.Orphans.Total() != 1 || !w.works(standin.Coinify, "trader") {
				t.Errorf("kept %v, %d orphans: %+v (%v)", c.Raw != nil, c.Orphans.Total(), w.line(addr), err)
			}
			// The same with a refresh: its token may be spent, so a new one is obtained.
			w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultHTML, Grant: "refresh_token", Times: 1})
			w.pass(time.Hour, time.Minute, func() {
				if !w.works(standin.Coinify, "trader") {
					t.Fatalf("the place holds a token that does not work: %+v", w.line(addr))
				}
			})
			c, _, _, err = w.loop.Record(context.Background(), addr)
			if n := w.server.Counts(standin.Coinify); err != nil || c.Raw != nil || n.Grants != 2 || n.Reuses != 0 {
				t.Errorf("kept %v, %d grants, %d reuses (%v)", c.Raw != nil, n.Grants, n.Reuses, err)
			}
		})
	}
}
