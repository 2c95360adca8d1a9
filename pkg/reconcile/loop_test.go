package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// trader is a configuration with one Coinify trader, delivered to one place.
func trader(email, more string) string {
	return fmt.Sprintf(`
provider "coinify" {
  base_url            = "http://coinify.localhost"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "a-password" }
credential "coinify" "trader" {
  grant      = "password"
  email      = %q
  partner_id = "p"
  password   = secret.mem.pw.value
}
hook "mem" "tell" {}
sink "mem" "trader" {
  place   = "trader"
  content = credential.coinify.trader.access_token
  notify  = [hook.mem.tell]
}
%s`, email, more)
}

func strict() standin.Options {
	return standin.Options{Rules: standin.Rules{Rotate: standin.RotateSingleUse, DetectReuse: true}}
}

// A day of a token with single-use refresh tokens: the place never holds one
// that does not work, nothing is used twice, one login is enough.
func TestADayOfRefreshes(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.pass(24*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		c := w.server.Counts(standin.Coinify)
		if c.Grants != 1 || c.Reuses != 0 || c.Refreshes < 24*3 || c.Refreshes > 24*6 {
			t.Errorf("grants %d, refreshes %d, reuses %d", c.Grants, c.Refreshes, c.Reuses)
		}
	})
}

// A reply that is lost after the provider rotated heals by the grant: nothing
// is used twice, and what may have been issued is counted.
func TestALostReplyHealsByTheGrant(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"})
		w.pass(time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		c := w.server.Counts(standin.Coinify)
		if c.Grants != 2 || c.Reuses != 0 {
			t.Errorf("grants %d, reuses %d", c.Grants, c.Reuses)
		}
		if n := w.line("credential.coinify.trader").Orphans; n != 1 {
			t.Errorf("%d orphans are counted", n)
		}
		w.halt()
		w.start()
		if n := w.line("credential.coinify.trader").Orphans; n != 1 {
			t.Errorf("%d orphans are counted after a restart, before anything is looked at", n)
		}
	})
}

// A crash between the provider's answer and the disk: the same.
func TestACrashBeforeTheCommitHealsByTheGrant(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultDelay, Grant: "refresh_token", Delay: 10 * time.Second})
		for w.server.Counts(standin.Coinify).Faulted == 0 {
			time.Sleep(time.Second)
		}
		w.crash()
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		c := w.server.Counts(standin.Coinify)
		if !w.works(standin.Coinify, "trader") || c.Reuses != 0 || c.Grants != 2 {
			t.Errorf("works %v, grants %d, reuses %d", w.works(standin.Coinify, "trader"), c.Grants, c.Reuses)
		}
	})
}

// A wrong password is sent once, and again only when a person says so or it
// changes.
func TestARefusedPasswordIsSentOnce(t *testing.T) {
	o := strict()
	o.Accounts = []standin.Account{{API: standin.Coinify, Login: "a@example.com", Password: "another"}}
	inWorld(t, o, func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(48 * time.Hour)
		if n := w.server.Counts(standin.Coinify).RefusedLogins; n != 1 {
			t.Errorf("the wrong password was sent %d times", n)
		}
		l := w.line("credential.coinify.trader")
		if l.State != reconcile.Stopped || !strings.Contains(l.Mend, "tokend retry coinify.trader") || strings.Contains(l.Why, "a-password") {
			t.Errorf("status %+v", l)
		}
		if err := w.loop.Do(context.Background(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRetry}); err == nil {
			t.Error("a retry with the wrong password succeeded")
		}
		w.set(strings.Replace(trader("a@example.com", ""), "a-password", "another", 1))
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.RefusedLogins != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("refused %d times; works %v", c.RefusedLogins, w.works(standin.Coinify, "trader"))
		}
	})
}

// An order is worth one call: where its reply is lost, what follows waits its
// time like any other try, or a person's retry would lock an account.
func TestAnOrderIsWorthOneCall(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		lost := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Times: 1000})
		defer lost.Release()
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Hour)
		before := w.server.Counts(standin.Coinify).Grants
		err := w.loop.Do(context.Background(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRetry})
		if err == nil {
			t.Error("a retry whose reply was lost succeeded")
		}
		time.Sleep(time.Second)
		if n := w.server.Counts(standin.Coinify).Grants - before; n != 1 {
			t.Errorf("a person's retry sent the password %d times", n)
		}
	})
}

// The same of a refresh: where a server answers with web pages, a person's orders
// send a refresh token that works once a time each, and not on and on.
func TestOrdersSendARefreshTokenOnceEach(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		before := w.server.Counts(standin.Coinify).Requests
		pages := w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultHTML, Times: -1})
		defer pages.Release()
		for _, kind := range []reconcile.OrderKind{reconcile.OrderRefresh, reconcile.OrderRefresh, reconcile.OrderRetry} {
			if err := w.loop.Do(context.Background(), "credential.coinify.trader", reconcile.Order{Kind: kind}); err == nil {
				t.Errorf("%s succeeded", kind)
			}
		}
		time.Sleep(time.Second)
		if n := w.server.Counts(standin.Coinify).Requests - before; n > 6 { // a replay or a login may follow by itself
			t.Errorf("three orders sent %d requests", n)
		}
	})
}

// A replacement: the new token, the sink, the hook, the overlap, and only then
// the old one's end.
func TestReplacementKeepsTheOrder(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(10 * time.Second)
		old := w.places.get("trader")
		w.set(trader("b@example.com", ""))
		time.Sleep(20 * time.Second)
		if got := w.places.get("trader"); got == old || !w.works(standin.Coinify, "trader") {
			t.Fatal("the new token is not in its place")
		}
		if n := w.server.Counts(standin.Coinify).Revocations; n != 0 {
			t.Errorf("the old token was revoked within its overlap")
		}
		time.Sleep(20 * time.Second)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
			t.Errorf("%d revocations after the overlap", n)
		}
		if got, want := w.places.events(), "write:trader hook:1 write:trader hook:1"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// An old token is not revoked while a sink still holds it.
func TestASinkThatCannotBeWrittenKeepsTheOldToken(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(10 * time.Second)
		w.places.failWith(errors.New("the place is read-only"))
		w.set(trader("b@example.com", ""))
		time.Sleep(50 * time.Minute)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 0 {
			t.Errorf("the old token was revoked while a sink holds it")
		}
		if l := w.line("sink.mem.trader"); l.State != reconcile.Failing || !strings.Contains(l.Why, "read-only") {
			t.Errorf("status of the sink: %+v", l)
		}
		w.places.failWith(nil)
		time.Sleep(3 * time.Minute)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
			t.Errorf("%d revocations after the sink was written", n)
		}
	})
}

// A removal: the sink, its hook, the revocation; also when the file is empty
// of everything but another credential.
func TestRemovalKeepsTheOrder(t *testing.T) {
	other := `
credential "coinify" "other" {
  grant      = "password"
  email      = "o@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", other))
		time.Sleep(time.Minute)
		w.set(`
provider "coinify" {
  base_url            = "http://coinify.localhost"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "a-password" }` + other)
		time.Sleep(5 * time.Second)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 0 || w.places.get("trader") == "" {
			t.Error("the removal did not wait for the files to settle")
		}
		time.Sleep(time.Minute)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 || w.places.get("trader") != "" {
			t.Errorf("%d revocations, the place holds %q", n, w.places.get("trader"))
		}
		if got, want := w.places.events(), "write:trader hook:1 remove:trader hook:1"; got != want {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// A provider that is away for hours: the token is fresh within 35 seconds of
// its return, though the back-off had grown to minutes.
func TestFreshSoonAfterAnOutage(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		w.down.Store(true)
		time.Sleep(5 * time.Hour)
		w.down.Store(false)
		time.Sleep(35 * time.Second)
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("35 s after the provider came back the place holds a token that does not work: %+v", w.line("credential.coinify.trader"))
		}
	})
}

// A provider that stalls, with more credentials than it has requests in
// flight, delays nobody else.
func TestAStalledProviderDelaysNobodyElse(t *testing.T) {
	stalled := `
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
credential "apirone" "stuck" {
  for_each = toset([for i in range(1000) : "apr-${i}"])
  grant    = "login"
  login    = each.key
  password = secret.mem.pw.value
}`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Apirone, Kind: standin.FaultStall, Times: -1})
		w.set(trader("a@example.com", stalled))
		time.Sleep(time.Second)
		w.pass(2*time.Hour, 10*time.Second, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		w.server.ClearFaults()
	})
}

// Many tokens that end in the same second, under a rate limit: the limit is
// kept, and no place holds a token that does not work.
func TestARateLimitIsKept(t *testing.T) {
	many := `
provider "coinify" {
  base_url            = "http://coinify.localhost"
  allow_insecure_http = true
  rate_limit {
    requests = 10
    per      = "1s"
  }
}
secret "mem" "pw" { value = "a-password" }
credential "coinify" "trader" {
  for_each   = toset([for i in range(300) : "t${i}"])
  grant      = "password"
  email      = "${each.key}@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}
sink "mem" "trader" {
  for_each = credential.coinify.trader
  place    = each.key
  content  = each.value.access_token
}`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(many)
		time.Sleep(40 * time.Second)
		w.pass(time.Hour, 30*time.Second, func() {
			for i := range 300 {
				if !w.works(standin.Coinify, fmt.Sprintf("t%d", i)) {
					t.Fatalf("at %s place t%d holds a token that does not work", time.Now(), i)
				}
			}
		})
		if c := w.server.Counts(standin.Coinify); c.PeakPerSecond > 11 {
			t.Errorf("%d requests in one second, the limit is 10", c.PeakPerSecond)
		}
	})
}

// A reply that cannot be read is kept, and read again once a person says so.
func TestAnUnreadableReplyIsKept(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultWrongTypes, Grant: "refresh_token"})
		time.Sleep(15 * time.Minute)
		l := w.line("credential.coinify.trader")
		if l.State != reconcile.Unread || l.Mend != "mend the provider type, then: tokend retry coinify.trader" {
			t.Errorf("status %+v", l)
		}
		if c := w.server.Counts(standin.Coinify); c.Reuses != 0 || c.Grants != 1 {
			t.Errorf("reuses %d, grants %d", c.Reuses, c.Grants)
		}
		// No person is needed for a login, so none is waited for until the token
		// held ends.
		w.pass(2*time.Hour, 10*time.Second, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		if c, l := w.server.Counts(standin.Coinify), w.line("credential.coinify.trader"); c.Reuses != 0 || c.Grants != 2 || l.State != reconcile.Ready || l.Orphans != 1 {
			t.Errorf("reuses %d, grants %d, status %+v", c.Reuses, c.Grants, l)
		}
	})
}

// Orders are carried out and answered.
func TestOrders(t *testing.T) {
	const addr = "credential.coinify.trader"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		do := func(o reconcile.Order) error { return w.loop.Do(context.Background(), addr, o) }
		if err := do(reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Error(err)
		}
		if c := w.server.Counts(standin.Coinify); c.Refreshes != 1 {
			t.Errorf("%d refreshes", c.Refreshes)
		}
		if err := do(reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if c := w.server.Counts(standin.Coinify); c.Revocations != 1 || c.Grants != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("after a revocation: %+v", c)
		}
		if err := do(reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 3 || c.Revocations != 2 {
			t.Errorf("after a taint: %+v", c)
		}
		var missing *reconcile.NotFoundError
		if err := w.loop.Do(context.Background(), "credential.coinify.tradre", reconcile.Order{Kind: reconcile.OrderRetry}); !errors.As(err, &missing) || missing.Near != addr {
			t.Errorf("an address with a slip: %v", err)
		}
	})
}

// An approval is for the change that was shown, once.
func TestAnApprovalIsSpent(t *testing.T) {
	all := func(n int) string {
		return traders(`settle = "1s"`, "example.com", "a b c d e f"[:2*n-1], "")
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(all(6))
		time.Sleep(time.Minute)
		held := w.set(all(3))
		if held == nil || len(held.Revocations) != 3 {
			t.Fatalf("held %+v", held)
		}
		other := *held
		other.Revocations = other.Revocations[:2]
		if err := w.loop.Approve(context.Background(), &other); !errors.Is(err, reconcile.ErrChanged) {
			t.Errorf("another change than the one held was approved: %v", err)
		}
		if err := w.loop.Approve(context.Background(), held); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 3 {
			t.Fatalf("%d revocations after the approval", n)
		}
		w.set(all(6))
		time.Sleep(2 * time.Hour)
		if held := w.set(all(3)); held == nil {
			t.Error("an approval of hours ago let the same removal go ahead again")
		}
	})
}
