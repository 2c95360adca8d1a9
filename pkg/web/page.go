package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"tokend/pkg/oneline"
	"tokend/pkg/reconcile"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

const (
	// pageCalm and pageWrong bound the rows of one table: those that are ready,
	// and those that are not. A page of a hundred thousand rows helps nobody.
	pageCalm  = 200
	pageWrong = 1000
)

// page is the status page: what `tokend status` says, for a browser. It has no
// script, no form and nothing from elsewhere; its policy allows its own style
// sheet alone, by its hash.
type page struct {
	h      *health
	body   *template.Template
	policy string
}

func newPage(h *health) *page {
	sum := sha256.Sum256([]byte(pageStyle))
	return &page{
		h: h, body: template.Must(template.New("status").Parse(pageSource)),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

// pageView is what the page shows. Every text in it is escaped by the template.
type pageView struct {
	Style   template.CSS
	Verdict string
	Status  string   // the command that shows all of it
	Facts   []string // about all of it, a sentence each
	Held    *pageHeld
	Parts   []pagePart
	Now     string
	Version string
}

type pageHeld struct {
	Reason string
	Steps  []pageRow
	More   int
	Mend   string
}

type pagePart struct {
	Heading string
	Rows    []pageRow
	// Those that are not shown: which are not ready, and which are.
	MoreWrong, MoreCalm int
}

type pageRow struct {
	Class, Address, Status, Why, Mend, Expires, Next string
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, view := p.view(r)
	if r.Context().Err() != nil {
		return // nobody is there to read it
	}
	view.Style, view.Version = template.CSS(pageStyle), p.h.o.Version
	var b bytes.Buffer
	if err := p.body.Execute(&b, view); err != nil {
		p.h.o.Logger.Error("writing the status page", "error", err)
		http.Error(w, "the status page cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", p.policy)
	head(w, status, "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // a client that hung up is nobody's concern
}

// view is a page for whatever there is to say: one that cannot say how things
// are says why. A person reads it, so what is not ready is no error of the page.
func (p *page) view(r *http.Request) (int, pageView) {
	silent := func(why string) (int, pageView) {
		return http.StatusServiceUnavailable, pageView{Verdict: "not ready", Facts: []string{oneline.Of(why) + "."}, Now: stamp(p.h.o.Now())}
	}
	if why := p.h.hopeless(); why != "" {
		return silent(why)
	}
	v, err := p.h.snaps.get(r.Context())
	if err != nil {
		return silent(loopWords(err))
	}
	rep := p.h.judge(v, false)
	out := pageView{Verdict: rep.verdict(), Status: p.h.spell("tokend status"), Now: stamp(v.Now), Held: p.held(v.Held)}
	if rep.Ready && v.Held != nil {
		out.Verdict = "ready, with a change held back"
	}
	for _, s := range append(append(rep.Reasons, p.followed(v.Now)...), rep.Notes...) {
		out.Facts = append(out.Facts, oneline.Of(s)+".")
	}
	out.Facts = append(out.Facts, laneFacts(v)...)
	out.Facts = append(out.Facts, countFacts(v.Credentials)...)
	for _, part := range []struct {
		heading string
		lines   []reconcile.Line
	}{{"Credentials", v.Credentials}, {"Sinks", v.Sinks}, {"Hooks", v.Hooks}} {
		if len(part.lines) > 0 {
			out.Parts = append(out.Parts, p.h.partOf(part.heading, part.lines, v.Now))
		}
	}
	return http.StatusOK, out
}

func (p *page) held(h *reconcile.HeldChange) *pageHeld {
	if h == nil {
		return nil
	}
	out := &pageHeld{Reason: oneline.Of(h.Reason) + ", since " + stamp(h.Since) + ".", Mend: p.h.spell("tokend approve")}
	for i, s := range h.Steps {
		if i == pageWrong {
			out.More = len(h.Steps) - i
			break
		}
		out.Steps = append(out.Steps, pageRow{Address: oneline.Of(s.Address), Why: oneline.Of(s.Reason)})
	}
	return out
}

// followed says which commit is in force.
func (p *page) followed(now time.Time) []string {
	c := p.h.o.Source.Configuration()
	if c.Commit == "" {
		return nil
	}
	fact := "commit " + c.Commit + " is in force"
	if g := c.Git; g != nil {
		fact += ", following " + g.Ref
		if !g.CheckedAt.IsZero() {
			fact += fmt.Sprintf("; the repository answered %s ago", now.Sub(g.CheckedAt).Round(time.Second))
		}
		if g.Failing {
			fact += "; it is not up to date, and “" + p.h.spell("tokend status") + "” says why"
		}
	}
	return []string{fact}
}

// laneFacts say which providers answer nobody.
func laneFacts(v reconcile.View) []string {
	var facts []string
	for _, l := range v.Lanes {
		name, does := l.Name, "does not answer"
		if l.Of != "" {
			name, does = l.Of, "takes no revocations"
		}
		if l.Asks {
			does = "does not answer whether its tokens are honoured"
		}
		if l.Unanswered {
			does = "does not answer of some of its tokens whether they are honoured"
		}
		for _, o := range l.Origins {
			facts = append(facts, oneline.Of(fmt.Sprintf("%s %s since %s: %s; what asks it waits for the next call at %s.",
				awayName(o.Origin, "a host of "+name), does, stamp(o.OpenSince), o.Why, stamp(o.ProbeAt))))
		}
		if !l.OpenSince.IsZero() {
			facts = append(facts, oneline.Of(fmt.Sprintf("%s %s since %s: %s; %s for the next call at %s.",
				awayName(l.Origin, name), does, stamp(l.OpenSince), l.Why, waits(l.Waiting), stamp(l.ProbeAt))))
		}
	}
	return facts
}

// awayName names a host that does not answer, and whose it is.
func awayName(origin, lane string) string {
	if origin == "" {
		return lane
	}
	return origin + " (" + lane + ")"
}

func waits(n int) string {
	switch n {
	case 0:
		return "no address waits"
	case 1:
		return "1 address waits"
	}
	return fmt.Sprintf("%d addresses wait", n)
}

// countFacts count the tokens that nobody sees any more.
func countFacts(lines []reconcile.Line) []string {
	retiring, orphans := 0, 0
	for _, l := range lines {
		retiring, orphans = retiring+l.Retiring, orphans+l.Orphans
	}
	var facts []string
	if retiring > 0 {
		facts = append(facts, "Waiting to be given up: "+count(retiring, "earlier token")+".")
	}
	if orphans > 0 {
		facts = append(facts, "Orphans: "+count(orphans, "token")+" may live that nobody knows: a reply was lost, or state rm has forgotten them. They end by themselves, or tokend revoke --forget-orphans says that they were looked after.")
	}
	return facts
}

// partOf is a table: what is not ready first, since that is what a page is
// opened for, and what else there is to be known of. It makes the rows that are shown and only counts the others, of
// which there may be a hundred thousand.
func (h *health) partOf(heading string, lines []reconcile.Line, now time.Time) pagePart {
	part := pagePart{Heading: heading}
	var calm []pageRow
	for i := range lines {
		switch l := &lines[i]; {
		case calmLine(l) && len(calm) < pageCalm:
			calm = append(calm, rowOf(h.lineOf(l), now))
		case !calmLine(l) && len(part.Rows) < pageWrong:
			part.Rows = append(part.Rows, rowOf(h.lineOf(l), now))
		case l.State == reconcile.Ready, l.State == reconcile.Removed:
			part.MoreCalm++
		default:
			part.MoreWrong++
		}
	}
	part.Rows = append(part.Rows, calm...)
	return part
}

// calmLine says that there is nothing to be known of an address but that it is ready, or
// that it is removed.
func calmLine(l *reconcile.Line) bool {
	return l.State == reconcile.Ready && l.Why == "" || l.State == reconcile.Removed
}

func rowOf(l line, now time.Time) pageRow {
	row := pageRow{Address: oneline.Of(strings.TrimPrefix(l.Address, "credential.")), Status: string(l.State), Why: oneline.Of(l.Why), Next: oneline.Of(l.Next), Mend: oneline.Of(l.Mend)}
	if l.State == reconcile.Ready {
		if l.Generation > 0 {
			row.Status += fmt.Sprintf(" (generation %d)", l.Generation)
		}
	} else if l.State != reconcile.Removed { // since when that is so is not recorded
		row.Class = "wrong"
		if !l.Since.IsZero() {
			row.Status += " since " + stamp(l.Since)
		}
	}
	if !l.ExpiresAt.IsZero() {
		row.Expires = stamp(l.ExpiresAt)
		if left := l.ExpiresAt.Sub(now).Round(time.Second); left > 0 {
			row.Expires += fmt.Sprintf(" (in %s)", left)
		} else {
			row.Expires += " (expired)"
		}
	}
	if !l.NextAt.IsZero() && l.State == reconcile.Ready && row.Next != "" {
		row.Next += " at " + stamp(l.NextAt)
	}
	return row
}
