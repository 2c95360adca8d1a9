package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// namedTrader is a trader whose sink has a name and a place, and whose credential
// has a name.
func namedTrader(credential, email, sink, place, more string) string {
	hcl := strings.NewReplacer(
		`credential "coinify" "trader"`, `credential "coinify" "`+credential+`"`,
		`credential.coinify.trader`, `credential.coinify.`+credential,
		`sink "mem" "trader"`, `sink "mem" "`+sink+`"`,
		`place   = "trader"`, `place   = "`+place+`"`,
	).Replace(trader(email, ""))
	return hcl + "tokend {\n  guard {\n    max_revocations = 0\n    settle = \"1s\"\n  }\n}\n" + more
}

func becomes(from, to string) string {
	return "moved {\n  from = " + from + "\n  to   = " + to + "\n}\n"
}

// A sink that gets another name in the change that moves its place is held back as
// any: each new token reaches its earlier place, by the configuration that knows it
// by its earlier name, also where other names change with it or later, and over
// crashes; and it goes where it shall once that is approved.
func TestAHeldSinkOfANewNameGoesOn(t *testing.T) {
	const email = "a@example.com"
	ab, bc := becomes("sink.mem.a", "sink.mem.b"), becomes("sink.mem.b", "sink.mem.c")
	trader2 := becomes("credential.coinify.trader", "credential.coinify.seller")
	for name, changes := range map[string][]string{
		"the sink alone":             {namedTrader("trader", email, "b", "2", ab)},
		"what it names, too":         {namedTrader("seller", email, "b", "2", ab+trader2)},
		"what it names alone":        {namedTrader("seller", email, "a", "2", trader2)},
		"what it names, later":       {namedTrader("trader", email, "b", "2", ab), namedTrader("seller", email, "b", "2", ab+trader2)},
		"twice":                      {namedTrader("trader", email, "b", "2", ab), namedTrader("trader", email, "c", "2", ab+bc)},
		"twice, without what it was": {namedTrader("trader", email, "b", "2", ab), namedTrader("trader", email, "c", "3", bc)},
		"its place later":            {namedTrader("seller", email, "b", "1", ab+trader2), namedTrader("seller", email, "b", "2", "")},
	} {
		for how, between := range map[string]func(*world){"": func(*world) {}, ", over crashes": (*world).crash} {
			t.Run(name+how, func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					w.set(namedTrader("trader", email, "a", "1", ""))
					time.Sleep(time.Minute)
					var last string
					for _, last = range changes {
						w.set(last)
						w.stays("1")
						if between(w); how != "" {
							if h := w.set(last); strings.Contains(last, `"1"`) != (h == nil) {
								t.Fatalf("held %+v", h)
							}
							w.stays("1")
						}
					}
					sink := "sink.mem." + sinkOf(last)
					if l := w.line(sink); l.State != reconcile.Held || l.Mend != "tokend approve" {
						t.Errorf("status says %+v", l)
					}
					h, err := w.loop.Held(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if err := w.loop.Approve(t.Context(), h); err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Minute)
					place := "2"
					if strings.Contains(last, `"3"`) {
						place = "3"
					}
					if !w.works(standin.Coinify, place) || w.places.get("1") != "" {
						t.Errorf("after the approval 1 holds %q and %s %q", w.places.get("1"), place, w.places.get(place))
					}
					if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Reuses != 0 {
						t.Errorf("%d grants, %d reuses", c.Grants, c.Reuses)
					}
				})
			})
		}
	}
}

func sinkOf(hcl string) string {
	_, after, _ := strings.Cut(hcl, `sink "mem" "`)
	name, _, _ := strings.Cut(after, `"`)
	return name
}

// A credential of another name whose replacement is held goes on by what declared it
// under its earlier name: by that one's schedule, too.
func TestAHeldCredentialOfANewNameGoesOn(t *testing.T) {
	refreshes := func(t *testing.T, credential, more string, crash bool) (n int) {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			schedule := func(hcl, at string) string {
				return strings.Replace(hcl, `grant      = "password"`, "grant      = \"password\"\n  refresh {\n    at = "+at+"\n    jitter = 0\n  }", 1)
			}
			w.set(schedule(namedTrader("trader", "a@example.com", "a", "1", ""), "0.3"))
			time.Sleep(time.Minute)
			next := schedule(namedTrader(credential, "b@example.com", "a", "1", more), "0.9")
			if h := w.set(next); h == nil || len(h.Revocations) != 1 {
				t.Fatalf("held %+v", h)
			}
			if crash {
				time.Sleep(time.Minute)
				w.crash()
				w.set(next)
			}
			before := w.server.Counts(standin.Coinify).Refreshes
			w.stays("1")
			n = w.server.Counts(standin.Coinify).Refreshes - before
			if l := w.line("credential.coinify." + credential); l.State != reconcile.Held {
				t.Errorf("status says %+v", l)
			}
		})
		return n
	}
	want := refreshes(t, "trader", "", false)
	more := becomes("credential.coinify.trader", "credential.coinify.seller")
	for name, crash := range map[string]bool{"while it runs": false, "over a crash": true} {
		t.Run(name, func(t *testing.T) {
			if got := refreshes(t, "seller", more, crash); got != want {
				t.Errorf("%d refreshes in a day, %d where it keeps its name", got, want)
			}
		})
	}
}
