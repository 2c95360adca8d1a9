package reconcile

import (
	"context"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// Ask sends a request to a credential's provider that is no step of it and spends
// nothing: the one for a device code, which a login begins with (RFC 8628 section
// 3.1). It is one of the requests of its provider's lane like any: it waits for its
// turn under the rate limit and for a slot, and its outcome counts for the breaker.
// A person waits for it, so an open breaker lets it through, as the call by which it
// is found out whether the provider answers.
//
// The endpoint and the call are those of [Loop.LoginCall]; read is given the reply
// and says what it means. Ask gives up when ctx ends, and with [ErrClosed] when the
// loop does.
func (l *Loop) Ask(ctx context.Context, want *spec.Credential, ep Endpoint, c providers.Call, read func(*providers.Reply) error) error {
	req, err := ep.Prepare(c)
	if err != nil {
		return err
	}
	return l.through(ctx, want, ep.RateLimit(), string(c.Op), req.Origin, func(ctx context.Context) error {
		reply, err := ep.Send(ctx, req)
		if err == nil {
			err = read(reply)
		}
		return err
	})
}

// through makes a request as one of its provider's lane, under its limits, and takes
// over what it says of the provider.
func (l *Loop) through(ctx context.Context, want *spec.Credential, limits spec.RateLimit, op, origin string, send func(context.Context) error) error {
	j, err := l.admit(ctx, want, limits)
	if err != nil {
		return err
	}
	sending, done := l.w.untilStop(ctx)
	defer done()
	var began time.Time
	_, err = j.inFlight(l.o.Now, sending.Done(), func() (*providers.Reply, error) {
		began = l.o.Now()
		return nil, send(sending)
	})
	var said *health
	switch {
	case sending.Err() != nil && ctx.Err() == nil:
		err = ErrClosed
	case sending.Err() != nil:
		err = ctx.Err() // what a request came to that was cut short says nothing of its provider
	default:
		if h, ok := healthOf(err); ok {
			h.origin = origin
			said = &h
		}
		if l.o.Observe != nil {
			l.o.Observe(Event{Address: j.addr, Type: want.Type.Name, Op: op, Class: classOf(err), Took: l.o.Now().Sub(began)})
		}
	}
	_ = l.do(context.WithoutCancel(ctx), func() { l.dismiss(j, said) }) // a loop that has ended has no lanes
	return err
}

// admit makes a request one of those of its provider's lane.
func (l *Loop) admit(ctx context.Context, want *spec.Credential, limits spec.RateLimit) (*job, error) {
	j := &job{addr: string(want.Addr)}
	err := l.do(ctx, func() {
		n := l.q.lane(string(want.Provider))
		if l.askLimit(n); !n.said && n.setting.Requests == 0 {
			n.setLimit(limits)
		}
		if b := &n.breaker; b.open() {
			b.lets(j.addr, l.o.Now(), fraction(n.name, j.addr))
		}
		n.running++ // as any that is worked on
		j.lane, j.calls, j.pace, j.seat, j.keepSent = n, n.calls, n.pace, n.pace.take(), l.w.keepSent
	})
	return j, err
}

// dismiss ends that, and takes over what the request said of the provider.
func (l *Loop) dismiss(j *job, said *health) {
	j.seat.leave()
	if said != nil {
		l.heard(j.lane, j.addr, *said)
	} else if !j.sent {
		j.lane.breaker.unsent(j.addr)
	}
	l.unbar(j.lane)
	j.lane.running--
	l.q.drop(j.lane)
}
