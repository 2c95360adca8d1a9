package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"github.com/spf13/cobra"

	"tokend/pkg/reconcile"
)

const statusHelp = `Says how everything does: what, since when, why, what happens next, and the one
command that mends it. With an address, that one alone.

NEXT is what comes next, and when: of what is ready, its refresh and the like; "grant"
where its refresh token was refused, so that the grant brings the next token; "stop"
where the token ends then and nothing renews it; "look" where it is only looked at
again, which may be a next try, the end of a wait, or nothing.

Ready is what works: that, too, to which a change is held back, while its token is
good, since it lives on as it was. /readyz and tokend_ready say the same.

Exit status: 0 everything is ready and as the configuration says, 1 something is not
ready, or a change is held back, or the configuration is broken ("ready" in --json is
false then, too), 2 there is neither a daemon nor a state to ask.`

func statusCommand(g *globals) *cobra.Command {
	var asJSON, watch bool
	c := &cobra.Command{Use: "status [ADDRESS]", Short: "say how everything does", Long: statusHelp, Args: cobra.MaximumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
		addr, err := optionalAddress(args)
		if err != nil {
			return err
		}
		t, err := g.target(c.Context(), targetOptions{state: true})
		if errors.Is(err, errNobody) || noDaemon(err) {
			return endsWith{err, exitTodo}
		}
		if err != nil {
			return err
		}
		defer t.Close()
		for {
			s, err := t.Status(c.Context(), addr)
			if err != nil {
				return err
			}
			g.spellView(&s.View)
			if asJSON {
				if err := g.printJSON(s); err != nil {
					return err
				}
			} else {
				if watch && isTerminal(g.out) {
					fmt.Fprint(g.out, "\x1b[H\x1b[2J")
				}
				g.printStatus(g.out, s, addr)
			}
			if !watch {
				return readiness(s, addr)
			}
			if err := pause(c.Context(), time.Second); err != nil {
				return nil
			}
		}
	}}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	c.Flags().BoolVar(&watch, "watch", false, "print it again every second until interrupted")
	return c
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *globals) printJSON(v any) error {
	s, err := indentJSON(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(g.out, s)
	return err
}

func readiness(s statusReply, addr string) error {
	ready := s.Ready
	if addr != "" {
		ready = true
		for _, lines := range [][]reconcile.Line{s.Credentials, s.Sinks, s.Hooks} {
			for _, l := range lines {
				ready = ready && (l.State == reconcile.Ready || l.State == reconcile.Removed)
			}
		}
	}
	if ready {
		return nil
	}
	return exit(exitFailed)
}

func optionalAddress(args []string) (string, error) {
	if len(args) == 0 {
		return "", nil
	}
	return parseAddress(args[0])
}

// statusShown bounds the lines of a table: beyond it only what is not ready is
// listed.
const statusShown = 200

func (g *globals) printStatus(w io.Writer, s statusReply, addr string) {
	if c := s.Configuration; c.Nothing != "" {
		fmt.Fprintf(w, "Nothing is in force, and nothing is done: %s\n    to mend: %s\n", c.Nothing, roomHint(c))
		return
	}
	g.printBroken(w, s.Configuration, s.Now)
	if addr == "" {
		printGit(w, s.Configuration, s.Now)
		if p := s.Configuration.Policy; p != nil && p.Error != "" {
			fmt.Fprintf(w, "The policy cannot be used as it is now; the last one stays in force: %s\n\n", p.Error)
		}
		printNextStart(w, s.Configuration.NextStart)
	}
	g.printLines(w, s.Now, columns{"CREDENTIAL", []string{"EXPIRES", "NEXT"}, credentialCells}, s.Credentials, s.Held, addr != "")
	g.printLines(w, s.Now, columns{"SINK", []string{"PLACE"}, sinkCells}, s.Sinks, s.Held, addr != "")
	g.printLines(w, s.Now, columns{"HOOK", []string{"NEXT"}, hookCells}, s.Hooks, s.Held, addr != "")
	printLanes(w, s.Now, s.Lanes)
	printRetiring(w, s.Credentials)
	g.printOrphans(w, s.Now, s.Credentials)
	g.printLogins(w, s.Now, s.Logins)
	if s.Held != nil {
		g.printHeld(s.Held)
	}
	if s.Configuration.Watching != "" {
		fmt.Fprintf(w, "Changes are polled for: %s\n", s.Configuration.Watching)
	}
	if s.Store.Error != "" {
		fmt.Fprintf(w, "The state takes no writes: %s\n", s.Store.Error)
	}
	if addr == "" {
		all := allWords(s.View)
		fmt.Fprintf(w, "%s ready", strings.ToUpper(all[:1])+all[1:])
		if s.Daemon && s.Unseen > 0 {
			fmt.Fprintf(w, "; starting: %s", lookedWords(s.View))
		}
		fmt.Fprint(w, ".")
		if s.Daemon {
			fmt.Fprintln(w)
		} else {
			fmt.Fprint(w, " ")
		}
	}
	if !s.Daemon {
		fmt.Fprintf(w, "No daemon answers at %s: this is what the state says, and nothing is kept fresh.\n    to mend: %s\n", g.control, g.startCommand())
	}
}

// startCommand is what begins to look after what was asked about.
func (g *globals) startCommand() string {
	run := strings.Join(append([]string{"tokend run"}, g.gitArguments()...), " ")
	if flags := g.where(); flags != "" {
		return run + " " + flags
	}
	return "systemctl start tokend (or: " + run + ")"
}

// printBroken says that the configuration is broken, if it is, or why it is not the
// one in force.
func (g *globals) printBroken(w io.Writer, c configurationView, now time.Time) {
	if c.Valid && c.NotTaken != "" {
		fmt.Fprintf(w, "The configuration in %s cannot be taken over; the one before stays in force: %s\n    It is tried again every %s.\n\n", c.Directory, c.NotTaken, takeAgain)
	}
	if c.Valid {
		return
	}
	if c.Git != nil && slices.Equal(c.Errors, []string{noCommitSummary}) {
		fmt.Fprintf(w, "Nothing of %s can be checked out since %s, as is said below; the configuration that was last in force goes on.\n\n", c.Git.URL, ago(now, c.Since))
		return
	}
	fmt.Fprintf(w, "The configuration in %s is broken since %s; the last good one is in force:\n", c.Directory, ago(now, c.Since))
	for _, e := range c.Errors {
		fmt.Fprintf(w, "  %s\n", e)
	}
	pushed := ""
	if c.Git != nil {
		pushed = fmt.Sprintf(", and push it to %s of %s", c.Git.Ref, c.Git.URL)
	}
	fmt.Fprintf(w, "    to mend: put right what `tokend validate %s` shows%s\n\n", firstOf(c.Check, "--config "+shellWord(c.Directory)), pushed)
}

// columns say how one kind of line is shown, beside its address and status.
type columns struct {
	heading string
	more    []string
	cells   func(now time.Time, l reconcile.Line) []string
}

func credentialCells(now time.Time, l reconcile.Line) []string {
	return []string{in(now, l.ExpiresAt), nextWord(now, l)}
}

func sinkCells(_ time.Time, l reconcile.Line) []string {
	kind, place, _ := strings.Cut(l.Place, ":")
	if kind == "file" || kind == "env" {
		return []string{place}
	}
	return []string{l.Place}
}

func hookCells(now time.Time, l reconcile.Line) []string { return []string{nextWord(now, l)} }

func (g *globals) printLines(w io.Writer, now time.Time, c columns, lines []reconcile.Line, change *reconcile.HeldChange, all bool) {
	if len(lines) == 0 {
		return
	}
	t := table.New().Border(lipgloss.HiddenBorder()).BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderHeader(false).
		StyleFunc(func(int, int) lipgloss.Style { return lipgloss.NewStyle().PaddingRight(1) }).Headers(append([]string{c.heading, "STATUS"}, c.more...)...)
	left, unseen, held := 0, 0, 0
	var notes []string
	for i, l := range lines {
		if !all && i >= statusShown {
			switch {
			case l.State == reconcile.Ready && l.Why == "":
				left++
				continue
			case l.State == reconcile.Pending && l.Why == "":
				unseen++
				continue
			}
		}
		t.Row(append([]string{shown(l.Address), stateWord(l)}, c.cells(now, l)...)...)
		switch {
		case change != nil && l.State == reconcile.Held && l.Why == change.Reason && !all:
			held++ // what the change would do to each is said with the change
		case l.Why != "":
			notes = append(notes, note(now, l))
		}
	}
	fmt.Fprintln(w, trimRight(t.Render()))
	if left > 0 {
		fmt.Fprintf(w, "  … and %d more that are ready\n", left)
	}
	if unseen > 0 {
		fmt.Fprintf(w, "  … and %d more that are pending\n", unseen)
	}
	for _, n := range notes {
		fmt.Fprintln(w, n)
	}
	if held > 0 {
		fmt.Fprintf(w, "  %s as before: see what is held back, below\n", livesOn(held))
	}
	fmt.Fprintln(w)
}

func livesOn(n int) string {
	if n == 1 {
		return "1 that is held lives on"
	}
	return fmt.Sprintf("%d that are held live on", n)
}

// wide is how many columns a terminal has at the least that is written for.
const wide = 100

func trimRight(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func stateWord(l reconcile.Line) string {
	if l.State == reconcile.Ready && l.Generation > 0 {
		return fmt.Sprintf("ready (generation %d)", l.Generation)
	}
	return string(l.State)
}

// dueWord is what comes next where no daemon sees to it.
const dueWord = "due"

func nextWord(now time.Time, l reconcile.Line) string {
	if l.State == reconcile.Ready && l.Generation == 0 && strings.HasPrefix(l.Address, "credential.") {
		return "refresh, when its token is needed" // it has a refresh token that was imported, and nothing else
	}
	if l.NextAt.IsZero() {
		return ""
	}
	verb := l.Next
	if l.State != reconcile.Ready && verb != dueWord || verb == "" {
		verb = "look"
	}
	return verb + " " + in(now, l.NextAt)
}

// note says what is not ready, since when, why, and what mends it; or what there is to
// be known of what is ready.
func note(now time.Time, l reconcile.Line) string {
	s := fmt.Sprintf("  %s: %s", shown(l.Address), l.State)
	switch {
	case l.State == reconcile.Ready:
		s += ", but "
	case !l.Since.IsZero() && l.State != reconcile.Removed: // since when is not recorded
		s += " for " + ago(now, l.Since) + ": "
	default:
		s += ": "
	}
	s += l.Why
	if l.Mend != "" {
		s += "\n      to mend: " + l.Mend
	}
	return s
}

// in is how far away a time is, in words.
func in(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if d := t.Sub(now); d >= 0 {
		return "in " + short(d)
	}
	return short(now.Sub(t)) + " ago"
}

func ago(now, t time.Time) string {
	if t.IsZero() {
		return "a moment"
	}
	return short(now.Sub(t))
}

// short is a duration to about two digits.
func short(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
