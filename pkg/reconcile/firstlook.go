package reconcile

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A start takes over everything at once. What it needs to know of a hundred
// thousand addresses is gathered here before the loop's goroutine has to do with
// it, on several processors and in one pass over the state: a worker and a
// transaction for each would cost several times as much.

// naming is what the index needs to know of one declared address.
type naming struct {
	addr   spec.Address
	digest [16]byte
	names  []spec.Address // secrets and credentials
	secret bool           // a changed secret may be a reason to do something at once
	lane   string         // of a credential: its provider's
	intact *intact        // of a sink: nil where it has to be looked at
}

// intact is what is known of a sink at which nothing changed since the last run.
type intact struct {
	place string
	path  string
	stamp stamp
}

// names reads from a configuration what the index needs of one address; false
// where it is not declared.
func names(cfg *spec.Config, addr spec.Address, uses []spec.Address) (naming, bool) {
	n := naming{addr: addr, names: uses}
	if kindOf(string(addr)) == kindSink {
		n.secret = slices.ContainsFunc(uses, func(a spec.Address) bool { return a.Kind() == "secret" })
		return n, true
	}
	c, err := cfg.Credential(addr)
	if err != nil {
		return n, false
	}
	n.names, n.lane = c.Uses, string(c.Provider)
	n.secret = c.Direct()
	return n, true
}

// namings are those of everything that a configuration declares, credentials
// before sinks, each sorted by address.
func namings(cfg *spec.Config) []naming {
	all := cfg.Declared()
	out := make([]naming, len(all))
	atOnce(len(all), func(i int) {
		d := &all[i]
		if d.Provider != "" {
			out[i] = naming{addr: d.Addr, names: d.Uses, lane: string(d.Provider), secret: d.Direct}
		} else {
			out[i], _ = names(cfg, d.Addr, d.Uses)
		}
		out[i].digest = d.Digest
	})
	return out
}

// atOnce calls f for each of n, on all processors.
func atOnce(n int, f func(i int)) {
	const chunk = 512
	from := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 8) {
		wg.Go(func() {
			for at := range from {
				for i := at; i < min(n, at+chunk); i++ {
					f(i)
				}
			}
		})
	}
	for at := 0; at < n; at += chunk {
		from <- at
	}
	close(from)
	wg.Wait()
}

// lookFirst finds the sinks at which nothing changed since the last run: the
// configuration says the same of them (their records have the digests that they
// should have), the tokens that they name are those that they hold, and their
// places are as they were left. They need not be looked at, rendered, nor any
// token unsealed. gens are the generations in force by credential.
func (w *worker) lookFirst(ctx context.Context, sinks []naming, gens map[string]uint64) error {
	return w.store.Sinks(ctx, func(rec state.Sink) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		i, ok := slices.BinarySearchFunc(sinks, rec.Head.Address, func(n naming, a string) int { return strings.Compare(string(n.addr), a) })
		if ok && sinks[i].upToDate(&rec, gens) {
			sinks[i].intact = w.intact(ctx, &rec)
		}
		return nil
	})
}

// upToDate says whether a sink's record leaves nothing to do.
func (n *naming) upToDate(rec *state.Sink, gens map[string]uint64) bool {
	if rec.Failure != nil || len(rec.Leaving) > 0 || len(rec.Notify) > 0 || len(rec.Delivered) != len(n.names) || n.digest != rec.Head.Digest {
		return false
	}
	for _, u := range n.names {
		// A secret among them, which may have changed, is not found here.
		if gen, ok := rec.Delivered[string(u)]; !ok || gen == 0 || gen != gens[string(u)] {
			return false
		}
	}
	return true
}

// intact asks a sink's kind whether the place is as it was left; nil: no.
func (w *worker) intact(ctx context.Context, rec *state.Sink) *intact {
	kind, account := w.o.Sinks[rec.SinkKind], accountOf(rec.Written)
	if kind == nil {
		return nil
	}
	seen, ok := kind.Intact(ctx, account)
	if !ok {
		return nil
	}
	return &intact{place: placeOf(rec.Written), path: seen.Path, stamp: stamp{ino: seen.Inode, ctime: seen.Changed}}
}

// takeIntact takes a sink over that was found intact: it holds the tokens in
// force, and is not looked at before something happens.
func (l *Loop) takeIntact(it *item, found *intact) {
	it.looked = true
	for i := range it.uses {
		e := &it.uses[i]
		if e.holds = e.to.gen; e.to.retiring > 0 || e.to.gone {
			l.wake(e.to)
		}
	}
	l.place(it, result{place: found.place, path: found.path, stamp: found.stamp})
}
