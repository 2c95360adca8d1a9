package reconcile

import "sync"

// hookRuns are the hooks that run, each with the sinks that were written since its run
// began: of those it may have seen what was there before, so it has not answered for
// them. No clock is asked for that, which may be set back between the two. All methods
// are safe for concurrent use.
type hookRuns struct {
	mu      sync.Mutex
	written map[string]map[string]bool // by hook
}

// begin begins a run. What is written from now on another one has to tell.
func (r *hookRuns) begin(hook string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.written == nil {
		r.written = map[string]map[string]bool{}
	}
	r.written[hook] = map[string]bool{}
}

// end ends it.
func (r *hookRuns) end(hook string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.written, hook)
}

// wrote notes that a sink was written, before its record says so.
func (r *hookRuns) wrote(sink string, hooks []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range hooks {
		if since, runs := r.written[h]; runs {
			since[sink] = true
		}
	}
}

// answers says that the run under way of a hook has told of all that was written to a
// sink.
func (r *hookRuns) answers(hook, sink string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, runs := r.written[hook]
	return runs && !since[sink]
}
