package reconcile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers/catalog"
	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A sink that changes again while its hook runs has the hook run once more: the
// run under way may have looked before the change.
func TestAHookRunsAgainForWhatChangedWhileItRan(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.places.slow = time.Minute
		w.set(trader("a@example.com", ""))
		time.Sleep(10 * time.Second) // the hook runs
		if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if got := w.places.events(); got != "write:trader write:trader hook:1 hook:1" {
			t.Errorf("events %s", got)
		}
		if !w.works(standin.Coinify, "trader") {
			t.Error("the place holds a token that does not work")
		}
	})
}

// What the guard has let go ahead once is not let go ahead for ever.
func TestTheGuardJudgesEveryChangeAnew(t *testing.T) {
	guarded := "tokend {\n guard { max_revocations = 1 }\n}"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", guarded))
		time.Sleep(time.Second)
		if held := w.set(trader("b@example.com", guarded)); held != nil {
			t.Fatalf("held %+v", held)
		}
		time.Sleep(5 * time.Minute)
		if held := w.set(trader("c@example.com", guarded)); held == nil {
			t.Error("a second replacement within the hour was not held")
		}
		time.Sleep(5 * time.Minute)
		if n := w.server.Counts(standin.Coinify).Grants; n != 2 {
			t.Errorf("%d grants", n)
		}
	})
}

// That a replacement was let go ahead does not let another address be asked.
func TestAnotherAddressNeedsAPersonWhateverWasAllowed(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.down.Store(true)
		w.set(trader("b@example.com", "")) // allowed, and cannot begin
		time.Sleep(time.Minute)
		held := w.set(strings.Replace(trader("b@example.com", ""), "http://coinify", "http://apirone", 1))
		if held == nil || !strings.Contains(held.Reason, "another address") {
			t.Errorf("held %+v", held)
		}
	})
}

// A block that comes back while its removal is under way is removed, the next
// time, like any other: judged, and after its sinks.
func TestABlockThatComesBackIsRemovedInOrderAgain(t *testing.T) {
	const last = "tokend {\n guard { settle = \"1s\" }\n}\nprovider \"apirone\" {\n base_url = \"http://apirone.localhost\"\n allow_insecure_http = true\n}\nsecret \"mem\" \"other\" { value = \"x\" }\ncredential \"apirone\" \"other\" {\n grant = \"login\"\n login = \"apr-1\"\n password = secret.mem.other.value\n}"
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", last))
		time.Sleep(time.Second)
		w.places.failWith(errors.New("read-only"))
		w.set(last)
		time.Sleep(time.Minute) // its removal waits for the place
		w.set(trader("a@example.com", last))
		w.places.failWith(nil)
		time.Sleep(2 * time.Hour)
		if !w.works(standin.Coinify, "trader") {
			t.Fatal("the place holds a token that does not work")
		}
		w.places.failWith(errors.New("read-only"))
		w.set(last)
		time.Sleep(10 * time.Minute)
		if w.server.Counts(standin.Coinify).Revocations != 0 {
			t.Error("the token was revoked while its place still held it")
		}
	})
}

// After a restart a sink that cannot be looked at may still hold the old token.
func TestASinkThatCannotBeLookedAtMayHoldTheOldToken(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.places.failWith(errors.New("read-only"))
		w.set(trader("b@example.com", ""))
		time.Sleep(10 * time.Second)
		w.crash()
		w.places.breakWith(errors.New("cannot render"))
		w.set(trader("b@example.com", ""))
		time.Sleep(time.Second)
		_ = w.loop.Wake(t.Context(), []string{"credential.coinify.trader"})
		time.Sleep(10 * time.Minute)
		if w.server.Counts(standin.Coinify).Revocations != 0 {
			t.Error("the old token was revoked while its place still held it")
		}
	})
}

// A replay that the provider does not take leaves the refresh as unknown as it
// was: its refresh token may be spent, and is not taken for a good one.
func TestAReplayThatIsTurnedAwayForgetsNothing(t *testing.T) {
	own, err := catalog.FS.ReadFile("coinify.hcl")
	if err != nil {
		t.Fatal(err)
	}
	replays := strings.Replace(string(own), "  refresh {", "  refresh {\n    replay_window = \"1h\"", 1)
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", replays))
		time.Sleep(time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultLost, Grant: "refresh_token"})
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultThrottle, Grant: "refresh_token", RetryAfter: time.Minute})
		for range 2000 {
			if w.server.Counts(standin.Coinify).Faulted > 1 {
				break
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		_, intent, _, err := w.loop.Record(t.Context(), "credential.coinify.trader")
		if err != nil || intent == nil || intent.Replay {
			t.Errorf("the intent of the lost refresh is %+v, %v", intent, err)
		}
	})
}

// A password that was refused for good is not sent again because the token that
// is held was refreshed, or could not be, in between.
func TestARefusedReplacementOutlivesRefreshes(t *testing.T) {
	o := strict()
	o.Accounts = []standin.Account{{API: standin.Coinify, Login: "b@example.com", Password: "another"}}
	inWorld(t, o, func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.set(trader("b@example.com", "")) // with the wrong password
		w.pass(6*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultStatus, Status: 503, Grant: "refresh_token", Times: 3})
		time.Sleep(2 * time.Hour)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Grant: "refresh_token"})
		time.Sleep(2 * time.Hour)
		if n := w.server.Counts(standin.Coinify).RefusedLogins; n != 1 {
			t.Errorf("the wrong password was sent %d times", n)
		}
	})
}

// A revocation that has to wait for long does not keep the token in force from
// its refresh.
func TestAWaitingRevocationDelaysNoRefresh(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultThrottle, Path: "/auth/revoke", RetryAfter: 3 * time.Hour})
		w.set(trader("b@example.com", ""))
		w.pass(2*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		if w.server.Counts(standin.Coinify).Faulted != 1 {
			t.Error("no revocation was turned away")
		}
	})
}

// A hook that goes while it has something to tell tells it as it was declared.
func TestAHookThatGoesStillTells(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(500 * time.Millisecond) // written, and the hook waits for more
		own := strings.Replace(trader("a@example.com", ""), "  notify  = [hook.mem.tell]\n", "", 1)
		w.set(strings.Replace(own, "hook \"mem\" \"tell\" {}\n", "", 1))
		time.Sleep(time.Minute)
		if got := w.places.events(); got != "write:trader hook:1" && got != "write:trader write:trader hook:1" {
			t.Errorf("events %s", got)
		}
	})
}

// A sink that is moved to where the right value is already gives up its earlier
// place all the same.
func TestASinkThatMovesCleansItsEarlierPlace(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(5 * time.Second)
		w.places.mu.Lock()
		w.places.held["elsewhere"] = w.places.held["trader"] // a crash came before the record
		w.places.mu.Unlock()
		w.set(strings.Replace(trader("a@example.com", ""), `place   = "trader"`, `place   = "elsewhere"`, 1))
		time.Sleep(time.Minute)
		if w.places.get("trader") != "" || !w.works(standin.Coinify, "elsewhere") {
			t.Errorf("the earlier place holds %q", w.places.get("trader"))
		}
	})
}

// A removal waits for quiet for as long as the files go on changing, also into
// what cannot be used.
func TestARemovalWaitsWhileTheFilesChange(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		other := "secret \"mem\" \"a\" { value = \"a\" }\n"
		keep := strings.Replace(strings.Replace(trader("k@example.com", ""), `"trader"`, `"keeper"`, -1), "coinify.trader", "coinify.keeper", -1)
		both := keep + `
credential "coinify" "trader" {
  grant      = "password"
  email      = "a@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`
		w.set(both)
		time.Sleep(time.Second)
		w.set(keep)
		time.Sleep(8 * time.Second)
		w.set(keep + other)
		time.Sleep(8 * time.Second)
		if err := w.loop.Disturbed(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Second)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 0 {
			t.Errorf("%d revocations while the files changed", n)
		}
		time.Sleep(8 * time.Second)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
			t.Errorf("%d revocations after they were quiet", n)
		}
	})
}

// A directory that declares no credential any more waits for a person also
// where nothing would be revoked.
func TestAnEmptiedDirectoryForgetsNothingUnasked(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(strings.Replace(trader("a@example.com", ""), "  partner_id", "  lifecycle { on_remove = \"forget\" }\n  partner_id", 1))
		time.Sleep(time.Second)
		if held := w.set(""); held == nil {
			t.Error("nothing was held")
		}
		time.Sleep(time.Hour)
		if !w.works(standin.Coinify, "trader") {
			t.Error("the place holds a token that does not work")
		}
	})
}
