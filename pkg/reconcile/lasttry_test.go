package reconcile_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/standin"
)

// onceServer hands a token out for a login's code, and loses the reply to each refresh
// while lost is set; the reply to others cannot be read.
type onceServer struct {
	lost  atomic.Bool
	spent atomic.Int64 // how often the refresh token was sent
}

func (o *onceServer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	rw.Header().Set("Content-Type", "application/json")
	if r.PostForm.Has("refresh_token") {
		if o.spent.Add(1); o.lost.Load() {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(rw, `{"something":"else"}`)
		return
	}
	fmt.Fprint(rw, `{"access_token":"at-1","token_type":"Bearer","expires_in":3600,"refresh_token":"rt-1"}`)
}

const (
	onceCred = "credential.once.bot"
	onceHCL  = `
provider "once" { allow_insecure_http = true }
provider_type "once" {
  grant "login" {
    authorize { url = "http://once.localhost/login" }
    request {
      method = "POST"
      url    = "http://once.localhost/token"
      form   = { code = flow.code }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  refresh {
    rotates = true
    request {
      method = "POST"
      url    = "http://once.localhost/token"
      form   = { refresh_token = token.refresh_token }
    }
  }
}
credential "once" "bot" {}
`
)

// inDoubt is a world with a token for which only a person could log in, and whose
// refresh token may be spent.
func inDoubt(t *testing.T, test func(t *testing.T, w *world, o *onceServer)) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		o := &onceServer{}
		o.lost.Store(true)
		w.serveAlso(o, "once.localhost")
		w.set(onceHCL)
		if err := w.loop.Login(t.Context(), onceCred, reconcile.LoginCode{Flow: providers.Flow{Code: secret.New("the-code")}}); err != nil {
			t.Fatal(err)
		}
		w.pass(58*time.Minute, time.Minute, nil)
		if l := w.line(onceCred); l.State != reconcile.Indeterminate || o.spent.Load() != 1 {
			t.Fatalf("sent %d times; it is %+v", o.spent.Load(), l)
		}
		o.lost.Store(false)
		test(t, w, o)
	})
}

// A last try whose reply cannot be read was the last all the same: the refresh token is
// not sent again once a person gives that reply up.
func TestALastTryThatCannotBeReadWasTheLast(t *testing.T) {
	inDoubt(t, func(t *testing.T, w *world, o *onceServer) {
		w.pass(5*time.Minute, time.Second, nil)
		if l := w.line(onceCred); l.State != reconcile.Unread || o.spent.Load() != 2 {
			t.Fatalf("sent %d times; it is %+v", o.spent.Load(), l)
		}
		if err := w.loop.Do(t.Context(), onceCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
			t.Fatal(err)
		}
		w.pass(2*time.Hour, time.Second, nil)
		if l := w.line(onceCred); l.State != reconcile.NeedsLogin || o.spent.Load() != 2 || !strings.Contains(l.Mend, "tokend login") {
			t.Errorf("sent %d times; it is %+v", o.spent.Load(), l)
		}
	})
}

// While the API is away a last try is made again by the back-off, since none has
// reached it, also where a grant failed before; the one that reaches it is the last.
func TestALastTryIsBackedOff(t *testing.T) {
	const addr = "credential.coinify.trader"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		gone := w.awayWith(standin.Coinify)
		dial := w.dial
		w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			<-time.After(100 * time.Millisecond)
			return dial(ctx, network, address)
		}
		w.set(trader("a@example.com", ""))
		<-time.After(time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"})
		if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: reconcile.OrderRefresh}); err == nil {
			t.Fatal("the refresh was answered")
		}
		gone.set.Store(true)
		<-time.After(5 * time.Second)
		if gone.tried.Swap(0) == 0 {
			t.Fatal("no grant was tried")
		}
		w.set(strings.Replace(trader("b@example.com", ""), "grant ", "lifecycle { prevent_destroy = true }\n  grant ", 1))
		<-time.After(time.Second)
		expires := w.line(addr).ExpiresAt
		if l := w.line(addr); l.State != reconcile.Held || expires.IsZero() {
			t.Fatalf("it is %+v", l)
		}
		before := w.server.Counts(standin.Coinify)
		w.pass(time.Until(expires)+time.Hour, time.Second, nil)
		// From 1 s on each wait is twice as long as the one before, up to 30 s once the
		// token has expired, and a tenth of that at least.
		if n := gone.tried.Load(); n < 60*60/30 || n > 60*60/3 {
			t.Errorf("%d tries in an hour", n)
		}
		gone.set.Store(false)
		w.pass(10*time.Minute, time.Second, nil)
		after := w.server.Counts(standin.Coinify)
		if spent := after.Refreshes + after.Reuses - before.Refreshes - before.Reuses; spent != 1 || after.Grants != before.Grants {
			t.Errorf("before %+v, after %+v", before, after)
		}
	})
}

// disowning is an API that has a token checked, too: refused, once it disowns all.
type disowning struct {
	onceServer
	disowns, checks atomic.Int64
}

func (d *disowning) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch _ = r.ParseForm(); {
	case r.URL.Path == "/me":
		if d.checks.Add(1); d.disowns.Load() > 0 {
			rw.WriteHeader(http.StatusUnauthorized)
		}
	case r.PostForm.Has("refresh_token") && !d.lost.Load():
		d.spent.Add(1)
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(rw, `{"error":"invalid_grant"}`)
	default:
		d.onceServer.ServeHTTP(rw, r)
	}
}

// A token that the API has disowned is of no use any more, however long it would live:
// the last try does not wait for its end, nor does the need of a login.
func TestALastTryDoesNotWaitForATokenThatIsDisowned(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		d := &disowning{}
		d.lost.Store(true)
		w.serveAlso(d, "once.localhost")
		w.set(strings.Replace(onceHCL, `credential "once" "bot" {}`, `credential "once" "bot" {
  verify {
    path  = "/me"
    every = "5m"
  }
}`, 1))
		if err := w.loop.Login(t.Context(), onceCred, reconcile.LoginCode{Flow: providers.Flow{Code: secret.New("the-code")}}); err != nil {
			t.Fatal(err)
		}
		w.pass(45*time.Minute, time.Second, nil)
		l := w.line(onceCred)
		if l.State != reconcile.Indeterminate || d.spent.Load() != 1 || time.Until(l.ExpiresAt) < 10*time.Minute {
			t.Fatalf("sent %d times; it is %+v", d.spent.Load(), l)
		}
		d.lost.Store(false)
		d.disowns.Store(1)
		w.pass(6*time.Minute, time.Second, nil)
		if l := w.line(onceCred); l.State != reconcile.NeedsLogin || d.spent.Load() != 2 {
			t.Errorf("sent %d times, checked %d times; %s before its end it is %+v", d.spent.Load(), d.checks.Load(), time.Until(l.ExpiresAt), l)
		}
		w.pass(time.Hour, time.Second, nil)
		if d.spent.Load() != 2 {
			t.Errorf("its refresh token was sent %d times", d.spent.Load())
		}
	})
}
