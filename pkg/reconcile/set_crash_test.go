package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// setPoint is a moment in the taking over of a configuration: at a commit of one
// named value without another, before it is written or just after.
type setPoint struct {
	key, without string
	written      bool
}

// inForce says that a configuration is in force that got as far.
func (p setPoint) inForce() bool { return p.key == "accepted" && p.written }

// haltingStore stops whoever is at a point.
type haltingStore struct {
	state.Store
	at      *setPoint // nil: at none
	reached chan struct{}
	killed  chan struct{}
}

func (s *haltingStore) Commit(ctx context.Context, changes ...state.Change) error {
	has := func(key string) bool {
		return key != "" && slices.ContainsFunc(changes, func(c state.Change) bool { return c.MetaKey == key })
	}
	p := s.at
	if p == nil || !has(p.key) || has(p.without) {
		return s.Store.Commit(ctx, changes...)
	}
	if p.written {
		if err := s.Store.Commit(ctx, changes...); err != nil {
			return err
		}
	}
	close(s.reached)
	<-s.killed
	return errors.New("the process was killed")
}

// killedIn has a process killed at a point of the taking over of a configuration, and
// says whether it came there. Minutes pass at it.
func (w *world) killedIn(s *haltingStore, hcl string, p setPoint, meanwhile func()) bool {
	w.t.Helper()
	s.reached, s.killed, s.at = make(chan struct{}), make(chan struct{}), &p
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.loop.Set(context.Background(), w.config(hcl), reconcile.SetOptions{NoSettle: true})
	}()
	came := false
	select {
	case <-s.reached:
		came = true
		<-time.After(2 * time.Minute)
		meanwhile()
	case <-done:
	}
	w.store = w.store.Crash()
	close(s.killed)
	w.halt()
	<-done
	s.at, w.wrap = nil, nil
	w.start()
	return came
}

// A configuration begins to act once it is recorded as the one in force, and not
// before. So a start onto a directory that is broken by then goes on with the one
// before after a crash until that moment, which has done nothing of the other, and
// with that after it; either with each record where it is, what is held and what is
// let go.
func TestACrashWhileAConfigurationIsTakenOver(t *testing.T) {
	const guard = "tokend {\n  guard {\n    settle = \"0s\"\n    max_revocations = %d\n    max_revoked_percent = 100\n  }\n}\n"
	guarded := func(n string) string { return strings.Replace(guard, "%d", n, 1) }
	at := func(place, more string) string {
		return strings.Replace(trader("a@example.com", more), `place   = "trader"`, `place   = "`+place+`"`, 1)
	}
	named := func(credential, sink, place, more string) string {
		hcl := namedTrader(credential, "a@example.com", sink, place, more)
		return strings.Replace(hcl, "max_revocations = 0", "max_revocations = 9", 1)
	}
	other := strings.NewReplacer(`"trader"`, `"other"`, "coinify.trader", "coinify.other", "a@", "b@")
	both := func(more string) string {
		_, second, _ := strings.Cut(other.Replace(trader("a@example.com", "")), "}\nsecret")
		_, second, _ = strings.Cut(second, "\ncredential")
		second = strings.Replace(second, "hook \"mem\" \"tell\" {}\n", "", 1)
		return trader("a@example.com", more) + "\ncredential" + second
	}
	points := map[string]setPoint{
		"before the moves":      {key: "renamed", without: "accepted"},
		"after the moves":       {key: "renamed", without: "accepted", written: true},
		"before the acceptance": {key: "accepted"},
		"after the acceptance":  {key: "accepted", written: true},
	}
	holds := func(t *testing.T, w *world, place, not string) {
		t.Helper()
		if !w.works(standin.Coinify, place) || w.places.get(not) != "" {
			t.Errorf("%s holds %q and %s %q; log: %s", place, w.places.get(place), not, w.places.get(not), w.places.events())
		}
	}
	for name, c := range map[string]struct {
		first, next string
		moves       bool
		then        func(t *testing.T, w *world, next bool)
	}{
		"another place": {at("here", guarded("9")), at("there", guarded("9")), false, func(t *testing.T, w *world, next bool) {
			if next {
				holds(t, w, "there", "here")
			} else {
				holds(t, w, "here", "there")
			}
		}},
		"other names and another place": {named("trader", "a", "here", ""),
			named("seller", "b", "there", becomes("sink.mem.a", "sink.mem.b")+becomes("credential.coinify.trader", "credential.coinify.seller")), true,
			func(t *testing.T, w *world, next bool) {
				if next {
					holds(t, w, "there", "here")
				} else {
					holds(t, w, "here", "there")
				}
				if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Revocations != 0 {
					t.Errorf("%d grants, %d revocations", c.Grants, c.Revocations)
				}
			}},
		"a removal that is held": {both(guarded("0")), trader("a@example.com", guarded("0")), false, func(t *testing.T, w *world, next bool) {
			holds(t, w, "trader", "nowhere")
			holds(t, w, "other", "nowhere")
			if h, err := w.loop.Held(t.Context()); err != nil || (h != nil) != next {
				t.Errorf("held %+v, %v", h, err)
			}
			if n := w.revocations(); n != 0 {
				t.Errorf("%d revocations", n)
			}
		}},
		"a removal": {both(guarded("9")), trader("a@example.com", guarded("9")), false, func(t *testing.T, w *world, next bool) {
			holds(t, w, "trader", "nowhere")
			if gone := w.places.get("other") == ""; gone != next {
				t.Errorf("other holds %q", w.places.get("other"))
			}
			if n := w.revocations(); (n != 0) != next {
				t.Errorf("%d revocations", n)
			}
		}},
		"a removed block": {both(guarded("9")), trader("a@example.com", guarded("9")+"removed { from = credential.coinify.other }\nremoved { from = sink.mem.other }\n"), false,
			func(t *testing.T, w *world, next bool) {
				holds(t, w, "trader", "nowhere")
				holds(t, w, "other", "nowhere") // it lives, and is left alone
				if n := w.revocations(); n != 0 {
					t.Errorf("%d revocations", n)
				}
				v, err := w.loop.Status(t.Context(), "")
				if err != nil || len(v.Credentials) == 1 != next {
					t.Errorf("%+v, %v", v.Credentials, err)
				}
			}},
		"a stricter guard": {both(guarded("9")), both(guarded("0")), false, func(t *testing.T, w *world, next bool) {
			if h := w.set(trader("a@example.com", guarded("9"))); (h != nil) != next {
				t.Errorf("held %+v", h)
			}
		}},
	} {
		for when, p := range points {
			if p.key == "renamed" && !c.moves {
				continue
			}
			for how, broken := range map[string]bool{"its directory": false, "a broken directory": true} {
				t.Run(name+", "+when+", "+how, func(t *testing.T) {
					inWorld(t, strict(), func(t *testing.T, w *world) {
						w.halt()
						s := &haltingStore{}
						w.wrap = func(below state.Store) state.Store { s.Store = below; return s }
						w.start()
						w.set(c.first)
						<-time.After(time.Minute)
						before, counts := w.places.events(), w.server.Counts(standin.Coinify)
						came := w.killedIn(s, c.next, p, func() {
							if now := w.places.events(); now != before || w.server.Counts(standin.Coinify) != counts {
								t.Errorf("it has begun to act: %s, and before %s", now, before)
							}
						})
						if !came {
							t.Fatal("it never came to that point")
						}
						if broken {
							last, err := w.loop.Accepted(t.Context())
							if err != nil {
								t.Fatal(err)
							}
							if _, err := w.loop.Set(t.Context(), last, reconcile.SetOptions{}); err != nil {
								t.Fatal(err)
							}
						} else {
							w.set(c.next)
						}
						<-time.After(3 * time.Minute)
						c.then(t, w, !broken || p.inForce())
						if !broken {
							return
						}
						w.set(c.next) // it is mended
						<-time.After(3 * time.Minute)
						if name != "a stricter guard" {
							c.then(t, w, true)
						}
					})
				})
			}
		}
	}
}
