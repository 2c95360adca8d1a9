package reconcile_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// TestStoriesOfPlans: small stories of changes that people make, each of which a
// plan has to foretell.
func TestStoriesOfPlans(t *testing.T) {
	a, b := cred{name: "coinify.a", onRemove: "revoke", overlap: "0s"}, cred{name: "coinify.b", onRemove: "revoke", overlap: "0s"}
	dir := func(a, b cred, sinks ...place) directory {
		for len(sinks) < 4 {
			sinks = append(sinks, place{})
		}
		return directory{creds: []cred{a, b, {}, {}, {}, {}}, sinks: sinks, guard: 1000}
	}
	none := cred{}
	at := func(of int) place { return place{there: true, of: []int{of}, text: "x", notify: true} }
	for name, s := range map[string]story{
		"a sink takes the place of a removed one, whose token goes": {
			first: dir(a, none, place{}, place{}, at(0)), second: dir(none, b, place{}, place{}, place{}, at(1)), heir: true},
		"all gets other names, and nothing says so": {
			first: dir(a, none, at(0)), second: dir(a, none, at(0)),
			renames: []rename{{kind: "credential", typ: "coinify", from: "a", to: "z"}, {kind: "sink", typ: "mem", from: "s0", to: "t0"}}},
		"all gets other names, as moved blocks say": {
			first: dir(a, none, at(0)), second: dir(a, none, at(0)),
			renames: []rename{{"credential", "coinify", "a", "z", true}, {"sink", "mem", "s0", "t0", true}}},
		"two sinks change places": {first: dir(a, b, at(0), at(1)), second: dir(a, b, at(0), at(1)), swap: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s.settles = range []bool{false, true} {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					s.age = time.Minute
					if wrong := s.play(t, w); wrong != "" {
						t.Errorf("settles %v: %s\n%s", s.settles, wrong, s)
					}
				})
			}
		})
	}
}

// What the guard holds waits in a plan, a credential like a sink, before a change
// is taken over, when the daemon has it, and away from the host.
func TestAPlanNamesWhatIsHeld(t *testing.T) {
	for name, second := range map[string]string{
		"removed":  traders("max_revocations = 0\nsettle = \"1s\"", "example.com", "b", ""),
		"replaced": traders("max_revocations = 0\nsettle = \"1s\"", "example.org", "a b", ""),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(traders("max_revocations = 0\nsettle = \"1s\"", "example.com", "a b", ""))
				time.Sleep(time.Minute)
				x, err := w.loop.Export(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				h, err := w.loop.Set(t.Context(), w.config(second), reconcile.SetOptions{Dry: true})
				if err != nil || h == nil {
					t.Fatal(h, err)
				}
				want := slices.Concat(h.Revocations, h.Sinks)
				check := func(who string, p reconcile.Plan) {
					var got []string
					for _, s := range p.Steps {
						if s.State != reconcile.Held || s.Mend != "tokend approve" || s.Reason == "" {
							t.Errorf("%s says %+v", who, s)
						}
						got = append(got, s.Address)
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s names %v, and %v is held", who, got, want)
					}
				}
				check("away from the host, a plan", w.against(x, second))
				check("before it is taken over, a plan", w.plan())
				w.set(second)
				for range 3 {
					time.Sleep(time.Minute)
					check("the daemon's plan", w.plan())
					w.crash()
					w.set(second)
				}
			})
		})
	}
}

// plan is that of the loop.
func (w *world) plan() reconcile.Plan {
	w.t.Helper()
	p, err := w.loop.Plan(context.Background(), reconcile.PlanOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// A sink whose earlier place cannot be cleaned is not written for that.
func TestAPlanOfAPlaceThatCannotBeCleaned(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		log := &deeds{}
		w.halt()
		w.log = slog.New(log)
		w.start()
		w.set(placed("max_revocations = 10\nsettle = \"1s\"", "here"))
		time.Sleep(time.Minute)
		w.places.stick("here")
		w.set(placed("max_revocations = 10\nsettle = \"1s\"", "there"))
		for range 20 {
			time.Sleep(7 * time.Second)
			for _, s := range w.plan().Steps {
				if s.Action != reconcile.ActClean && s.Action != reconcile.ActWait && s.Action != reconcile.ActNone {
					t.Errorf("the plan says %s", s)
				}
			}
		}
		w.places.stick("")
		time.Sleep(2 * time.Minute)
		if n := slices.IndexFunc(log.log(), func(l string) bool { return strings.HasPrefix(l, "  cleaned map[") && strings.Contains(l, "mem:here") }); n < 0 || w.places.get("here") != "" {
			t.Errorf("that the earlier place was cleaned is not logged:\n%s", strings.Join(log.log(), "\n"))
		}
	})
}

// What the state says is not what the directory says while the guard holds a
// change: what is held is known away from the host all the same, and what was
// never exported is not taken for unchanged.
func TestAnExportWhileAChangeIsHeld(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(placed(holdsAll, "here"))
		time.Sleep(time.Minute)
		if h := w.set(placed(holdsAll, "there")); h == nil {
			t.Fatal("nothing is held")
		}
		time.Sleep(time.Minute)
		x, err := w.loop.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		said := func(place string) string {
			var said []string
			for _, s := range w.against(x, placed(holdsAll, place)).Steps {
				said = append(said, string(s.State)+" "+s.Address)
			}
			return strings.Join(said, "; ")
		}
		for place, want := range map[string]string{"here": "", "there": `held sink.mem.trader["a"]`, "elsewhere": `held sink.mem.trader["a"]`} {
			if got := said(place); got != want {
				t.Errorf("at %s: planned %q, want %q", place, got, want)
			}
		}
		x.Sinks[0].Digest, x.Sinks[0].Portrait, x.Sinks[0].Place = "", nil, ""
		p := w.against(x, placed(holdsAll, "elsewhere"))
		if len(p.Unknown) != 1 || p.Unknown[0] != `sink.mem.trader["a"]` {
			t.Errorf("known at apply: %v, of a sink of which nothing was exported", p.Unknown)
		}
	})
}

// A token that was imported and not spent yet is spent when a sink names it, as a
// plan away from the host says too.
func TestAPlanOfAnImportedToken(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		token := w.elsewhere()
		w.set(importing(token, ""))
		time.Sleep(time.Minute)
		x, err := w.loop.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p := w.against(x, importing(token, "")); len(p.Steps) > 0 {
			t.Errorf("nothing names it, and planned is\n%s", lines(p.Steps))
		}
		said := lines(w.against(x, importing(token, delivered)).Steps)
		if !strings.Contains(said, "refresh credential.coinify.trader") || !strings.Contains(said, "write sink.mem.trader") {
			t.Errorf("planned is\n%s", said)
		}
	})
}

// What the guard holds is held also where nobody works on the state, in the words of the
// daemon, and an old token that is to be revoked before the one in force is refreshed is
// what comes next in both.
func TestASurveyNamesWhatIsHeld(t *testing.T) {
	const guard = "max_revocations = 0\nsettle = \"1s\""
	for name, second := range map[string]string{
		"removed":  traders(guard, "example.com", "b", ""),
		"replaced": traders(guard, "example.org", "a b", ""),
		"as it is": traders(guard, "example.com", "a b", ""),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				overlaps := strings.NewReplacer("  partner_id = ", "  lifecycle { overlap = \"5m\" }\n  partner_id = ")
				second := overlaps.Replace(second)
				w.set(overlaps.Replace(traders(guard, "example.com", "a b", "")))
				w.pass(time.Minute, time.Minute, nil)
				for _, a := range []string{"a", "b"} {
					if err := w.loop.Do(t.Context(), `credential.coinify.trader["`+a+`"]`, reconcile.Order{Kind: reconcile.OrderTaint}); err != nil {
						t.Fatal(err)
					}
				}
				w.pass(time.Minute, time.Minute, nil) // the old tokens live on for their overlap
				w.set(second)
				w.pass(time.Minute, time.Minute, nil)
				daemon, err := w.loop.Status(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				w.store = w.store.Crash()
				w.halt()
				w.begin(true)
				if _, err := w.loop.Set(t.Context(), w.config(second), reconcile.SetOptions{Dry: true}); err != nil {
					t.Fatal(err)
				}
				v, err := w.loop.Survey(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				if len(v.Credentials) != 2 || !maps.Equal(v.Counts, daemon.Counts) {
					t.Errorf("%d credentials, %v; the daemon says %v", len(v.Credentials), v.Counts, daemon.Counts)
				}
				for i, l := range v.Credentials {
					d := daemon.Credentials[i]
					if d.State == reconcile.Ready && d.Next != "revoke" {
						t.Errorf("the daemon has no old token to revoke: %+v", d)
					}
					if l.Address != d.Address || l.State != d.State || l.Why != d.Why || l.Mend != d.Mend || l.Next != d.Next {
						t.Errorf("it is %+v\nthe daemon says %+v", l, d)
					}
				}
			})
		})
	}
}
