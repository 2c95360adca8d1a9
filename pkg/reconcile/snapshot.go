package reconcile

import (
	"context"
	"encoding/json"
	"errors"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// keepLeaving packs what declared the addresses last that are gone or held back:
// a removal may take its time, and after a restart it still needs the hook or
// the Vault block that went in the same change; and what is held lives on by it.
func (l *Loop) keepLeaving(ctx context.Context) ([]byte, error) {
	by := map[*spec.Config][]string{}
	err := l.do(ctx, func() {
		for _, it := range l.oddities() {
			if (it.gone || it.x != nil && it.x.guarded != "") && it.stored && it.cfg != nil {
				by[it.cfg] = append(by[it.cfg], it.addr)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	named := map[string][]string{}
	for cfg, addrs := range by {
		blob, err := l.keepSnapshot(ctx, cfg)
		if err != nil {
			return nil, err
		}
		named[blob] = append(named[blob], addrs...)
	}
	return json.Marshal(named)
}

// leaving reads back what keepLeaving packed, by address.
func (l *Loop) leaving(ctx context.Context) (map[string]*spec.Config, error) {
	b, err := l.o.Store.Meta(ctx, metaLeaving)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var named map[string][]string
	if err := json.Unmarshal(b, &named); err != nil {
		return nil, err
	}
	out := map[string]*spec.Config{}
	var unreadable []error // one that cannot be read takes no other with it
	for blob, addrs := range named {
		cfg, err := l.snapshot(ctx, blob)
		if err != nil {
			unreadable = append(unreadable, err)
			continue
		}
		for _, a := range addrs {
			out[a] = cfg
		}
	}
	return out, errors.Join(unreadable...)
}

// accepted reads the configuration that was last in force back.
func (l *Loop) accepted(ctx context.Context) (*spec.Config, error) {
	name, err := l.o.Store.Meta(ctx, metaAccepted)
	if err != nil {
		return nil, err
	}
	return l.snapshot(ctx, string(name))
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
