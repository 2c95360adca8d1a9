package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// lostConfig is a configuration that cannot be read back, of an address that it
// was the last to declare: the hooks and the Vault that a removal needs are not
// known. The removal waits for a person.
type lostConfig struct {
	blob string
	why  string
}

// leaving reads back what recordGoingOn packed, by address. One that cannot be
// read takes no other with it.
func (l *Loop) leaving(ctx context.Context) (map[string]*spec.Config, map[string]lostConfig, error) {
	b, err := l.o.Store.Meta(ctx, metaLeaving)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var named map[string][]string
	if err := json.Unmarshal(b, &named); err != nil {
		return nil, nil, err
	}
	renamed, err := readRenamed(ctx, l.o.Store)
	if err != nil {
		return nil, nil, err
	}
	out, lost := map[string]*spec.Config{}, map[string]lostConfig{}
	var unreadable []error
	for blob, addrs := range named {
		cfg, err := l.snapshot(ctx, blob)
		if err != nil {
			unreadable = append(unreadable, err)
		}
		for _, a := range addrs {
			if err != nil {
				lost[a] = lostConfig{blob: blob, why: err.Error()}
			} else {
				out[a] = cfg
			}
		}
	}
	for _, g := range renamed.Leaving {
		by := map[*spec.Config]*spec.Config{}
		for _, a := range g.Of {
			cfg, ok := out[a]
			if !ok || !slices.Contains(named[g.Blob], a) {
				continue // it is recorded of another one since, or that cannot be read
			}
			if by[cfg] == nil {
				by[cfg] = cfg.Renamed(g.Steps...)
			}
			out[a] = by[cfg]
		}
	}
	return out, lost, errors.Join(unreadable...)
}

// ErrNoneAccepted: no configuration was ever in force.
var ErrNoneAccepted = errors.New("no configuration was ever in force")

// accepted reads the configuration that was last in force back.
func (l *Loop) accepted(ctx context.Context) (*spec.Config, error) {
	name, err := l.o.Store.Meta(ctx, metaAccepted)
	if errors.Is(err, state.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", ErrNoneAccepted, err)
	}
	if err != nil {
		return nil, err
	}
	cfg, err := l.snapshot(ctx, string(name))
	if err != nil {
		return nil, err
	}
	renamed, err := readRenamed(ctx, l.o.Store)
	if err != nil {
		return nil, err
	}
	return cfg.Renamed(renamed.accepted(string(name))...), nil
}

func (l *Loop) snapshot(ctx context.Context, blob string) (*spec.Config, error) {
	b, err := l.w.blobs.whole(ctx, blob)
	if err != nil {
		return nil, err
	}
	return l.o.LoadSnapshot(b)
}

// Accepted is the configuration that was last in force, as the state keeps it;
// for a start whose directory is broken.
func (l *Loop) Accepted(ctx context.Context) (*spec.Config, error) { return l.accepted(ctx) }
