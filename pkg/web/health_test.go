package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/reconcile"
)

func TestLivez(t *testing.T) {
	for _, c := range []struct {
		name   string
		turned time.Time
		later  time.Duration // after the handler was made
		want   int
		body   string
	}{
		{"just now", noon(), 0, 200, "ok\n"},
		{"at the bound", noon(), 90 * time.Second, 200, "ok\n"},
		{"beyond the bound", noon(), 2 * time.Minute, 503,
			"the reconcile loop has made no progress for 2m0s, since 2026-10-12T12:00:00Z; it should at least every 1m30s\n"},
		{"not begun", time.Time{}, time.Minute, 200, "ok\n"},
		{"never begun", time.Time{}, time.Hour, 503,
			"the reconcile loop has made no progress for 1h0m0s, since 2026-10-12T12:00:00Z; it should at least every 1m30s\n"},
		{"the clock was set back while it hangs", noon().Add(time.Hour), 0, 503,
			"the reconcile loop has made no progress for 1h0m0s, since 2026-10-12T13:00:00Z; it should at least every 1m30s\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := noon()
			src := healthy()
			src.turned = c.turned
			h := Handler(Options{Source: src, Now: func() time.Time { return now }})
			now = now.Add(c.later)
			w := get(t, h, "/livez")
			if w.Code != c.want || w.Body.String() != c.body {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, c.want, c.body)
			}
			if n := src.asked.Load(); n != 0 {
				t.Errorf("liveness waited for the loop %d times", n)
			}
		})
	}
}

func TestReadyz(t *testing.T) {
	for _, c := range []struct {
		name string
		path string
		is   func(*fakeSource)
		want int
		body string
	}{
		{"ready", "/readyz", func(*fakeSource) {}, 200, "ready\n"},
		{"ready, verbose", "/readyz?verbose", func(*fakeSource) {}, 200, lines(
			"ready",
			`credential.coinify.trader["alice"]: ready, generation 7, expires 2026-10-12T13:00:00Z (in 1h0m0s), refresh at 2026-10-12T12:40:00Z`,
			`credential.apirone.key: ready, generation 1`,
			`sink.file.trader["alice"]: ready`,
			`hook.exec.nginx: ready`,
			"note: the configuration was read from /etc/tokend at 2026-10-12T11:00:00Z",
			"note: the state has serial 42, 3 records, 0 open intents",
		)},
		{"ready, and something is to be known", "/readyz?verbose", func(f *fakeSource) {
			f.view.Credentials, f.view.Sinks, f.view.Hooks = f.view.Credentials[1:], nil, nil
			f.view.Credentials[0].Why, f.view.Credentials[0].Mend = "obtaining a new token is stopped", "tokend retry apirone.key"
		}, 200, lines(
			"ready",
			`credential.apirone.key: ready, generation 1, but obtaining a new token is stopped; run: tokend retry apirone.key`,
			"note: the configuration was read from /etc/tokend at 2026-10-12T11:00:00Z",
			"note: the state has serial 42, 3 records, 0 open intents",
		)},
		{"one fails", "/readyz", func(f *fakeSource) { f.failing() }, 503, lines(
			"not ready: 1 of 4 addresses",
			`credential.coinify.trader["alice"]: failing since 2026-10-12T11:55:00Z (5m0s): the API answered 503; tried again at 2026-10-12T12:01:00Z; run: tokend retry 'coinify.trader["alice"]'`,
		)},
		{"a sink, a hook and a person", "/readyz", func(f *fakeSource) {
			f.view.Ready = false
			f.view.Credentials[1].State, f.view.Credentials[1].Mend = reconcile.NeedsLogin, "tokend login apirone.key"
			f.view.Sinks[0].State, f.view.Sinks[0].Why = reconcile.Waiting, "for credential.apirone.key"
			f.view.Hooks[0].State, f.view.Hooks[0].Why = reconcile.Failing, "exit status 1"
		}, 503, lines(
			"not ready: 3 of 4 addresses",
			"credential.apirone.key: needs_login; run: tokend login apirone.key",
			`sink.file.trader["alice"]: waiting: for credential.apirone.key`,
			"hook.exec.nginx: failing: exit status 1",
		)},
		{"a message with lines of its own", "/readyz", func(f *fakeSource) {
			f.failing()
			f.view.Credentials[0].Why = "bad\r\nready\x1b[2J\u2028x\u202ey"
			f.view.Credentials[0].Next, f.view.Credentials[0].Mend = "", ""
		}, 503, lines(
			"not ready: 1 of 4 addresses",
			`credential.coinify.trader["alice"]: failing since 2026-10-12T11:55:00Z (5m0s): bad  ready [2J x y`,
		)},
		{"first pass", "/readyz", func(f *fakeSource) { f.view.FirstPass = false }, 503, lines(
			"not ready", "the first pass over all addresses is not over yet")},
		{"first pass, and how far it has come", "/readyz", func(f *fakeSource) { f.view.FirstPass, f.view.Unseen = false, 2 }, 503, lines(
			"not ready", "the first pass over all addresses is not over yet (2 left)")},
		{"state", "/readyz", func(f *fakeSource) { f.view.Ready, f.view.Store.Error = false, "no space left on device" }, 503, lines(
			"not ready", "the state takes no writes: no space left on device")},
		{"a repository that is gone", "/readyz", func(f *fakeSource) {
			f.config.Commit, f.config.Git = "c0ffee", &Git{URL: "https://git.example/tokens", Ref: "main", CheckedAt: noon().Add(-50 * time.Hour), Failing: true}
		}, 200, lines(
			"ready",
			"note: main of https://git.example/tokens is not followed: it answered last at 2026-10-10T10:00:00Z; commit c0ffee stays in force; run: tokend status",
		)},
		{"no configuration yet", "/readyz", func(f *fakeSource) { f.config = Configuration{} }, 503, lines(
			"not ready", "no configuration is in force: it has not been read yet")},
		{"a broken one and none before", "/readyz/apirone.key", func(f *fakeSource) {
			f.config = Configuration{Errors: 1, Source: "/etc/tokend"}
		}, 503, lines("not ready", "no configuration is in force: /etc/tokend has 1 error; run: tokend validate")},
		{"a broken one changes nothing", "/readyz", func(f *fakeSource) { f.config.Valid, f.config.Errors = false, 3 }, 200, lines(
			"ready",
			"note: the configuration in /etc/tokend has 3 errors; the one accepted at 2026-10-12T11:00:00Z stays in force; run: tokend validate",
		)},
		{"one that the state does not take", "/readyz", func(f *fakeSource) { f.config.NotTaken = true }, 200, lines(
			"ready",
			"note: the configuration in /etc/tokend cannot be taken over; the one accepted at 2026-10-12T11:00:00Z stays in force; “tokend status” says why",
		)},
		{"a held change", "/readyz", func(f *fakeSource) {
			f.view.Held = &reconcile.HeldChange{Since: noon().Add(-time.Minute), Reason: "more than 10 revocations", Revocations: make([]string, 12), Sinks: make([]string, 1)}
			f.view.Sinks[0].State, f.view.Sinks[0].Why = reconcile.Held, "more than 10 revocations"
		}, 200, lines(
			"ready",
			`sink.file.trader["alice"]: held: more than 10 revocations`,
			"note: a change is held back since 2026-10-12T11:59:00Z (12 revocations, 1 removed sink): more than 10 revocations; run: tokend approve",
		)},
		{"no turn since the handler was made, just now", "/readyz", func(f *fakeSource) { f.turned = noon().Add(-time.Hour) }, 200, "ready\n"},
		{"stopping", "/readyz", func(f *fakeSource) { f.err = reconcile.ErrClosed }, 503, lines("not ready", "tokend is stopping")},
		{"an error", "/readyz", func(f *fakeSource) { f.err = errors.New("something else") }, 503, lines("not ready", "something else")},

		{"one, ready", "/readyz/sink.file.trader%5B%22alice%22%5D", func(f *fakeSource) { f.failing() }, 200, lines(
			"ready", `sink.file.trader["alice"]: ready`)},
		{"one, without its kind", "/readyz/apirone.key", func(*fakeSource) {}, 200, lines(
			"ready", `credential.apirone.key: ready, generation 1`)},
		{"one, failing", `/readyz/coinify.trader%5B%22alice%22%5D`, func(f *fakeSource) { f.failing() }, 503, lines(
			"not ready",
			`credential.coinify.trader["alice"]: failing since 2026-10-12T11:55:00Z (5m0s): the API answered 503; tried again at 2026-10-12T12:01:00Z; run: tokend retry 'coinify.trader["alice"]'`,
		)},
		{"one, held and alive", "/readyz/apirone.key", func(f *fakeSource) { f.view.Credentials[1].State = reconcile.Held }, 200, lines(
			"ready", "credential.apirone.key: held")},
		{"one, held and expired", "/readyz/apirone.key", func(f *fakeSource) {
			f.view.Credentials[1].State, f.view.Credentials[1].ExpiresAt = reconcile.Held, noon()
		}, 503, lines("not ready", "credential.apirone.key: held")},
		{"one that is not there", "/readyz/apirone.kay", func(f *fakeSource) {
			f.status = func(_ context.Context, addr string) (reconcile.View, error) {
				return reconcile.View{}, &reconcile.NotFoundError{Address: addr, Near: "credential.apirone.key"}
			}
		}, 404, lines("there is no credential.apirone.kay; did you mean credential.apirone.key?")},
		{"none named", "/readyz/", func(*fakeSource) {}, 200, "ready\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := healthy()
			c.is(src)
			w := get(t, handlerOf(src), c.path, "Accept", "*/*")
			body := w.Body.String()
			// How an address is shortened in a suggestion is the loop's business.
			body = strings.Replace(body, "mean apirone.key?", "mean credential.apirone.key?", 1)
			if diff := cmp.Diff(c.body, body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			if w.Code != c.want {
				t.Errorf("status %d, want %d", w.Code, c.want)
			}
			if got := w.Header().Get("Content-Type"); got != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type is %q", got)
			}
		})
	}
}

// Keys of instances are any text.
func TestReadyzOfAwkwardAddresses(t *testing.T) {
	for _, key := range []string{"a/b", "a//b", "../..", "a b", "50%", "ü", "?verbose", "#", "a.b"} {
		src := healthy()
		addr := `credential.coinify.trader["` + key + `"]`
		src.view.Credentials[0].Address = addr
		w := get(t, handlerOf(src), "/readyz/"+url.PathEscape(addr))
		if w.Code != 200 || !strings.Contains(w.Body.String(), addr+": ready") {
			t.Errorf("%s: %d %s", addr, w.Code, w.Body)
		}
	}
}

func TestReadyzStalled(t *testing.T) {
	now := noon()
	src := healthy()
	h := Handler(Options{Source: src, Now: func() time.Time { return now }, StallAfter: time.Minute})
	now = now.Add(2 * time.Minute)
	for _, path := range []string{"/readyz", "/readyz/apirone.key"} {
		w := get(t, h, path)
		want := lines("not ready", "the reconcile loop has made no progress for 2m0s, since 2026-10-12T12:00:00Z; it should at least every 1m0s")
		if w.Code != 503 || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if src.asked.Load() != 0 {
		t.Error("a loop that hangs was asked, and the probe had to wait")
	}
}

func TestReadyzJSON(t *testing.T) {
	src := healthy().failing()
	src.view.Held = &reconcile.HeldChange{Since: noon(), Reason: "too much", Revocations: []string{"credential.a.b"}}
	h := handlerOf(src)

	w := get(t, h, "/readyz", "Accept", "application/json")
	if w.Code != 503 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Vary") != "Accept" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	want := map[string]any{
		"ready": false, "first_pass": true, "total": 4.0,
		"notes": []any{"a change is held back since 2026-10-12T12:00:00Z (1 revocation, 0 removed sinks): too much; run: tokend approve"},
		"addresses": []any{map[string]any{
			"address": `credential.coinify.trader["alice"]`, "type": "coinify", "status": "failing", "since": "2026-10-12T11:55:00Z",
			"why": "the API answered 503", "next": "tried again at 2026-10-12T12:01:00Z", "next_at": "2026-10-12T12:40:00Z",
			"mend": `tokend retry 'coinify.trader["alice"]'`, "generation": 7.0, "expires_at": "2026-10-12T13:00:00Z",
		}},
	}
	if diff := cmp.Diff(want, decode(t, w.Body.Bytes())); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}

	one := decode(t, get(t, h, "/readyz/apirone.key", "Accept", "application/json").Body.Bytes())
	want = map[string]any{"ready": true, "addresses": []any{map[string]any{
		"address": "credential.apirone.key", "type": "apirone", "status": "ready", "generation": 1.0,
	}}}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("one address (-want +got):\n%s", diff)
	}

	none := decode(t, get(t, h, "/readyz/sink.file.x", "Accept", "application/json").Body.Bytes())
	if diff := cmp.Diff(map[string]any{"ready": false, "error": "there is no sink.file.x"}, none); diff != "" {
		t.Errorf("unknown address (-want +got):\n%s", diff)
	}

	all := decode(t, get(t, handlerOf(healthy()), "/readyz?verbose", "Accept", "application/json").Body.Bytes())
	if n := len(all["addresses"].([]any)); n != 4 {
		t.Errorf("verbose lists %d addresses, want 4", n)
	}
	if empty := get(t, handlerOf(healthy()), "/readyz", "Accept", "application/json").Body.String(); !strings.Contains(empty, `"addresses":[]`) {
		t.Errorf("nothing to say is not an empty list: %s", empty)
	}
}

func decode(t *testing.T, body []byte) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return got
}

// A loop that does not answer must not hold probes for ever.
func TestReadyzPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := healthy()
		src.status = func(ctx context.Context, _ string) (reconcile.View, error) {
			<-ctx.Done()
			return reconcile.View{}, ctx.Err()
		}
		h := handlerOf(src)
		for _, path := range []string{"/readyz", "/readyz/apirone.key"} {
			began := time.Now()
			w := get(t, h, path)
			want := lines("not ready", "the reconcile loop has not answered for 5s")
			if w.Code != 503 || w.Body.String() != want {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
			if took := time.Since(began); took != patience {
				t.Errorf("%s took %s", path, took)
			}
		}
	})
}

// What an address waits for is most often why it waits, and is said once.
func TestReadyzSaysAReasonOnce(t *testing.T) {
	src := healthy().failing()
	l := &src.view.Credentials[0]
	for i := range src.view.Credentials {
		if src.view.Credentials[i].State != reconcile.Ready {
			l = &src.view.Credentials[i]
		}
	}
	l.Why, l.Next = "waits for the token of apirone.key", "waits for the token of apirone.key"
	if body := get(t, handlerOf(src), "/readyz").Body.String(); strings.Count(body, l.Why) != 1 {
		t.Errorf("the answer is\n%s", body)
	}
}
