package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// loginFree is twoGrants whose rich grant needs a login that nobody makes, and
// whose guard lets everything through.
func loginFree(grant, content, more string) string {
	if grant == "rich" {
		more = "# a person\n" + more
	}
	return strings.Replace(twoGrants(grant, content, more), "max_revocations = 0", "max_revocations = 9", 1)
}

// goesOnWithout lets half a day go by, in which a place holds a token that works
// by what the configuration in force says, but for the output.
func (w *world) goesOnWithout(place string) {
	w.t.Helper()
	seen := map[string]bool{}
	w.pass(12*time.Hour, 10*time.Minute, func() {
		got := w.places.get(place)
		token, begins := strings.CutPrefix(got, `{"kind":null,"token":"`)
		token, ends := strings.CutSuffix(token, `"}`)
		if !begins || !ends {
			w.t.Fatalf("at %s it holds %q; log: %s", time.Now(), got, w.places.events())
		}
		if t, ok := w.server.Lookup(standin.Coinify, token); !ok || !t.Alive {
			w.t.Fatalf("at %s its token does not work", time.Now())
		}
		seen[token] = true
	})
	if len(seen) < 3 {
		w.t.Errorf("it held only %d tokens", len(seen))
	}
}

// A sink that is renamed while it goes on as it was goes on all the same, by what that
// configuration says of it under the name that it had, also over a restart.
func TestARenamedSinkGoesOnAsItWas(t *testing.T) {
	renamed := strings.Replace(loginFree("rich", richly, "moved {\n from = sink.mem.a\n to = sink.mem.b\n}\n"), `sink "mem" "a"`, `sink "mem" "b"`, 1)
	for _, crash := range []bool{false, true} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			w.set(loginFree("plain", plainly, ""))
			<-time.After(time.Minute)
			w.set(loginFree("rich", richly, ""))
			<-time.After(time.Minute)
			if crash {
				w.crash()
			}
			w.set(renamed)
			<-time.After(time.Second)
			w.goesOnAs("sink.mem.b")
			w.crash()
			w.set(renamed)
			w.goesOnAs("sink.mem.b")
		})
	}
}

// A place that the configuration in force gives to another sink is not written by
// the one that had it.
func TestASinkDoesNotGoOnAtAPlaceThatAnotherOneHas(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(loginFree("plain", plainly, ""))
		<-time.After(time.Minute)
		other := `sink "mem" "c" {
  place   = "a"
  content = "c"
}
`
		w.set(strings.Replace(loginFree("rich", richly, other), `place   = "a"
  content = "${`, `place   = "a2"
  content = "${`, 1))
		<-time.After(time.Minute)
		before := strings.Count(w.places.events()+" ", "write:a ")
		w.goesOnWithout("a2")
		if got := w.places.get("a"); got != "c" {
			t.Errorf("the other one's place holds %q", got)
		}
		if n := strings.Count(w.places.events()+" ", "write:a "); n != before || n > 3 {
			t.Errorf("the other one's place was written %d times, %d of them in the first minute", n, before)
		}
	})
}

// Hooks are those of the configuration in force.
func TestASinkThatGoesOnTellsTheHooksInForce(t *testing.T) {
	notify := func(config, hook string) string {
		return strings.Replace(config, "  place   =", "  notify  = [hook.mem."+hook+"]\n  place   =", 1)
	}
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(notify(loginFree("plain", plainly, `hook "mem" "old" {}`), "old"))
		<-time.After(time.Minute)
		w.set(notify(loginFree("rich", richly, `hook "mem" "new" {}`), "new"))
		w.goesOn()
		log := w.places.events()
		if writes, runs := strings.Count(log, "write:a"), strings.Count(log, "hook:"); runs < writes {
			t.Errorf("%d writes and %d runs of hooks: %s", writes, runs, log)
		}
	})
}

// What an earlier configuration named and the one in force does not declare, or
// says differently, is not waited for, nor read.
func TestASinkDoesNotGoOnByWhatHasGone(t *testing.T) {
	second := `credential "mine" "b" {
  grant = "plain"
  email = "b@example.com"
}
`
	for name, tc := range map[string]struct{ names, block, now string }{
		"credential":           {"${credential.mine.b.access_token}", second, ""},
		"token":                {"${credential.mine.b.access_token}", second, strings.Replace(second, `"plain"`, `"rich"`, 1)},
		"secret":               {"${secret.mem.s.value}", `secret "mem" "s" { value = "one" }`, ""},
		"secret that is other": {"${secret.mem.s.value}", `secret "mem" "s" { value = "one" }`, `secret "mem" "s" { value = "two" }`},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(loginFree("plain", plainly+tc.names, tc.block))
				<-time.After(time.Minute)
				if w.places.get("a") == "" {
					t.Fatalf("it was not written: %+v", w.line("sink.mem.a"))
				}
				w.set(loginFree("rich", richly, tc.now))
				if name == "token" {
					<-time.After(time.Minute)
					if err := w.loop.Forget(t.Context(), "credential.mine.b"); err != nil {
						t.Fatal(err)
					}
				}
				<-time.After(time.Hour)
				w.goesOnWithout("a")
				if l := w.line("sink.mem.a"); l.State != reconcile.Ready {
					t.Errorf("it is %+v", l)
				}
			})
		})
	}
}

// What cannot be made without the output waits for it, and says so.
func TestASinkThatCannotBeMadeWithoutWhatItNamesStaysAsItIs(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(loginFree("plain", plainly, ""))
		<-time.After(time.Minute)
		first := w.places.get("a")
		moved := strings.Replace(loginFree("rich", "${credential.mine.a.access_token} ${credential.mine.a.kind}", ""), `place   = "a"`, `place   = "a2"`, 1)
		w.set(moved)
		<-time.After(3 * time.Hour)
		if got := w.places.get("a"); got != first || w.places.get("a2") != "" {
			t.Errorf("it holds %q after %q, and %q where it shall be", got, first, w.places.get("a2"))
		}
		if l := w.line("sink.mem.a"); l.State != reconcile.Waiting || !strings.Contains(l.Why, "the new token of mine.a; until then it stays as it is") {
			t.Errorf("it is %+v", l)
		}
	})
}

// A sink whose removal is held and that is declared again, naming what is not there
// yet, goes on by what declared it before it went, also where the process ends at once.
func TestASinkThatComesBackGoesOnAsItWas(t *testing.T) {
	without := func(hcl string) string {
		before, _, _ := strings.Cut(hcl, `sink "mem" "a"`)
		return before
	}
	for _, crash := range []bool{false, true} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			w.set(twoGrants("plain", plainly, ""))
			<-time.After(time.Minute)
			if w.set(without(twoGrants("plain", plainly, ""))) == nil {
				t.Fatal("its removal is not held")
			}
			<-time.After(time.Minute)
			back := twoGrants("rich", richly, "")
			if w.set(back) == nil {
				t.Fatal("the replacement is not held")
			}
			if crash {
				w.crash()
				w.set(back)
			}
			w.goesOn()
		})
	}
}

// A sink that goes on as it was written, since it names what is not there yet, is
// removed, which is held, and comes back: all the while it holds a token that works, or
// says what it waits for.
func TestASinkThatGoesOnIsRemovedAndComesBack(t *testing.T) {
	for name, config := range map[string]func(string) string{
		"alone":               func(hcl string) string { return cutOut(hcl, `sink "mem" "a"`) },
		"with its credential": func(hcl string) string { return cutOut(hcl, `sink "mem" "a"`, `credential "mine" "a"`) },
	} {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", a crash: ", crash), func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					w.set(twoGrants("plain", plainly, ""))
					<-time.After(time.Minute)
					rich := twoGrants("rich", richly, "")
					if w.set(rich) == nil {
						t.Fatal("the replacement is not held")
					}
					<-time.After(time.Minute)
					gone := config(rich)
					if h := w.set(gone); h == nil || len(h.Sinks) != 1 {
						t.Fatalf("its removal is not held: %+v", h)
					}
					<-time.After(time.Minute)
					if l := w.line("sink.mem.a"); l.State != reconcile.Held && l.State != reconcile.Waiting {
						t.Errorf("removed it is %+v", l)
					}
					if crash {
						w.crash()
						w.set(gone)
						<-time.After(time.Minute)
						if l := w.line("sink.mem.a"); l.State != reconcile.Held && l.State != reconcile.Waiting {
							t.Errorf("removed, and after a crash, it is %+v", l)
						}
					}
					w.set(rich)
					<-time.After(time.Minute)
					if l := w.line("sink.mem.a"); l.State != reconcile.Held && l.State != reconcile.Waiting || !strings.Contains(l.Why, "the new token of mine.a") {
						t.Errorf("back again it is %+v", l)
					}
					if got := w.places.get("a"); strings.Contains(got, "kind") {
						t.Errorf("it was given %q", got)
					}
					h, err := w.loop.Held(t.Context())
					if err != nil || h == nil {
						t.Fatalf("held %+v, %v", h, err)
					}
					if err := w.loop.Approve(t.Context(), h); err != nil {
						t.Fatal(err)
					}
					<-time.After(time.Minute)
					if l := w.line("sink.mem.a"); l.State != reconcile.Ready {
						t.Errorf("once what it names is there it is %+v", l)
					}
				})
			})
		}
	}
}

// A sink was written with what a grant says, another grant without it replaced that
// one while its place could not be written, and then the first is wanted again: the
// sink is declared as it was written, and what it names is not there all the same.
func TestASinkAsItWasWrittenWaitsForWhatHasGone(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(twoGrants("rich", richly, ""))
		<-time.After(time.Minute)
		w.places.failWith(errors.New("the places are read-only"))
		h := w.set(twoGrants("plain", plainly, ""))
		if h == nil {
			t.Fatal("the replacement is not held back")
		}
		if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		w.set(twoGrants("rich", richly, ""))
		w.places.failWith(nil)
		<-time.After(5 * time.Minute)
		w.goesOn()
		if h, err := w.loop.Held(t.Context()); err != nil || h == nil {
			t.Fatalf("the replacement is held back: %v, %v", h, err)
		} else if err := w.loop.Approve(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if got := w.places.get("a"); !strings.Contains(got, `"kind":"bearer"`) {
			t.Errorf("once that is there it holds %q", got)
		}
	})
}
