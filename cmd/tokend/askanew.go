package main

import (
	"context"

	"tokend/pkg/reconcile"
)

// askAnew has servers asked by their certificates as these are now, and looks at once at
// what fails: it may have failed for one that was missing or of no use.
func (d *service) askAnew(ctx context.Context) {
	d.pool.Changed()
	d.touched(ctx, nil, true)
	v, err := d.loop.Status(ctx, "")
	if err != nil {
		return // it ends
	}
	var failing []string
	for _, lines := range [][]reconcile.Line{v.Credentials, v.Sinks} {
		for _, l := range lines {
			if l.State == reconcile.Failing {
				failing = append(failing, l.Address)
			}
		}
	}
	if err := d.loop.Wake(ctx, failing); err != nil && ctx.Err() == nil {
		d.log.Error("looking at what changed", "error", err)
	}
}
