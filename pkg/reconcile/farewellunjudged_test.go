package reconcile_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// based are traders whose provider takes its address from a secret of a name.
func based(t *testing.T, text, secret string) string {
	t.Helper()
	const from = `base_url            = "http://coinify.localhost"`
	if !strings.Contains(text, from) {
		t.Fatal("the address stands elsewhere")
	}
	text = strings.Replace(text, from, "base_url = nonsensitive(secret.mem."+secret+".value)", 1)
	return text + "\nsecret \"mem\" \"" + secret + "\" { value = \"http://coinify.localhost\" }\n"
}

// A stop revokes only what the guard has let go: also where nothing could be looked at
// when the change came, since the provider is named by a secret that cannot be read.
func TestAStopRevokesNothingThatWasNotJudged(t *testing.T) {
	const guard = "max_revocations = 3\nmax_revoked_percent = 100\nsettle = \"1s\""
	for name, c := range map[string]struct {
		names    string
		readable time.Duration // after the change; 0: only once the daemon stops
		crash    bool
		approve  bool
		held     bool
		revoked  int
	}{
		"never readable":             {"a b c d e f", 0, false, false, false, 0},
		"never readable, few":        {"a b", 0, false, false, false, 0},
		"readable later":             {"a b c d e f", time.Minute, false, false, true, 0},
		"readable after a crash":     {"a b c d e f", time.Minute, true, false, true, 0},
		"readable later, approved":   {"a b c d e f", time.Minute, false, true, false, 6},
		"readable later, few enough": {"a b c", time.Minute, false, false, false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(based(t, traders(guard, "x", c.names, ""), "base"))
				time.Sleep(time.Minute)
				w.unreadable.Store(true)
				ending := based(t, endingTraders(guard, c.names, c.names), "other")
				if held := w.set(ending); held != nil {
					t.Fatalf("held: %+v", held)
				}
				time.Sleep(time.Minute)
				if c.crash {
					w.crash()
					w.set(ending)
				}
				time.Sleep(c.readable)
				w.unreadable.Store(c.readable == 0)
				time.Sleep(10 * time.Minute)
				if c.approve {
					held, err := w.loop.Held(context.Background())
					if err != nil || held == nil || len(held.Revocations) != 6 {
						t.Fatalf("held: %+v (%v)", held, err)
					}
					if err := w.loop.Approve(context.Background(), held); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Minute)
				}
				if l := w.line(`credential.coinify.trader["a"]`); (l.State == reconcile.Held) != c.held {
					t.Errorf("%+v", l)
				}
				w.unreadable.Store(false)
				w.halt()
				if n := w.revocations(); n != c.revoked {
					t.Errorf("%d revoked at the stop", n)
				}
				w.start()
			})
		})
	}
}

// What a type could not revoke was not judged as something that a stop revokes: that
// it can from now on is a change that the guard sees.
func TestAStopRevokesNothingThatCouldNotBeRevokedWhenJudged(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		x := &pages{refusal: http.StatusForbidden, revoked: "{}", life: 24 * 60 * 60}
		w.serveAlso(x, "pages.localhost")
		const guard = "tokend {\n guard {\n max_revocations = 0\n settle = \"1s\"\n }\n}\n"
		can := guard + x.config("a@example.com", "false")
		can = strings.Replace(can, `{ email = "a@example.com" }`, "{\n email = \"a@example.com\"\n lifecycle { revoke_on_shutdown = true }\n}", 1)
		from, to := strings.Index(can, "  revoke {"), strings.Index(can, "credential \"pages\"")
		cannot := can[:from] + "}\n" + can[to:]
		if held := w.set(cannot); held != nil {
			t.Fatalf("held: %+v", held)
		}
		time.Sleep(time.Minute)
		if held := w.set(can); held == nil || len(held.Revocations) != 1 {
			t.Errorf("held: %+v", held)
		}
		time.Sleep(time.Minute)
		w.halt()
		if n := x.revocations.Load(); n != 0 {
			t.Errorf("%d revoked at the stop", n)
		}
		w.start()
	})
}

// What a push says of how a credential goes counts from when it was looked at: where
// it allows the removal, and nothing can be looked at, the next push's removal is held
// by what the record says, and none is forgotten that was to be revoked.
func TestARemovalGoesByWhatWasRecorded(t *testing.T) {
	const guard = "max_revocations = 100\nmax_revoked_percent = 100\nsettle = \"1s\""
	with := func(t *testing.T, names, lifecycle, secret string) string {
		t.Helper()
		text := traders(guard, "x", names, "")
		return based(t, strings.Replace(text, "  partner_id =", "  lifecycle { "+lifecycle+" }\n  partner_id =", 1), secret)
	}
	for name, c := range map[string]struct {
		before, after string
		readable      bool
		revoked       int
	}{
		"protected, the change is seen":     {"prevent_destroy = true", "prevent_destroy = false", true, 1},
		"protected, the change is not seen": {"prevent_destroy = true", "prevent_destroy = false", false, 0},
		"protected since, which is unseen":  {"prevent_destroy = false", "prevent_destroy = true", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(with(t, "a b", c.before, "base"))
				time.Sleep(time.Minute)
				w.unreadable.Store(!c.readable)
				w.set(with(t, "a b", c.after, "other"))
				time.Sleep(time.Minute)
				w.set(with(t, "b", c.after, "other"))
				time.Sleep(time.Minute)
				w.unreadable.Store(false)
				time.Sleep(10 * time.Minute)
				if n := w.revocations(); n != c.revoked {
					t.Errorf("%d revoked: %+v", n, w.line(`credential.coinify.trader["b"]`))
				}
			})
		})
	}
}
