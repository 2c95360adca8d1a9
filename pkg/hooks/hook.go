package hooks

import (
	"context"

	"tokend/pkg/spec"
)

// Hook is one kind of what is done after sinks changed. One Hook serves all
// blocks of its kind and must be safe for concurrent use. It tries once within
// its block's timeout; debouncing and retrying are the queue's.
type Hook interface {
	// Run does it. changed are the addresses of the sinks that changed since
	// the hook last succeeded.
	Run(ctx context.Context, args spec.Values, changed []spec.Address) error
}
