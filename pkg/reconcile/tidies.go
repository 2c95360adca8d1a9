package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// What is recorded of a configuration changes while it is in force: what left is gone,
// what a person approved is done, the hour of the guard is over. That is struck off
// when a configuration is taken over, most often the same one at the next start; and
// where the disk takes nothing then, it may stay. All that it comes to is that more is
// kept than is needed, and that the guard is as strict as it was.

// tidies says whether changes of named values do nothing but strike such things off,
// of a configuration that is recorded as the one in force already.
func (l *Loop) tidies(ctx context.Context, cfg *spec.Config, blob string, changes []state.Change) bool {
	for _, c := range changes {
		was, err := l.o.Store.Meta(ctx, c.MetaKey)
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return false
		}
		switch c.MetaKey {
		case metaGuard: // what is looser counts once it is recorded
		case metaHeld:
			if c.Meta != nil {
				return false
			}
		case metaApproved:
			if !fewer(c.Meta, was, func(now, was string) bool { return now == was }) {
				return false
			}
		case metaLeaving:
			if !fewer(c.Meta, was, isAmong) {
				return false
			}
		case metaGuardLog:
			now, err1 := readGuardLog(c.Meta)
			before, err2 := readGuardLog(was)
			if err1 != nil || err2 != nil || !isPartOf(now.pending(), before.pending(), func(now, was string) bool { return now == was }) {
				return false
			}
		case metaRenamed:
			if !stillReads(cfg, blob, c.Meta, was) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// stillReads says that what was renamed is read as it would be from the newer value.
func stillReads(cfg *spec.Config, blob string, now, was []byte) bool {
	n, err1 := parseRenamed(now)
	w, err2 := parseRenamed(was)
	if err1 != nil || err2 != nil || !sameSteps(cfg.Renames(), w.accepted(blob)) {
		return false
	}
	for _, r := range n.Leaving {
		among := func(e renamedIn) bool {
			return e.Blob == r.Blob && sameSteps(e.Steps, r.Steps) && isAmong(r.Of, e.Of)
		}
		if !slices.ContainsFunc(w.Leaving, among) {
			return false
		}
	}
	return true
}

func sameSteps(one, other []spec.Renames) bool { return slices.EqualFunc(one, other, maps.Equal) }

func isAmong(now, was []string) bool {
	return !slices.ContainsFunc(now, func(a string) bool { return !slices.Contains(was, a) })
}

// fewer says that a recorded table has nothing that the one before has not.
func fewer[V any](now, was []byte, sameOrLess func(now, was V) bool) bool {
	var n, w map[string]V
	if len(now) > 0 && json.Unmarshal(now, &n) != nil || len(was) > 0 && json.Unmarshal(was, &w) != nil {
		return false
	}
	return isPartOf(n, w, sameOrLess)
}

func isPartOf[V any](now, was map[string]V, sameOrLess func(now, was V) bool) bool {
	for k, v := range now {
		if before, ok := was[k]; !ok || !sameOrLess(v, before) {
			return false
		}
	}
	return true
}
