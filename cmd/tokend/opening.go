package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tokend/pkg/control"
	"tokend/pkg/reconcile"
)

// opening is what a daemon answers at its socket before a configuration is in force.
// Whoever asks waits, since there is nothing true to say yet. But where neither the
// configuration nor the one that was last in force can be taken over, as on a full
// disk, that may take until a person has seen to it: status says so then,
// `state backup` works, and everything else is refused with the reason.
type opening struct {
	mu    sync.Mutex
	why   error
	stuck chan struct{} // closed when that is known for the first time
	over  chan struct{} // closed when a configuration is in force
}

func newOpening() *opening {
	return &opening{stuck: make(chan struct{}), over: make(chan struct{})}
}

// is says why nothing can begin.
func (o *opening) is(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.why == nil {
		close(o.stuck)
	}
	o.why = why
}

func (o *opening) reason() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.why
}

// answers are those of a daemon that begins: those of any daemon once it has begun.
func (d *service) answers() http.Handler {
	own, before := routes(d), http.NewServeMux()
	handle(before, "status", func(context.Context, addressRequest) (statusReply, error) { return d.unopened(), nil })
	before.Handle("POST /v1/state/backup", own) // needs no configuration
	before.Handle("/", control.Handle(func(context.Context, map[string]any) (struct{}, error) {
		c := d.unopened().Configuration
		return struct{}{}, &control.Error{Kind: control.KindUnavailable, Message: "the daemon has no configuration in force yet: " + c.Nothing, Hint: roomHint(c)}
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-d.opening.over:
		case <-d.opening.stuck:
		case <-r.Context().Done():
			return
		}
		select {
		case <-d.opening.over:
			own.ServeHTTP(w, r)
		default:
			before.ServeHTTP(w, r)
		}
	})
}

// unopened is the status of a daemon that has nothing in force.
func (d *service) unopened() statusReply {
	d.mu.Lock()
	c := d.conf // and nothing that what is in force says
	d.mu.Unlock()
	c.Nothing = d.opening.reason().Error()
	return statusReply{View: reconcile.View{Now: time.Now(), Counts: map[reconcile.State]int{}}, Daemon: true, Version: version, Configuration: c}
}

// roomHint is what to do where nothing can be taken over.
func roomHint(c configurationView) string {
	return fmt.Sprintf("make room for the state, or mend its disk; it is tried again every %s, with what %s says then", takeAgain, c.Directory)
}
