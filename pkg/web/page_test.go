package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

func has(t *testing.T, body string, want ...string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(body, s) {
			t.Errorf("the page does not say %q:\n%s", s, body)
		}
	}
}

func lacks(t *testing.T, body string, unwanted ...string) {
	t.Helper()
	for _, s := range unwanted {
		if strings.Contains(body, s) {
			t.Errorf("the page says %q:\n%s", s, body)
		}
	}
}

func TestPageShowsWhatStatusDoes(t *testing.T) {
	src := healthy().failing()
	src.config.Commit = "8d2f0c1"
	src.config.Git = &Git{URL: "https://git.example.com/tokens", Ref: "main", CheckedAt: noon().Add(-4 * time.Second)}
	src.view.Credentials[1].Orphans, src.view.Credentials[1].Retiring = 1, 2
	src.view.Lanes = []reconcile.LaneView{{Name: "provider.coinify.default", OpenSince: noon().Add(-time.Minute), ProbeAt: noon().Add(time.Second), Why: "503", Waiting: 2}}
	w := get(t, handlerOf(src), "/")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("status %d, %s", w.Code, w.Header().Get("Content-Type"))
	}
	has(t, w.Body.String(),
		"<h1>tokend: not ready: 1 of 4 addresses</h1>",
		`<tr class="wrong"><td><code>coinify.trader[&#34;alice&#34;]</code></td><td>failing since 2026-10-12T11:55:00Z<br>the API answered 503<br>To mend: <code>tokend retry &#39;coinify.trader[&#34;alice&#34;]&#39;</code></td>`,
		"<td>2026-10-12T13:00:00Z (in 1h0m0s)</td>",
		"<code>apirone.key</code></td><td>ready (generation 1)</td>",
		"<h2>Sinks</h2>", "sink.file.trader", "<h2>Hooks</h2>", "hook.exec.nginx",
		"commit 8d2f0c1 is in force, following main; the repository answered 4s ago.",
		"provider.coinify.default does not answer since 2026-10-12T11:59:00Z: 503; 2 addresses wait for the next call at 2026-10-12T12:00:01Z.",
		"Waiting to be given up: 2 earlier tokens.", "Orphans: 1 token may",
		"2026-10-12T12:00:00Z · tokend 0.1.0",
	)
	// Where tokens are is nobody's business who only reaches the port.
	lacks(t, w.Body.String(), "/run/tokend/alice.token", "state.db", "git.example.com")
}

func TestPageNamesTheDaemonInItsCommands(t *testing.T) {
	src := healthy()
	src.config.Valid, src.config.Errors = false, 2
	src.config.Commit, src.config.Git = "8d2f0c1", &Git{Ref: "main", Failing: true}
	l := &src.view.Sinks[0]
	l.State, l.Why, l.Mend = reconcile.Failing, "permission denied", "tokend retry sink.file.trader"
	src.view.Held = &reconcile.HeldChange{
		Since: noon().Add(-time.Minute), Reason: "it is more than max_revocations", Revocations: []string{"credential.apirone.key"},
		Steps: []reconcile.HeldStep{{Address: "credential.apirone.key", Action: reconcile.ActRevoke, Reason: "its block is gone"}},
	}
	h := Handler(Options{Source: src, Now: noon, Spell: func(s string) string {
		return strings.NewReplacer("tokend approve", "tokend --control /s approve", "tokend validate", "tokend --config /c validate",
			"tokend retry", "tokend --control /s retry", "tokend status", "tokend --control /s status").Replace(s)
	}})
	has(t, get(t, h, "/").Body.String(),
		"<h1>tokend: ready, with a change held back</h1>", "it is more than max_revocations, since 2026-10-12T11:59:00Z.",
		"<code>credential.apirone.key</code>: its block is gone", "<code>tokend --control /s approve</code>", "run: tokend --config /c validate",
		"To mend: <code>tokend --control /s retry sink.file.trader</code>", "“tokend --control /s status” says why")
	const retry = "run: tokend --control /s retry sink.file.trader\n"
	has(t, get(t, h, "/readyz").Body.String(), "run: tokend --control /s approve\n", "run: tokend --config /c validate\n", retry)
	has(t, get(t, h, "/readyz/sink.file.trader%5B%22alice%22%5D").Body.String(), retry)
	src.config.LoadedAt = time.Time{}
	has(t, get(t, h, "/readyz").Body.String(), "run: tokend --config /c validate\n")
}

// What somebody else wrote stays text, whatever it looks like.
func TestPageEscapes(t *testing.T) {
	const evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x1b[2J"
	src := healthy().failing()
	l := &src.view.Credentials[0]
	l.Address, l.Why, l.Mend = `credential.coinify.trader["`+evil+`"]`, evil, evil
	src.view.Store.Error = evil
	src.view.Held = &reconcile.HeldChange{Reason: evil, Steps: []reconcile.HeldStep{{Address: evil, Reason: evil}}}
	src.view.Lanes = []reconcile.LaneView{{Name: evil, OpenSince: noon(), Why: evil}}
	src.config = Configuration{LoadedAt: noon(), Errors: 1, Source: evil, Commit: evil, Git: &Git{Ref: evil}}
	body := get(t, handlerOf(src), "/").Body.String()
	lacks(t, body, "<script", "<img", "\u202e", "\x1b")
	has(t, body, "&lt;script&gt;alert(1)&lt;/script&gt;")
}

// The policy lets the page's own style through and nothing else, so the hash has
// to be that of the very bytes between the tags.
func TestPageMeetsItsOwnPolicy(t *testing.T) {
	w := get(t, handlerOf(healthy()), "/")
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(w.Body.String())
	if style == nil {
		t.Fatal("the page has no style")
	}
	sum := sha256.Sum256([]byte(style[1]))
	policy := w.Header().Get("Content-Security-Policy")
	has(t, policy, "default-src 'none'", "style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'")
	lacks(t, policy, "unsafe", "script-src")
	lacks(t, w.Body.String(), "<script", "<form", " style=", " onclick=", "http://", "https://", "src=")
}

func TestPageIsBounded(t *testing.T) {
	src := healthy()
	for i := range 3000 {
		l := reconcile.Line{Address: fmt.Sprintf("credential.apirone.n%d", i), State: reconcile.Ready}
		if i%2 == 0 {
			l.State = reconcile.Failing
		}
		src.view.Credentials = append(src.view.Credentials, l)
	}
	src.view.Held = &reconcile.HeldChange{Reason: "many", Steps: make([]reconcile.HeldStep, pageWrong+7)}
	body := get(t, handlerOf(src), "/").Body.String()
	if n := strings.Count(body, `class="wrong"`); n != pageWrong {
		t.Errorf("%d rows that are not ready, want %d", n, pageWrong)
	}
	has(t, body, "… and 500 more that are not ready; “tokend status” shows them all", "… and 1302 more that are ready<", "… and 7 more<")
	if wrong, calm := strings.Index(body, "failing"), strings.Index(body, "apirone.n1<"); wrong < 0 || wrong > calm {
		t.Error("what is not ready does not come first")
	}
}

// What is ready and has something to be known is among the first, with that and what
// mends it; and counts as ready where it is one too many.
func TestPageSaysWhatIsToBeKnownOfWhatIsReady(t *testing.T) {
	src := healthy()
	for i := range pageCalm + pageWrong + 3 {
		l := reconcile.Line{Address: fmt.Sprintf("credential.apirone.n%d", i), State: reconcile.Ready}
		if i >= pageCalm {
			l.Why, l.Mend = "obtaining a new token is stopped", "tokend retry something"
		}
		src.view.Credentials = append(src.view.Credentials, l)
	}
	body := get(t, handlerOf(src), "/").Body.String()
	if n := strings.Count(body, "ready<br>obtaining a new token is stopped<br>To mend: <code>tokend retry something</code>"); n != pageWrong {
		t.Errorf("it is said of %d, want %d", n, pageWrong)
	}
	has(t, body, "… and 5 more that are ready<")
	lacks(t, body, "not ready", `class="wrong"`)
	if said, calm := strings.Index(body, "is stopped"), strings.Index(body, "apirone.n1<"); said < 0 || said > calm {
		t.Error("what is to be known does not come first")
	}
}

// What is not shown is not made: a page of tens of thousands of addresses takes no
// more memory than one of a few thousand, whether they are ready or not.
func TestPageMakesOnlyWhatItShows(t *testing.T) {
	for _, state := range []reconcile.State{reconcile.Ready, reconcile.Failing} {
		t.Run(string(state), func(t *testing.T) {
			page := func(n int) uint64 {
				src := many(n)
				for _, part := range [][]reconcile.Line{src.view.Credentials, src.view.Sinks} {
					for i := range part {
						part[i].State, part[i].Mend = state, "tokend retry something"
					}
				}
				h := handlerOf(src)
				newRecorderFor(t, h, "/")
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				newRecorderFor(t, h, "/")
				runtime.ReadMemStats(&after)
				return after.TotalAlloc - before.TotalAlloc
			}
			few, lots := page(2_000), page(20_000)
			t.Logf("2,000: %d bytes, 20,000: %d bytes", few, lots)
			if lots > 2*few {
				t.Errorf("a page of 20,000 takes %d bytes, one of 2,000 takes %d", lots, few)
			}
		})
	}
}

// A page that cannot say how things are says why.
func TestPageWithoutAnAnswer(t *testing.T) {
	hangs := healthy()
	hangs.turned = noon().Add(-time.Hour)
	early := healthy()
	early.config = Configuration{}
	stopping := healthy()
	stopping.status = func(context.Context, string) (reconcile.View, error) { return reconcile.View{}, reconcile.ErrClosed }
	for _, c := range []struct {
		name, want string
		src        *fakeSource
	}{
		{"hanging", "no progress", hangs},
		{"not read yet", "no configuration is in force: it has not been read yet.", early},
		{"stopping", "tokend is stopping.", stopping},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &health{o: Options{Source: c.src, Now: noon, StallAfter: time.Minute, Spell: func(s string) string { return s }}, snaps: &snapshots{source: c.src}, began: noon().Add(-2 * time.Hour)}
			w := get(t, newPage(h), "/")
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("status %d", w.Code)
			}
			has(t, w.Body.String(), "<h1>tokend: not ready</h1>", c.want)
		})
	}
}
