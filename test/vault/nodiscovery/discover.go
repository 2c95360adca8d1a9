// Package discover takes the place of github.com/hashicorp/go-discover in the
// Vault server that the tests build. Vault uses it to find the members of a
// Raft cluster through the APIs of a dozen clouds, whose clients are a third of
// all that a Vault server compiles. A server on loopback with one node has no
// use for them: here no provider is known, and asking for one is an error.
package discover

import (
	"fmt"
	"log"
)

// Provider looks up addresses in one cloud.
type Provider interface {
	Addrs(args map[string]string, l *log.Logger) ([]string, error)
	Help() string
}

// Providers is empty: no cloud is known.
var Providers = map[string]Provider{}

// Discover looks up nothing.
type Discover struct{}

// Option configures a Discover.
type Option func(*Discover) error

// New returns a Discover that knows no provider.
func New(...Option) (*Discover, error) { return &Discover{}, nil }

// WithProviders ignores the providers given.
func WithProviders(map[string]Provider) Option {
	return func(*Discover) error { return nil }
}

// Addrs always fails.
func (*Discover) Addrs(cfg string, _ *log.Logger) ([]string, error) {
	return nil, fmt.Errorf("looking up %q: this Vault server was built without cloud discovery", cfg)
}

// Config is a parsed configuration string; none is ever made.
type Config map[string]string

// String returns nothing.
func (Config) String() string { return "" }

// Parse exists for Vault's configuration checks and always fails.
func Parse(cfg string) (Config, error) {
	return nil, fmt.Errorf("parsing %q: this Vault server was built without cloud discovery", cfg)
}
