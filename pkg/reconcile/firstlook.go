package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A start takes over everything at once. What it needs to know of a hundred
// thousand addresses is gathered here before the loop's goroutine has to do with
// it, on several processors and in one pass over the state: a worker and a
// transaction for each would cost several times as much.

// naming is what the index needs to know of one declared address.
type naming struct {
	names  []spec.Address // secrets and credentials
	secret bool           // a changed secret may be a reason to do something at once
	lane   string         // of a credential: its provider's
}

// restored is what of the records is needed until the first configuration is taken
// over, as they were when all were read.
type restored struct {
	serial  uint64 // of the store, at the end of that
	digests [][16]byte
}

// met is what is known of a declared address at a start.
type met struct {
	it     *item   // nil: it is new
	uses   []edge  // of a sink that names credentials alone, all of them known: with the generations in force; else nil
	intact *intact // of a sink: nil where it has to be looked at
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
	n := naming{names: uses}
	if kindOf(string(addr)) == kindSink {
		n.secret = namesSecret(uses)
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

// declared is everything that a configuration declares, credentials before sinks,
// each sorted by address.
func declared(cfg *spec.Config) []spec.Declared {
	all := cfg.Declared()
	for i := range all {
		if d := &all[i]; d.Provider == "" && kindOf(string(d.Addr)) == kindCredential {
			n, _ := names(cfg, d.Addr, d.Uses)
			d.Uses, d.Provider, d.Direct = n.names, spec.Address(n.lane), n.secret
		}
	}
	return all
}

// namingOf is what the index needs to know of a row.
func namingOf(d *spec.Declared) naming {
	n := naming{names: d.Uses, lane: string(d.Provider), secret: d.Direct}
	if kindOf(string(d.Addr)) == kindSink {
		n.secret = namesSecret(d.Uses)
	}
	return n
}

func namesSecret(uses []spec.Address) bool {
	return slices.ContainsFunc(uses, func(a spec.Address) bool { return a.Kind() == "secret" })
}

// meet finds what is known of all that is declared, and what is new, different and
// gone by that. It returns what is recorded and said differently. It runs in the
// loop's goroutine.
func (l *Loop) meet(d *delta) (stored []string) {
	d.met, d.drops = make([]met, len(d.all)), l.drops
	var room []edge
	there := 0
	for i := range d.all {
		row, m := &d.all[i], &d.met[i]
		addr := string(row.Addr)
		if m.it = l.items[addr]; m.it == nil || m.it.row == 0 {
			d.changed = append(d.changed, addr)
		} else {
			there++
			if was := l.restored.digests[m.it.row-1]; was != row.Digest {
				d.changed, stored = append(d.changed, addr), append(stored, addr)
				d.note(addr, was)
			}
		}
		if m.it != nil && m.it.kind == kindSink {
			m.uses, room = l.edges(row.Uses, room)
		}
	}
	if there < len(l.restored.digests) {
		d.gone = l.undeclared(d.met)
	}
	return stored
}

// undeclared are the records of which nothing is declared.
func (l *Loop) undeclared(found []met) (gone []string) {
	declared := make(map[*item]bool, len(found))
	for i := range found {
		declared[found[i].it] = true
	}
	for a, it := range l.items {
		if it.row != 0 && !declared[it] {
			gone = append(gone, a)
		}
	}
	return gone
}

// edges are those to credentials that are all known, with the generations of their
// tokens; nil where one is not, or is something else. They are cut from room, of
// which the rest is returned.
func (l *Loop) edges(names []spec.Address, room []edge) (uses, rest []edge) {
	if cap(room)-len(room) < len(names) {
		room = make([]edge, 0, max(512, len(names)))
	}
	from := len(room)
	for _, n := range names {
		u := l.items[string(n)]
		if u == nil || u.kind != kindCredential {
			return nil, room[:from]
		}
		room = append(room, edge{to: u, holds: u.gen})
	}
	return room[from:len(room):len(room)], room
}

// lookFirst finds the sinks at which nothing changed since the last run: the
// configuration says the same of them (their records have the digests that they
// should have), the tokens that they name are those that they hold, and their
// places are as they were left. They need not be looked at, rendered, nor any
// token unsealed. found is what is known of each.
func (w *worker) lookFirst(ctx context.Context, sinks []spec.Declared, found []met) error {
	return w.store.Sinks(ctx, func(rec state.Sink) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		i, ok := slices.BinarySearchFunc(sinks, rec.Head.Address, func(d spec.Declared, a string) int { return strings.Compare(string(d.Addr), a) })
		if !ok {
			return nil
		}
		uses := found[i].uses
		gen := func(k int) uint64 {
			if len(uses) == 0 {
				return 0 // one of them is a secret, which may have changed, or new
			}
			return uses[k].holds
		}
		if upToDate(&rec, sinks[i].Digest, sinks[i].Uses, gen) {
			found[i].intact = w.intact(ctx, &rec)
		}
		return nil
	})
}

// upToDate says whether a sink's record leaves nothing to do where its block has a
// digest and names credentials, of whose tokens gen gives the generations in force.
func upToDate(rec *state.Sink, digest [16]byte, names []spec.Address, gen func(i int) uint64) bool {
	if rec.Failure != nil || len(rec.Leaving) > 0 || len(rec.Notify) > 0 || len(rec.Delivered) != len(names) || digest != rec.Head.Digest {
		return false
	}
	for i, u := range names {
		if held, ok := rec.Delivered[string(u)]; !ok || held == 0 || held != gen(i) {
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
	return &intact{place: placeOf(rec.Written), path: seen.Path, stamp: stampSeen(seen)}
}

// takeIntact takes a sink over that was found intact: it holds the tokens in
// force, and is not looked at before something happens. Its file is added to paths
// where it is to be watched from now on.
func (l *Loop) takeIntact(it *item, found *intact, paths []string) []string {
	it.looked = true
	for i := range it.uses {
		e := &it.uses[i]
		if e.holds = e.to.gen; e.to.retiring > 0 || e.to.gone {
			l.wake(e.to)
		}
	}
	if l.placeAt(it, &result{place: found.place, path: found.path, stamp: found.stamp}) {
		paths = append(paths, it.path)
	}
	return paths
}

// readHeads reads the heads of all records, in one goroutine, while the one that
// called takes over what the former has read.
func readHeads(ctx context.Context, store state.Store, take func(*state.Head)) error {
	const together = 512
	read := make(chan []state.Head, 2)
	failed := make(chan error, 1)
	go func() {
		defer close(read)
		var some []state.Head
		err := store.Heads(ctx, func(h state.Head) error {
			if some == nil {
				some = make([]state.Head, 0, together)
			}
			if some = append(some, h); len(some) == together {
				read <- some
				some = nil
			}
			return nil
		})
		if len(some) > 0 {
			read <- some
		}
		failed <- err
	}()
	for some := range read {
		for i := range some {
			take(&some[i])
		}
	}
	return <-failed
}

func (r *restored) add(it *item, h *state.Head) {
	r.digests = append(r.digests, h.Digest)
	it.row = uint32(len(r.digests))
}

// restoreAgain brings what was restored in line with the records, since something
// was written before there was a configuration.
func (l *Loop) restoreAgain(ctx context.Context) error {
	again := restored{serial: l.o.Store.Info().Serial}
	var heads []state.Head
	err := readHeads(ctx, l.o.Store, func(h *state.Head) { heads = append(heads, *h) })
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	return l.do(ctx, func() {
		for _, it := range l.items {
			it.row = 0
		}
		for i := range heads {
			if it, ok := l.items[heads[i].Address]; ok {
				again.add(it, &heads[i])
			}
		}
		l.restored = again
	})
}
