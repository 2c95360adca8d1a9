package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"tokend/pkg/reconcile"
)

const (
	// applySilence is how long an apply may say nothing. It looks less and less often
	// after that, since the view of a hundred thousand addresses takes a while.
	applySilence = 2 * time.Second
	// applyWaitsShown bounds how many of those that it waits for it names.
	applyWaitsShown = 5
)

// sayWaits says once, while an apply gives failing steps their retries, which those
// are, until ctx ends. It returns when it has said so, or never will.
func sayWaits(ctx context.Context, w io.Writer, look func(context.Context) (reconcile.View, error)) {
	for every := applySilence; pause(ctx, every) == nil; every *= 2 {
		v, err := look(ctx)
		if err != nil {
			return // the apply itself tells of it
		}
		if printWaits(w, v) {
			return
		}
	}
}

// printWaits names what is tried again, if anything is.
func printWaits(w io.Writer, v reconcile.View) bool {
	n := 0
	for _, lines := range [][]reconcile.Line{v.Credentials, v.Sinks, v.Hooks} {
		for _, l := range lines {
			if l.State != reconcile.Failing {
				continue
			}
			if n == 0 {
				fmt.Fprintf(w, "Trying again what fails, for up to %s (Ctrl-C ends it):\n", short(applyRetries))
			}
			if n++; n <= applyWaitsShown {
				fmt.Fprintf(w, "  %s: %s\n", shown(l.Address), l.Why)
			}
		}
	}
	if n > applyWaitsShown {
		fmt.Fprintf(w, "  and %d more\n", n-applyWaitsShown)
	}
	return n > 0
}

// howItDoes is the view of who works on the state, at this moment: of a command's own
// engine what it found out, and not what a survey of the records would say.
func (t *target) howItDoes(ctx context.Context) (reconcile.View, error) {
	if e, ok := t.backend.(*engine); ok {
		return e.loop.Status(ctx, "")
	}
	s, err := t.Status(ctx, "")
	return s.View, err
}
