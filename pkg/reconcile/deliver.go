package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tokend/pkg/spec"
)

// UndeliveredError says that a token is there, and that sinks which name it do
// not hold it; or that there is no token to be held.
type UndeliveredError struct {
	Sinks []Line // how each of them does
	// Credential is how the credential does whose token has no successor, and nil
	// where it has one.
	Credential *Line
}

func (e *UndeliveredError) Error() string {
	if c := e.Credential; c != nil {
		why := c.Why
		if why == "" {
			why = "it is not obtained yet"
		}
		return "there is no new token: " + why
	}
	const most = 3
	var parts []string
	for i, s := range e.Sinks {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(e.Sinks)-most))
			break
		}
		why := s.Why
		if why == "" {
			why = "it is not written yet"
		}
		parts = append(parts, fmt.Sprintf("%s: %s", spec.Address(s.Address).Short(), why))
	}
	return fmt.Sprintf("%s not hold the new token: %s", count(len(e.Sinks), "sink")+does(len(e.Sinks)), strings.Join(parts, "; "))
}

func does(n int) string {
	if n == 1 {
		return " does"
	}
	return " do"
}

// Mend is what to do about the first of them.
func (e *UndeliveredError) Mend() string {
	if e.Credential != nil {
		return e.Credential.Mend
	}
	for _, s := range e.Sinks {
		if s.Mend != "" {
			return s.Mend
		}
	}
	return ""
}

// A delivery that somebody waits for is looked at after firstDeliveryLook, and
// then at intervals that double up to slowestDeliveryLook: most are over at once,
// and one of many sinks takes its time anyway.
const (
	firstDeliveryLook   = 10 * time.Millisecond
	slowestDeliveryLook = 500 * time.Millisecond
)

// Delivered waits, once an order about a credential was carried out, until every
// sink that names it holds the token in force, and no longer than a while. A sink
// that fails gets its retries meanwhile. What has not been written by then, or has
// to wait for something else, is an *UndeliveredError; but not a sink that waits
// for the tokens of other credentials and holds no older one of this: nobody can
// have read that there. With anew, the token in force was given up: the one to be
// delivered is waited for first, through its retries too, as long as something
// declares it.
func (l *Loop) Delivered(ctx context.Context, addr string, anew bool, within time.Duration) error {
	p := &patience{until: l.o.Now().Add(within), every: firstDeliveryLook, end: time.After(within)}
	if anew {
		if err := l.awaitSuccessor(ctx, addr, p); err != nil {
			return err
		}
	}
	return l.awaitSinks(ctx, addr, anew, p)
}

// awaitSuccessor waits for the token that follows one which was given up.
func (l *Loop) awaitSuccessor(ctx context.Context, addr string, p *patience) error {
	for {
		var line *Line
		var tried bool
		if err := l.do(ctx, func() { line, tried = l.successor(addr, p.until) }); err != nil || line == nil {
			return err
		}
		// The record is read after that look: with a token in it, its sinks come next.
		if there, err := l.hasToken(ctx, addr); err != nil || there {
			return err
		}
		if !tried || p.over {
			return &UndeliveredError{Credential: line}
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

// awaitSinks waits until every sink that names a credential holds its token in
// force.
func (l *Loop) awaitSinks(ctx context.Context, addr string, anew bool, p *patience) error {
	for {
		var busy bool
		var left []Line
		err := l.do(ctx, func() {
			if busy = !p.over && l.delivering(addr, anew, p.until); !busy {
				left = l.undelivered(addr)
			}
		})
		if err != nil {
			return err
		}
		if !busy {
			return undelivered(left)
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

// patience is how long somebody waits for a delivery, and what is left of it.
type patience struct {
	until time.Time // by the loop's clock
	every time.Duration
	end   <-chan time.Time
	over  bool
}

// wait lets some time go by before the next look.
func (p *patience) wait(ctx context.Context) error {
	select {
	case <-time.After(p.every):
	case <-p.end:
		p.over = true
	case <-ctx.Done():
		return ctx.Err()
	}
	p.every = min(2*p.every, slowestDeliveryLook)
	return nil
}

func undelivered(left []Line) error {
	if len(left) == 0 {
		return nil
	}
	slices.SortFunc(left, func(a, b Line) int { return strings.Compare(a.Address, b.Address) })
	return &UndeliveredError{Sinks: left}
}

// successor is how a credential does whose token was given up, and whether another
// one is tried for before a time; nil where nothing declares it any more.
func (l *Loop) successor(addr string, until time.Time) (line *Line, tried bool) {
	c := l.credentialAt(addr)
	if c == nil || c.gone {
		return nil, false
	}
	var v View
	l.add(&v, c)
	return &v.Credentials[0], c.busyUntil(until) || c.x != nil && len(c.x.orders) > 0
}

// HasToken says whether an address has a token in force; true of what never has one, a
// sink, say, and where that is not known.
func (l *Loop) HasToken(ctx context.Context, addr string) bool {
	if kindOf(addr) != kindCredential {
		return true
	}
	has, err := l.hasToken(ctx, addr)
	return has || err != nil
}

// hasToken says whether a credential has a token in force.
func (l *Loop) hasToken(ctx context.Context, addr string) (bool, error) {
	_, err := l.w.attributes(ctx, spec.Address(addr))
	if errors.Is(err, errNoToken) {
		return false, nil
	}
	return err == nil, err
}

// delivering says whether what a sink lacks of a credential's token in force may
// change before a time without anybody's doing. The first such sink is enough: the
// loop does nothing else meanwhile, and a credential may have thousands of them.
func (l *Loop) delivering(addr string, anew bool, until time.Time) bool {
	c := l.credentialAt(addr)
	if c == nil {
		return false
	}
	// The order has been answered before its result was taken over.
	if c.x != nil && len(c.x.orders) > 0 || anew && c.busyUntil(time.Time{}) {
		return true
	}
	return slices.ContainsFunc(c.users, func(u *item) bool {
		return (u.busyUntil(until) || l.putOff(u)) && l.behind(u, c)
	})
}

// undelivered lists the sinks that name a credential and do not hold its token in
// force.
func (l *Loop) undelivered(addr string) (left []Line) {
	c := l.credentialAt(addr)
	if c == nil {
		return nil
	}
	for _, u := range c.users {
		if !l.behind(u, c) {
			continue
		}
		var v View
		l.add(&v, u)
		if u.holdsOf(c) == 0 && len(v.Sinks) == 1 && v.Sinks[0].State == Waiting {
			continue // it waits for other credentials' tokens, and holds no older one of this
		}
		left = append(left, v.Sinks...)
	}
	return left
}

// credentialAt is the credential at an address, nil where there is none.
func (l *Loop) credentialAt(addr string) *item {
	if c, ok := l.items[addr]; ok && c.kind == kindCredential {
		return c
	}
	return nil
}

// behind says that a sink names a credential and does not hold its token in force.
func (l *Loop) behind(u, c *item) bool {
	return u.kind == kindSink && !u.gone && u.holdsOf(c) < c.gen && l.names(u, c)
}

// busyUntil says that an item is worked on, or will be before a time.
func (it *item) busyUntil(t time.Time) bool {
	return it.phase == ready || it.phase == running || it.phase == timed && !fromNanos(it.due).After(t)
}

// names says whether the configuration of a sink names a credential; one that
// holds its token still may name it no longer.
func (l *Loop) names(u, c *item) bool {
	cfg := l.configOf(u)
	if cfg == nil {
		return false
	}
	uses, err := cfg.Uses(spec.Address(u.addr))
	return err != nil || slices.Contains(uses, spec.Address(c.addr)) // errors are the sink's own to say
}
