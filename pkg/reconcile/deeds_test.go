package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"tokend/pkg/reconcile"
)

// foretold are the steps of a plan that do something, by address and kind.
func foretold(p reconcile.Plan) map[string]bool {
	out := map[string]bool{}
	for _, s := range p.Steps {
		if k := deed(s.Action); k != "" {
			out[s.Address+" "+k] = true
		}
	}
	return out
}

// needed leaves out of what was foretold the refresh of a token that is replaced
// once another credential has its own: where that comes before it, nobody needs it.
func needed(said, did map[string]bool) map[string]bool {
	maps.DeleteFunc(said, func(d string, _ bool) bool {
		addr, refreshed := strings.CutSuffix(d, " refresh")
		return refreshed && !did[d] && said[addr+" replace"] && did[addr+" replace"]
	})
	return said
}

// deed is what an action does, for somebody who watches from outside.
func deed(a reconcile.Action) string {
	switch a {
	case reconcile.ActObtain, reconcile.ActReplace, reconcile.ActStatic, reconcile.ActRefresh, reconcile.ActRevoke, reconcile.ActRemove, reconcile.ActClean, reconcile.ActHook,
		reconcile.ActWrite, reconcile.ActRepair:
		return string(a)
	case reconcile.ActMove:
		return "move"
	case reconcile.ActReplay:
		return string(reconcile.ActRefresh)
	case reconcile.ActRelease, reconcile.ActDrop:
		return "forget"
	}
	return ""
}

func compareDeeds(plan, done map[string]bool) string {
	var b strings.Builder
	for _, d := range slices.Sorted(maps.Keys(plan)) {
		if !done[d] {
			fmt.Fprintf(&b, "planned and not done: %s\n", d)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(done)) {
		if !plan[d] {
			fmt.Fprintf(&b, "done and not planned: %s\n", d)
		}
	}
	return b.String()
}

// deeds is a log handler that keeps what was done, by address.
type deeds struct {
	mu    sync.Mutex
	steps map[string][]string
	order []string
}

func (*deeds) Enabled(context.Context, slog.Level) bool { return true }

func (d *deeds) WithGroup(string) slog.Handler { return d }

func (d *deeds) WithAttrs(attrs []slog.Attr) slog.Handler {
	return deedsOf{d, attrs}
}

func (d *deeds) Handle(_ context.Context, r slog.Record) error { return d.take(r, nil) }

// deedsOf are deeds of one address.
type deedsOf struct {
	*deeds
	attrs []slog.Attr
}

func (d deedsOf) WithAttrs(attrs []slog.Attr) slog.Handler {
	return deedsOf{d.deeds, append(slices.Clone(d.attrs), attrs...)}
}

func (d deedsOf) Handle(_ context.Context, r slog.Record) error { return d.take(r, d.attrs) }

func (d *deeds) take(r slog.Record, attrs []slog.Attr) error {
	said := map[string]string{}
	note := func(a slog.Attr) bool { said[a.Key] = a.Value.String(); return true }
	for _, a := range attrs {
		note(a)
	}
	r.Attrs(note)
	action := ""
	switch r.Message {
	case "step":
		if action = said["action"]; strings.HasPrefix(said["address"], "sink.") && action != "remove" && action != "clean" && action != "drop" {
			action = "" // whether it was written is said by the next line
		}
	case "written":
		action = "write"
	case "repaired":
		action = "repair"
	case "hook":
		action = "hook"
	case "moved":
		action = "move"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order = append(d.order, fmt.Sprint("  ", r.Message, " ", said))
	if action = deed(reconcile.Action(action)); action == "" {
		return nil
	}
	if r.Message == "step" && said["action"] == "drop" {
		action = "drop"
	}
	if d.steps == nil {
		d.steps = map[string][]string{}
	}
	d.steps[said["address"]] = append(d.steps[said["address"]], action)
	return nil
}

// failed says whether a provider refused something.
func (d *deeds) failed() bool {
	return slices.ContainsFunc(d.log(), func(s string) bool {
		return strings.HasPrefix(s, "  a call failed") || strings.HasPrefix(s, "  an old token can no longer be revoked")
	})
}

func (d *deeds) log() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.order)
}

// all are the deeds as a plan shows them: the end of a record goes with what was
// done before it, and a place that was written anew was not repaired besides.
func (d *deeds) all() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]bool{}
	for addr, did := range d.steps {
		for _, a := range did {
			switch {
			case a == "drop" && len(did) > 1, a == "repair" && slices.Contains(did, "write"):
				continue
			case a == "drop":
				a = "forget"
			}
			out[addr+" "+a] = true
		}
	}
	return out
}
