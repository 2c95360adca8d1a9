package reconcile

import (
	"context"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// Reading an issuer's metadata spends nothing and needs no intent, but it is a request
// to a provider like any: it waits for its turn under the rate limit and for a slot.

// discover reads what a call needs of them, where that was not read of late, as one of
// the requests of the job's lane. It is errNotBegun when tokend stops.
func (w *worker) discover(ctx context.Context, j *job, ep Endpoint, grant string, inputs spec.Values, origins []string) error {
	if !ep.Undiscovered(grant, inputs) {
		return nil
	}
	_, err := j.inFlight(w.now, w.stopped, func() (*providers.Reply, error) {
		return nil, ep.Discover(ctx, grant, inputs, origins)
	})
	return err
}

// Discover is what [Endpoint.Discover] is, for a login that begins with it, under the
// limits of its provider: as [Loop.Ask].
func (l *Loop) Discover(ctx context.Context, want *spec.Credential, ep Endpoint, c providers.Call) error {
	if !ep.Undiscovered(c.Grant, c.Inputs) {
		return nil
	}
	return l.through(ctx, want, ep.RateLimit(), "discover", func(ctx context.Context) error {
		return ep.Discover(ctx, c.Grant, c.Inputs, nil)
	})
}
