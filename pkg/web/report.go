package web

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tokend/pkg/oneline"
	"tokend/pkg/reconcile"
)

// report is the answer of /readyz.
type report struct {
	Ready     bool     `json:"ready"`
	FirstPass *bool    `json:"first_pass,omitempty"`
	Reasons   []string `json:"reasons,omitempty"` // what is not ready besides addresses
	Notes     []string `json:"notes,omitempty"`   // worth knowing, but nothing is missing because of it
	Addresses []line   `json:"addresses"`         // those in another state than ready; verbose: all
	Total     int      `json:"total,omitempty"`   // of all addresses

	now     time.Time
	one     bool // is about one address
	unready int
}

// line is what is published of a reconcile.Line: field by field, so that a
// field that is added there is not published by accident.
type line struct {
	Address    string          `json:"address"`
	Type       string          `json:"type,omitempty"`
	State      reconcile.State `json:"status"`
	Since      time.Time       `json:"since,omitzero"`
	Why        string          `json:"why,omitempty"`
	Next       string          `json:"next,omitempty"`
	NextAt     time.Time       `json:"next_at,omitzero"`
	Mend       string          `json:"mend,omitempty"`
	Generation uint64          `json:"generation,omitempty"`
	ExpiresAt  time.Time       `json:"expires_at,omitzero"`
}

func (h *health) lineOf(l *reconcile.Line) line {
	next := l.Next
	if next == l.Why {
		next = "" // what it waits for is why it waits, and is said once
	}
	return line{
		Address: l.Address, Type: l.Type, State: l.State, Since: l.Since, Why: l.Why,
		Next: next, NextAt: l.NextAt, Mend: h.spell(l.Mend), Generation: l.Generation, ExpiresAt: l.ExpiresAt,
	}
}

// reportOne is the answer about one address, of which the view has no other.
func (h *health) reportOne(v reconcile.View) report {
	rep := report{Ready: true, now: v.Now, one: true, Addresses: []line{}}
	for _, part := range [][]reconcile.Line{v.Credentials, v.Sinks, v.Hooks} {
		for i := range part {
			rep.Ready = rep.Ready && serves(&part[i], v.Now)
			rep.Addresses = append(rep.Addresses, h.lineOf(&part[i]))
		}
	}
	return rep
}

// report judges a view and lists its addresses: those that are not ready, or all.
func (h *health) report(v reconcile.View, verbose bool) report {
	rep := h.judge(v, verbose)
	for _, part := range [][]reconcile.Line{v.Credentials, v.Sinks, v.Hooks} {
		for i := range part {
			if l := &part[i]; verbose || l.State != reconcile.Ready && l.State != reconcile.Removed {
				rep.Addresses = append(rep.Addresses, h.lineOf(l))
			}
		}
	}
	return rep
}

// judge is a report without addresses. The loop's own verdict is not enough: what
// it has not looked at yet, it takes for ready.
func (h *health) judge(v reconcile.View, verbose bool) report {
	rep := report{FirstPass: &v.FirstPass, now: v.Now, Addresses: []line{}}
	for _, part := range [][]reconcile.Line{v.Credentials, v.Sinks, v.Hooks} {
		for i := range part {
			if part[i].State != reconcile.Removed {
				rep.Total++
			}
			if !serves(&part[i], v.Now) {
				rep.unready++
			}
		}
	}
	rep.Reasons = reasons(v)
	rep.Notes = h.notes(v, verbose)
	rep.Ready = v.Ready && len(rep.Reasons) == 0
	return rep
}

// serves reports whether who uses an address has what it promises: it is
// ready, or a change to it is held back and it lives on as it was. What is removed
// promises nothing any more.
func serves(l *reconcile.Line, now time.Time) bool {
	return l.State == reconcile.Ready || l.State == reconcile.Removed || l.State == reconcile.Held && (l.ExpiresAt.IsZero() || l.ExpiresAt.After(now))
}

func reasons(v reconcile.View) []string {
	var why []string
	if !v.FirstPass {
		left := ""
		if v.Unseen > 0 {
			left = fmt.Sprintf(" (%d left)", v.Unseen)
		}
		why = append(why, "the first pass over all addresses is not over yet"+left)
	}
	if v.Store.Error != "" {
		why = append(why, "the state takes no writes: "+v.Store.Error)
	}
	return why
}

// faults says what is known of a load that brought no configuration.
func faults(c Configuration) string {
	if c.Valid || c.Errors == 0 {
		return "it has not been read yet"
	}
	return fmt.Sprintf("%s has %s; run: tokend validate", c.Source, count(c.Errors, "error"))
}

func (h *health) notes(v reconcile.View, verbose bool) []string {
	var notes []string
	c := h.o.Source.Configuration()
	switch {
	case !c.Valid:
		notes = append(notes, fmt.Sprintf("the configuration in %s has %s; the one accepted at %s stays in force; run: %s",
			c.Source, count(c.Errors, "error"), stamp(c.LoadedAt), h.spell("tokend validate")))
	case c.NotTaken:
		notes = append(notes, fmt.Sprintf("the configuration in %s cannot be taken over; the one accepted at %s stays in force; “%s” says why", c.Source, stamp(c.LoadedAt), h.spell("tokend status")))
	case verbose:
		notes = append(notes, fmt.Sprintf("the configuration was read from %s at %s", c.Source, stamp(c.LoadedAt)))
	}
	if g := c.Git; g != nil && g.Failing {
		notes = append(notes, followingFails(g, c.Commit, h.spell("tokend status")))
	}
	if held := v.Held; held != nil {
		notes = append(notes, fmt.Sprintf("a change is held back since %s (%s, %s): %s; run: %s", stamp(held.Since),
			count(len(held.Revocations), "revocation"), count(len(held.Sinks), "removed sink"), held.Reason, h.spell("tokend approve")))
	}
	if verbose {
		notes = append(notes, fmt.Sprintf("the state has serial %d, %s, %s", v.Store.Serial, count(v.Store.Records, "record"), count(v.Store.Intents, "open intent")))
	}
	return notes
}

// followingFails says that what is in force may not be the newest. Tokens are kept
// fresh all the same, so it makes nothing unready.
func followingFails(g *Git, commit, status string) string {
	answered := "has not answered since the start"
	if !g.CheckedAt.IsZero() {
		answered = "answered last at " + stamp(g.CheckedAt)
	}
	inForce := "no commit is in force"
	if commit != "" {
		inForce = "commit " + commit + " stays in force"
	}
	return fmt.Sprintf("%s of %s is not followed: it %s; %s; run: %s", g.Ref, g.URL, answered, inForce, status)
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// text writes a report for people: the verdict first, then one fact a line.
func (r report) text(b *bufio.Writer) {
	b.WriteString(r.verdict() + "\n")
	for _, why := range r.Reasons {
		b.WriteString(oneline.Of(why) + "\n")
	}
	for _, l := range r.Addresses {
		b.WriteString(oneline.Of(l.text(r.now)) + "\n")
	}
	for _, note := range r.Notes {
		b.WriteString("note: " + oneline.Of(note) + "\n")
	}
}

func (r report) verdict() string {
	switch {
	case r.Ready:
		return "ready"
	case r.one || r.unready == 0:
		return "not ready"
	}
	return notReady(r.unready, r.Total)
}

func notReady(unready, total int) string {
	noun := "addresses"
	if total == 1 {
		noun = "address"
	}
	return fmt.Sprintf("not ready: %d of %d %s", unready, total, noun)
}

// text is an address with its state, since when, why, what next, and what mends it.
func (l line) text(now time.Time) string {
	var b strings.Builder
	b.WriteString(l.Address + ": " + string(l.State))
	if !l.Since.IsZero() {
		fmt.Fprintf(&b, " since %s (%s)", stamp(l.Since), now.Sub(l.Since).Round(time.Second))
	}
	if l.State == reconcile.Ready {
		if l.fresh(&b, now); l.Why != "" {
			b.WriteString(", but " + l.Why)
			if l.Mend != "" {
				b.WriteString("; run: " + l.Mend)
			}
		}
		return b.String()
	}
	if l.Why != "" {
		b.WriteString(": " + l.Why)
	}
	if l.Next != "" {
		b.WriteString("; " + l.Next)
	}
	if l.Mend != "" {
		b.WriteString("; run: " + l.Mend)
	}
	return b.String()
}

func (l line) fresh(b *strings.Builder, now time.Time) {
	if l.Generation != 0 {
		fmt.Fprintf(b, ", generation %d", l.Generation)
	}
	if !l.ExpiresAt.IsZero() {
		fmt.Fprintf(b, ", expires %s (in %s)", stamp(l.ExpiresAt), l.ExpiresAt.Sub(now).Round(time.Second))
	}
	if l.Next != "" && !l.NextAt.IsZero() {
		fmt.Fprintf(b, ", %s at %s", l.Next, stamp(l.NextAt))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
