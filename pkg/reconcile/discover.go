package reconcile

import (
	"context"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// Reading an issuer's metadata spends nothing and needs no intent, but it is a request
// to a provider like any: it waits for its turn under the rate limit and for a slot.

// discover reads what a call needs of them, where that was not read of late, as one of
// the requests of the job's lane. It is errNotBegun when tokend stops, or that host does
// not answer.
func (w *worker) discover(ctx context.Context, j *job, ep Endpoint, grant string, inputs spec.Values, origins []string) error {
	return w.discoverUntil(ctx, w.stopped, j, ep, grant, inputs, origins)
}

// discoverUntil is discover of which the turn is waited for until given up.
func (w *worker) discoverUntil(ctx context.Context, givenUp <-chan struct{}, j *job, ep Endpoint, grant string, inputs spec.Values, origins []string) error {
	issuer := ep.Undiscovered(grant, inputs)
	if issuer == "" {
		return nil
	}
	if err := j.barred(originOf(issuer), w.now()); err != nil {
		return err
	}
	_, err := j.inFlight(w.now, givenUp, func() (*providers.Reply, error) {
		return nil, ep.Discover(ctx, grant, inputs, origins)
	})
	if err == nil && j.lane != nil && j.lane.name != localLane { // what the call itself meets is told by that
		j.lane.hostAnswers(w.log, originOf(issuer), w.now())
	}
	return err
}

// Discover is what [Endpoint.Discover] is, for a login that begins with it, under the
// limits of its provider: as [Loop.Ask].
func (l *Loop) Discover(ctx context.Context, want *spec.Credential, ep Endpoint, c providers.Call) error {
	issuer := ep.Undiscovered(c.Grant, c.Inputs)
	if issuer == "" {
		return nil
	}
	return l.through(ctx, want, ep.RateLimit(), "discover", originOf(issuer), func(ctx context.Context) error {
		return ep.Discover(ctx, c.Grant, c.Inputs, nil)
	})
}
