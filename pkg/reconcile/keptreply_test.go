package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A refresh whose reply could not be read is overtaken by the next, where the
// removal of its credential is held and it lives on meanwhile: what is kept is
// older then than what is in force, and does not follow it.
func TestARefreshOutdatesAKeptReply(t *testing.T) {
	const addr = "credential.coinify.trader"
	o := strict()
	o.Rules = standin.Rules{Rotate: standin.RotateKeep}
	inWorld(t, o, func(t *testing.T, w *world) {
		keeps := strings.Replace(replaying(t, "1s"), `rotates        = "observe"`, "rotates = false", 1)
		w.set(strings.Replace(trader("a@example.com", keeps), "  partner_id", "  lifecycle { prevent_destroy = true }\n  partner_id", 1))
		<-time.After(time.Minute)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultGarbage, Grant: "refresh_token"})
		if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: reconcile.OrderRefresh}); err == nil {
			t.Fatal("the reply could be read")
		}
		w.set("")
		<-time.After(24 * time.Hour)
		rec, _, _, err := w.loop.Record(t.Context(), addr)
		if err != nil || rec.Raw != nil || rec.Orphans.Total() != 1 || rec.Grant == nil || !rec.Grant.ExpiresAt.After(time.Now()) {
			t.Errorf("%v: a reply is kept: %v; %d orphans; it has a token: %v", err, rec.Raw != nil, rec.Orphans.Total(), rec.Grant != nil)
		}
	})
}

// After a crash it is not known whether the hooks of the last write have run: they
// run, also where the place answers only after a while.
func TestAPlaceThatIsAwayAfterACrashIsToldOf(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const addr = "credential.coinify.trader"
		w.set(trader("a@example.com", ""))
		<-time.After(time.Minute)
		first := w.places.get("trader")
		if err := w.loop.Do(t.Context(), addr, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		w.until("the next token is there", func() bool { return w.places.get("trader") != first })
		w.crash()
		w.places.failWith(errors.New("it is away"))
		w.set(trader("a@example.com", ""))
		<-time.After(100 * time.Millisecond)
		w.places.failWith(nil)
		<-time.After(time.Minute)
		if n := strings.Count(w.places.events(), "hook:1"); n != 2 {
			t.Errorf("hooks have run %d times, want 2: %s", n, w.places.events())
		}
		<-time.After(10 * time.Minute)
		if n := strings.Count(w.places.events(), "hook:1"); n != 2 {
			t.Errorf("later hooks have run %d times, want 2: %s", n, w.places.events())
		}
	})
}

// A login's reply that cannot be read may be a refusal in a form that nobody knows:
// giving it up for another try, again and again, locks no account either.
func TestKeptRepliesThatAreGivenUpCountAgainstAnAccount(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(misread("token"))
		<-time.After(time.Minute)
		for range 3 {
			if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
		}
		if n := w.server.Counts(standin.Coinify).Grants; n != 3 {
			t.Errorf("the account was asked %d times in a row, want 3", n)
		}
		<-time.After(15 * time.Minute)
		if n := w.server.Counts(standin.Coinify).Grants; n != 4 {
			t.Errorf("a quarter of an hour later it was asked %d times, want 4", n)
		}
	})
}

// What a kept reply brought that was on its way while the machine slept counts from
// its request, and may be younger.
func TestAKeptReplyThatWasSleptOver(t *testing.T) {
	const asleep = 40 * time.Minute
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.restartBySteppedClock()
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultDelay, Delay: 10 * time.Second})
		w.set(misread("token"))
		<-time.After(5 * time.Second)
		w.slept.Add(int64(asleep))
		w.wrong.Add(int64(asleep))
		<-time.After(10 * time.Second)
		if l := w.line(traderCred); l.State != reconcile.Unread {
			t.Fatalf("it is %+v", l)
		}
		w.crash()
		w.down.Store(true) // what was read is not renewed at once
		w.set(misread("access_token"))
		if err := w.loop.Do(t.Context(), traderCred, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Fatal(err)
		}
		rec, _, _, err := w.loop.Record(t.Context(), traderCred)
		if err != nil || rec.Grant == nil {
			t.Fatalf("it has no token (%v); it is %+v", err, w.line(traderCred))
		}
		now := w.clock()()
		if end := rec.Grant.ExpiresAt; end.After(now) || end.Add(rec.Grant.Late).Before(now) {
			t.Errorf("at %s its token has ended at %s, or %s later", now, end, rec.Grant.Late)
		}
	})
}
