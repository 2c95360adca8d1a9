package reconcile

import (
	"context"
	"errors"
	"fmt"

	"tokend/pkg/state"
)

// restore reads the heads of all records. Until a configuration is set nothing
// is declared and nothing happens.
func (l *Loop) restore(ctx context.Context) error {
	b, err := l.o.Store.Meta(ctx, metaGuardLog)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("reading the guard's log: %w", err)
	}
	if l.guard, err = readGuardLog(b); err != nil {
		return err
	}
	// Growing a map to a hundred thousand costs more than filling it.
	info := l.o.Store.Info()
	l.items = make(map[string]*item, info.Records)
	l.restored = restored{serial: info.Serial, digests: make([][16]byte, 0, info.Records)}
	return readHeads(ctx, l.o.Store, func(h *state.Head) {
		kind := kindCredential
		if h.Kind == state.KindSink {
			kind = kindSink
		}
		it := l.item(h.Address, kind)
		it.stored, it.gone = true, true
		it.takeHead(h)
		l.restored.add(it, h)
	})
}

func (it *item) takeHead(h *state.Head) {
	it.gen = h.Generation
	it.expires = nanos(h.ExpiresAt)
	it.due = nanos(h.Due)
	if h.Intent {
		it.due = 0 // what became of it is found out at once
	}
	if it.retiring = 0; h.Flags&state.FlagRetiring != 0 {
		it.retiring = 1
	}
	it.removing = h.Flags&state.FlagRemoving != 0
	if h.Flags&state.FlagVerify != 0 {
		it.ext().measured = &measured{}
	}
	if h.Orphans.Count > 0 {
		it.ext().orphans = state.Orphans{h.Orphans}
	}
	it.remains = h.Orphans.Count > 0 && h.Generation == 0 && !h.Intent && h.Flags&(state.FlagRetiring|state.FlagRaw|state.FlagRemoving) == 0
}
