package reconcile_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// gate holds calls to the providers back while it is shut, and counts those that
// came.
type gate struct {
	shut atomic.Pointer[chan struct{}]
	came atomic.Int32
}

func (g *gate) before(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		g.came.Add(1)
		if shut := g.shut.Load(); shut != nil {
			<-*shut
		}
		return dial(ctx, network, address)
	}
}

// The moves that a dry run showed are made for good once what was ordered in between
// has ended, and nothing else begins before: also where the loop is resumed
// meanwhile, which holds afterwards.
func TestShownMovesAreMadeInStillness(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Minute)
		w.halt()
		var g gate
		w.dial = g.before(w.dial)
		w.begin(true)
		cfg := w.config(renamedTrader("renamed", "delivered", bystander+movedBoth))
		set := func(o reconcile.SetOptions) error {
			_, err := w.loop.Set(t.Context(), cfg, o)
			return err
		}
		if err := set(reconcile.SetOptions{NoSettle: true, Dry: true}); err != nil {
			t.Fatal(err)
		}
		if err := w.loop.Resume(t.Context(), "credential.coinify.renamed"); err != nil {
			t.Fatal(err)
		}
		open := make(chan struct{})
		g.shut.Store(&open)
		ordered, done := make(chan error, 1), make(chan error, 1)
		go func() {
			ordered <- w.loop.Do(t.Context(), "credential.coinify.renamed", reconcile.Order{Kind: reconcile.OrderRefresh})
		}()
		w.until("the call that was ordered", func() bool { return g.came.Load() == 1 })
		go func() { done <- set(reconcile.SetOptions{NoSettle: true}) }()
		time.Sleep(time.Second)
		if err := w.loop.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		moved := func() bool {
			_, _, err := w.store.Credential(t.Context(), "credential.coinify.renamed")
			return err == nil
		}
		if len(done) > 0 || moved() {
			t.Error("the records were moved under work that knows them by other names")
		}
		if n := g.came.Load(); n != 1 {
			t.Errorf("%d calls were begun meanwhile", n)
		}
		g.shut.Store(nil)
		close(open)
		if err := <-ordered; err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil || !moved() {
			t.Errorf("moved: %t, %v", moved(), err)
		}
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Refreshes != 1 {
			t.Errorf("%d grants, %d refreshes: the loop does not go on", c.Grants, c.Refreshes)
		}
		var heads int
		if err := w.store.Heads(t.Context(), func(state.Head) error { heads++; return nil }); err != nil || heads != 3 {
			t.Errorf("%d records, %v", heads, err)
		}
	})
}
