package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tokend/pkg/reconcile"
)

// printLanes says which providers do not answer, and where more waits than its
// limits let through.
func printLanes(w io.Writer, now time.Time, lanes []reconcile.LaneView) {
	for _, l := range lanes {
		name, does, answer := l.Name, "does not answer", "answer"
		if l.Of != "" {
			name, does, answer = l.Of, "takes no revocations", "take them"
		}
		if l.Asks {
			does, answer = "does not answer whether its tokens are honoured", "answer"
		}
		if l.Unanswered {
			does = "does not answer of some of its tokens whether they are honoured"
		}
		for _, o := range l.Origins {
			fmt.Fprintf(w, "%s %s since %s: %s\n  what asks it waits, and the next call is let through %s; the other hosts of it %s\n",
				hostOf(o.Origin, "a host of "+name), does, ago(now, o.OpenSince), o.Why, nextCall(now, o.ProbeAt), answer)
		}
		switch {
		case !l.OpenSince.IsZero():
			fmt.Fprintf(w, "%s %s since %s: %s\n  %s; the next call is let through %s\n",
				hostOf(l.Origin, name), does, ago(now, l.OpenSince), l.Why, waiting(l.Waiting), nextCall(now, l.ProbeAt))
		case l.Yields && l.Waiting > 0:
			fmt.Fprintf(w, "%s: %s, since other requests of it go first (%s)\n", l.Name, waiting(l.Waiting), limits(l))
		case l.Waiting > 0 && l.Concurrency > 0:
			fmt.Fprintf(w, "%s: %s for its limits (%s)\n", l.Name, waiting(l.Waiting), limits(l))
		}
	}
}

// hostOf names a host that does not answer, and whose it is.
func hostOf(origin, lane string) string {
	if origin == "" {
		return lane
	}
	return origin + " (" + lane + ")"
}

// nextCall says when a call is let through: at once, where that time has come and
// nothing was there to make one.
func nextCall(now, at time.Time) string {
	if !at.After(now) {
		return "at once"
	}
	return in(now, at)
}

func waiting(n int) string {
	switch n {
	case 0:
		return "no address waits"
	case 1:
		return "1 address waits"
	}
	return fmt.Sprintf("%d addresses wait", n)
}

func limits(l reconcile.LaneView) string {
	s := fmt.Sprintf("%s at a time, %d in flight", countOf(l.Concurrency, "request"), l.InFlight)
	if l.Requests > 0 {
		s += fmt.Sprintf(", %s in %s", countOf(l.Requests, "request"), l.Per)
	}
	return s
}

// printRetiring says how many earlier tokens still live because giving them up
// waits: for their sinks, their overlap, or their provider.
func printRetiring(w io.Writer, lines []reconcile.Line) {
	if total, names := tally(lines, func(l reconcile.Line) int { return l.Retiring }); total > 0 {
		fmt.Fprintf(w, "Waiting to be given up: %s (%s)\n", countOf(total, "earlier token"), names)
	}
}

// printOrphans says which tokens may live on that nobody knows, and since when there
// are any.
func (g *globals) printOrphans(w io.Writer, now time.Time, lines []reconcile.Line) {
	total, names := tally(lines, func(l reconcile.Line) int { return l.Orphans })
	if total == 0 {
		return
	}
	var first reconcile.Line
	known, several := true, false
	for _, l := range lines {
		if l.Orphans == 0 {
			continue
		}
		several = first.Orphans > 0
		if known = known && !l.OrphansSince.IsZero(); first.Orphans == 0 || l.OrphansSince.Before(first.OrphansSince) {
			first = l
		}
	}
	since := ""
	if known {
		since = ", since " + ago(now, first.OrphansSince)
	}
	fmt.Fprintf(w, "Orphans: %d%s; a token that nobody knows any more (its reply was lost, or state rm has forgotten it) may live until it expires (%s)\n", total, since, names)
	if several {
		fmt.Fprintf(w, "  those of each address, looked after at the provider: %s\n", g.spell("tokend revoke --forget-orphans ADDRESS"))
		return
	}
	fmt.Fprintf(w, "  looked after at the provider: %s\n", g.spell("tokend revoke --forget-orphans "+reconcile.ShellAddress(first.Address)))
}

// tally adds up what lines count, and names the first that count any.
func tally(lines []reconcile.Line, of func(reconcile.Line) int) (total int, names string) {
	const most = 5
	var first []string
	for _, l := range lines {
		n := of(l)
		if n == 0 {
			continue
		}
		if total += n; len(first) < most {
			first = append(first, fmt.Sprintf("%s %d", shown(l.Address), n))
		} else if len(first) == most {
			first = append(first, "…")
		}
	}
	return total, strings.Join(first, ", ")
}
