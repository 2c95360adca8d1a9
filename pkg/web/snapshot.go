package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tokend/pkg/reconcile"
)

const (
	// patience is how long a request waits for the loop. It is below
	// Prometheus' default scrape timeout, so that a loop that hangs is seen as
	// such and not as a host that is down.
	patience = 5 * time.Second
	// restFactor bounds what asking costs the loop: a view that took one unit
	// of time is good for that many, so at most about a tenth goes into views.
	restFactor = 10
	// restFloor: a shorter rest is not worth a timer.
	restFloor = 5 * time.Millisecond
)

// snapshots takes views of everything. Building one holds the loop up, and
// anybody who reaches the port can ask; so there is one at a time, all who ask
// meanwhile share it, and one that was expensive is kept for a moment.
type snapshots struct {
	source Source

	mu      sync.Mutex
	current *snapshot
}

// snapshot is one view, there once done is closed.
type snapshot struct {
	done chan struct{}
	view reconcile.View
	err  error
}

// get returns a view that is shared: it must not be changed.
func (s *snapshots) get(ctx context.Context) (reconcile.View, error) {
	s.mu.Lock()
	c := s.current
	if c == nil {
		c = &snapshot{done: make(chan struct{})}
		s.current = c
		go s.take(c)
	}
	s.mu.Unlock()
	select {
	case <-c.done:
		return c.view, c.err
	case <-ctx.Done():
		return reconcile.View{}, ctx.Err()
	}
}

// take belongs to no request: whoever asked first may hang up while others wait.
func (s *snapshots) take(c *snapshot) {
	began := time.Now()
	c.view, c.err = ask(context.Background(), s.source, "")
	rest := restFactor * time.Since(began)
	close(c.done)
	if c.err != nil || rest < restFloor {
		s.drop(c)
		return
	}
	// Dropped by a timer and not by the next who asks: a hundred thousand lines
	// must not stay in memory between two scrapes.
	time.AfterFunc(rest, func() { s.drop(c) })
}

func (s *snapshots) drop(c *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == c {
		s.current = nil
	}
}

// ask asks the loop, but not for ever.
func ask(ctx context.Context, source Source, addr string) (v reconcile.View, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the reconcile loop has not answered for %s", patience))
	defer cancel()
	v, err = source.Status(ctx, addr)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return v, err
}
