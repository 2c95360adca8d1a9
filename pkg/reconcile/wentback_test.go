package reconcile_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// putBack has the state hold what it held before of a credential and its sink.
func (w *world) putBack(addr string, old state.Credential, oldSink state.Sink) {
	w.t.Helper()
	now, _, err := w.store.Credential(w.t.Context(), addr)
	if err != nil || now.Head.Generation <= old.Head.Generation {
		w.t.Fatalf("generation %d after %d: %v", now.Head.Generation, old.Head.Generation, err)
	}
	nowSink, err := w.store.Sink(w.t.Context(), traderSink)
	if err != nil {
		w.t.Fatal(err)
	}
	old.Head.Version, oldSink.Head.Version = now.Head.Version, nowSink.Head.Version
	if err := w.store.Commit(w.t.Context(), state.Change{Credential: &old}, state.Change{Sink: &oldSink}); err != nil {
		w.t.Fatal(err)
	}
}

// A whole state directory was put back, its mark included: the places know that
// it had come further. No refresh token that was spent since is sent again, what
// became of it is counted, and the credential heals by its grant.
func TestAPlaceKnowsThatTheStateWentBack(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const addr = "credential.coinify.trader"
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		old, _, err := w.store.Credential(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		oldSink, err := w.store.Sink(t.Context(), traderSink)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		w.halt()
		w.putBack(addr, old, oldSink)
		w.start()
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		c := w.server.Counts(standin.Coinify)
		if c.Reuses != 0 || c.Grants != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d reuses, %d grants; works %v", c.Reuses, c.Grants, w.works(standin.Coinify, "trader"))
		}
		if n := w.line(addr).Orphans; n != 1 {
			t.Errorf("%d orphans", n)
		}
		// It is noticed once: what was obtained since is in no doubt.
		w.crash()
		w.set(trader("a@example.com", ""))
		w.pass(3*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		if after := w.server.Counts(standin.Coinify); after.Grants != 2 || after.Reuses != 0 || w.line(addr).Orphans != 1 {
			t.Errorf("later %d grants, %d reuses, %d orphans", after.Grants, after.Reuses, w.line(addr).Orphans)
		}
	})
}

// remote is places in a Vault, which refuses everything while it is away.
type remote struct {
	*places
	away atomic.Bool
}

var errAway = errors.New("connection refused")

func (r *remote) Render(args spec.Values) (sinks.Desired, error) {
	d, err := r.places.Render(args)
	d.Target = "vault.main"
	return d, err
}

func (r *remote) Check(ctx context.Context, d sinks.Desired, written []byte) (string, error) {
	if r.away.Load() {
		return "", errAway
	}
	return r.places.Check(ctx, d, written)
}

func (r *remote) Write(ctx context.Context, d sinks.Desired, written []byte) ([]byte, error) {
	if r.away.Load() {
		return nil, errAway
	}
	return r.places.Write(ctx, d, written)
}

// The places that know of it are away for a while after the start, as a Vault is that
// boots together with its clients: while the token held lives, its refresh token is not
// sent before they were seen. A look that failed has seen nothing.
func TestARefreshWaitsForThePlacesThatKnow(t *testing.T) {
	for name, c := range map[string]struct {
		back  bool          // the state went back
		away  time.Duration // how long the places are, from the start on
		order bool
		// What came of it: logins, tokens sent twice, and when the refresh token was
		// sent at the latest, after the start.
		grants, reuses int
	}{
		"back, and away for long":     {back: true, away: 8 * time.Minute, grants: 2},
		"back, and never away":        {back: true, grants: 2},
		"back, and away for too long": {back: true, away: time.Hour, grants: 2, reuses: 1},
		"back, and a person insists":  {back: true, away: 8 * time.Minute, order: true, grants: 2, reuses: 1},
		"not back, and away":          {away: time.Hour, grants: 1},
	} {
		t.Run(name, func(t *testing.T) {
			o := strict()
			o.Rules.AccessLifetime = time.Hour
			inWorld(t, o, func(t *testing.T, w *world) {
				const addr = "credential.coinify.trader"
				r := &remote{places: w.places}
				w.halt()
				w.kind = r
				w.start()
				w.set(trader("a@example.com", ""))
				time.Sleep(time.Minute)
				old, _, err := w.store.Credential(t.Context(), addr)
				if err != nil {
					t.Fatal(err)
				}
				oldSink, err := w.store.Sink(t.Context(), traderSink)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(44 * time.Minute)
				w.halt()
				if c.back {
					w.putBack(addr, old, oldSink)
				}
				r.away.Store(c.away > 0)
				w.start()
				w.set(trader("a@example.com", ""))
				if c.order {
					time.Sleep(time.Second)
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					_ = w.loop.Do(ctx, addr, reconcile.Order{Kind: reconcile.OrderRefresh})
					cancel()
				}
				time.Sleep(c.away)
				r.away.Store(false)
				time.Sleep(10 * time.Minute)
				if n := w.server.Counts(standin.Coinify); int(n.Grants) != c.grants || int(n.Reuses) != c.reuses || !w.works(standin.Coinify, "trader") {
					t.Errorf("%d grants, %d reuses; works %v: %+v", n.Grants, n.Reuses, w.works(standin.Coinify, "trader"), w.line(addr))
				}
			})
		})
	}
}
