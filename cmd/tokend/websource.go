package main

import (
	"context"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/web"
)

// stats is what the metrics say of the state.
func (d *service) stats() web.StateStats {
	i := d.store.Info()
	return web.StateStats{Bytes: i.Bytes, Syncs: i.Syncs}
}

// webSource is what the web pages read.
type webSource struct{ d *service }

func (s webSource) Status(ctx context.Context, addr string) (reconcile.View, error) {
	return s.d.loop.Status(ctx, addr)
}

func (s webSource) Progress() time.Time { return s.d.loop.Progress() }

func (s webSource) Configuration() web.Configuration {
	c := s.d.configuration()
	policy := ""
	if p := c.Policy; p != nil {
		policy = web.PolicyInForce
		if p.Error != "" {
			policy = web.PolicyBroken
		}
	}
	return web.Configuration{Policy: policy, Valid: c.Valid, LoadedAt: c.LoadedAt, Errors: len(c.Errors), NotTaken: c.NotTaken != "", Source: c.Directory, Commit: c.Commit, Git: gitView(c.Git)}
}
