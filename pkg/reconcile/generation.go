package reconcile

import (
	"context"
	"errors"
	"fmt"

	"tokend/pkg/state"
)

// A generation tells whether a place holds the token in force. The record of a
// credential may go while a place holds its token still: that could not be cleaned in
// time, the guard holds it, or a person took the record out. The record that follows
// under this address begins above what such a place may hold, which would pass for the
// new token otherwise, and at a start not even be looked at.

// nextGeneration is that of the token which comes next.
func (in *Input) nextGeneration() uint64 { return max(in.Record.Head.Generation, in.Former) + 1 }

// formerly lists the sinks that may hold the token of an earlier record of a
// credential.
func formerly(c *item) (sinks []string) {
	if c.gen > 0 {
		return nil
	}
	for _, u := range c.users {
		if u.kind == kindSink && u.stored {
			sinks = append(sinks, u.addr)
		}
	}
	return sinks
}

// former is the newest generation that those sinks may hold.
func (w *worker) former(ctx context.Context, j *job) (newest uint64, err error) {
	for _, addr := range j.formerly {
		rec, err := w.store.Sink(ctx, addr)
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("reading the record of %s: %w", addr, err)
		}
		newest = max(newest, rec.Delivered[j.addr])
		for _, left := range rec.Left {
			newest = max(newest, left[j.addr])
		}
	}
	return newest, nil
}
