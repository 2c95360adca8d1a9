package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// guardSettings are the guard's as last accepted, and the stricter ones of
// before, which bind as long as what they would have counted does. Else two
// changes would do what one may not: the first loosens the guard, the second
// destroys.
type guardSettings struct {
	spec.Guard
	Former []formerGuard `json:"former,omitempty"`
}

// formerGuard is what the guard was until a change loosened it.
type formerGuard struct {
	MaxRevocations    int       `json:"max_revocations"`
	MaxRevokedPercent int       `json:"max_revoked_percent"`
	Until             time.Time `json:"until"`
}

// follow are the settings after a configuration was accepted at a time. keep is
// since when former ones are still needed: a change that is held is judged by
// the hour before it came, however long it is held.
func (s guardSettings) follow(g spec.Guard, now, keep time.Time) guardSettings {
	out := guardSettings{Guard: g}
	for _, f := range s.Former {
		if f.Until.After(keep) {
			out.Former = append(out.Former, f)
		}
	}
	if s.MaxRevocations < g.MaxRevocations || s.MaxRevokedPercent < g.MaxRevokedPercent {
		out.Former = append(out.Former, formerGuard{s.MaxRevocations, s.MaxRevokedPercent, now.UTC()})
	}
	return out
}

// strict is what a change is judged by that came at a time: the strictest of
// the guard that it declares itself, of the one in force, and of those that
// were in force within the hour before. A change that loosens the guard is
// judged by the guard as it was, and so is what comes right after.
func (s *guardSettings) strict(declared spec.Guard, came time.Time) spec.Guard {
	g := declared
	if s == nil {
		return g
	}
	g = stricter(g, s.Guard)
	for _, f := range s.Former {
		if f.Until.After(came.Add(-guardWindow)) {
			g.MaxRevocations = min(g.MaxRevocations, f.MaxRevocations)
			g.MaxRevokedPercent = min(g.MaxRevokedPercent, f.MaxRevokedPercent)
		}
	}
	return g
}

// acceptedGuard reads the guard's settings as last accepted; nil where no
// configuration was accepted yet.
func (l *Loop) acceptedGuard(ctx context.Context) (*guardSettings, error) {
	b, err := l.o.Store.Meta(ctx, metaGuard)
	if errors.Is(err, state.ErrNotFound) || err == nil && len(b) == 0 {
		return nil, nil
	}
	var s guardSettings
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the guard's settings: %w", err)
	}
	return &s, nil
}

// guardAccepted is the named value of the guard's settings once a configuration
// is accepted. What a person approved, the guard that comes with it included,
// leaves nothing of earlier ones. While something of it is held, or could not be
// looked at, it can make the guard stricter, and no looser.
func (l *Loop) guardAccepted(ctx context.Context, g spec.Guard, a acceptance) (state.Change, error) {
	old, err := l.acceptedGuard(ctx)
	if err != nil {
		return state.Change{}, err
	}
	next := guardSettings{Guard: g}
	switch {
	case old == nil:
	case a.held != nil || a.unseen:
		next.Guard, next.Former = stricter(g, old.Guard), old.Former
	case !a.approved:
		now := l.o.Now()
		next = old.follow(g, now, now.Add(-guardWindow))
	}
	b, err := json.Marshal(next)
	return state.Change{MetaKey: metaGuard, Meta: b}, err
}
