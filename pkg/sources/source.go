package sources

import (
	"context"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// Source is one kind of place that secrets are read from. One Source serves
// all blocks of its kind and must be safe for concurrent use. It tries once,
// returns within its block's timeout, and never caches.
type Source interface {
	// Read reads the secret: a string, or for kinds that hold several values a
	// map or object. The value is not marked; the caller marks it. An empty
	// secret is an error that says so.
	Read(ctx context.Context, args spec.Values) (cty.Value, error)
	// Paths are the files whose events mean that the secret may have changed;
	// nil for a source that is not a file.
	Paths(args spec.Values) []string
}
