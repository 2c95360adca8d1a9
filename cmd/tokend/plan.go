package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

const planHelp = `Says what would be obtained, refreshed, replaced, written, repaired, removed and
revoked, and why. It changes nothing, asks no provider and spends no token. It
reads secrets to know what changed; with --no-secrets it does not, and such a
step says "known at apply".

Where a daemon holds the state the plan is the daemon's, from its own
configuration: what it will do next.

Away from the host, "tokend plan --against FILE" plans a checkout with what
"tokend state export" wrote there: no state, daemon, secret or network is needed.
It is made as of then: what became due since is the host's work, and no step.

Exit status: 0; with --detailed-exitcode 2 when there is something to do;
1 error.`

func planCommand(g *globals) *cobra.Command {
	var asJSON, detailed, noSecrets bool
	var file string
	c := &cobra.Command{Use: "plan", Short: "say what would be done, and why", Long: planHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		p, err := g.plan(c.Context(), file, planRequest{NoSecrets: noSecrets})
		if err != nil && (!asJSON || p.FormatVersion == "") {
			return err
		}
		if asJSON {
			s, failed := indentJSON(p)
			if failed != nil {
				return errors.Join(err, failed)
			}
			if fmt.Fprintln(g.out, s); err != nil {
				return err
			}
		} else {
			g.printPlan(p)
		}
		if !p.Configuration.Valid {
			return exit(exitFailed)
		}
		if detailed && p.todo() {
			return exit(exitTodo)
		}
		return nil
	}}
	g.policyFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the steps as JSON")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there is something to do")
	c.Flags().StringVar(&file, "against", "", "plan away from the host, against the `file` that \"tokend state export\" wrote there")
	c.Flags().BoolVar(&noSecrets, "no-secrets", false, "read no secret")
	return c
}

// plan asks the daemon or the state, or plans against an export. With the error
// that the directory is broken it gives a plan without steps, which says so.
func (g *globals) plan(ctx context.Context, export string, in planRequest) (planReply, error) {
	if export != "" && g.policyFile != "" {
		return planReply{}, withHint(errors.New("--policy says what a configuration may do on this host, and --against plans for another one"), "check the checkout by itself: tokend validate --policy FILE")
	}
	if export != "" {
		p, err := g.against(ctx, export)
		g.spellSteps(p.Steps)
		g.spellSteps(p.Later)
		return p, err
	}
	t, err := g.target(ctx, targetOptions{memory: true})
	if err != nil {
		return brokenPlan(err), err
	}
	defer t.Close()
	p, err := t.Plan(ctx, in)
	g.spellSteps(p.Steps)
	g.spellSteps(p.Later)
	return p, err
}

// group is one kind of step as a plan shows it.
type group struct {
	sign    string
	action  string
	colour  string
	heading string
}

func groups() []group {
	return []group{
		{"→", planMove, dim, "Move"},
		{"+", planImport, green, "Import"},
		{"+", planObtain, green, "Obtain"},
		{"~", planRefresh, yellow, "Refresh"},
		{"-/+", planReplace, yellow, "Replace"},
		{"+", planWrite, green, "Write"},
		{"~", planRepair, yellow, "Repair"},
		{"-", planRemove, red, "Remove"},
		{"-", planRevoke, red, "Revoke"},
		{"-", planForget, red, "Forget"},
		{">", planHook, cyan, "Run hooks"},
		{"·", planWait, dim, "Wait"},
	}
}

// planShown bounds how many steps of one kind are printed with their reasons.
const planShown = 200

func (g *globals) printPlan(p planReply) {
	now := time.Now()
	g.printAgainst(p.Against, now)
	g.printNoState(p.NoState)
	g.printBroken(g.out, p.Configuration.view(), now)
	if p.Against != nil && !p.Against.MadeAt.IsZero() {
		now = p.Against.MadeAt // as of when its steps are
	}
	if !p.todo() {
		if p.Credentials+p.Sinks == 0 {
			fmt.Fprintf(g.out, "Nothing to do: no credential and no sink is declared in %s.\nDeclare a credential, and a sink for its token: tokend help shows both.\n", p.Configuration.Directory)
		} else {
			fmt.Fprintf(g.out, "Nothing to do: %s and %s are as declared.\n", countOf(p.Credentials, "credential"), countOf(p.Sinks, "sink"))
		}
		if len(p.Later) > 0 {
			fmt.Fprintln(g.out)
		}
		g.printLater(p.Later, now)
		g.printUnknown(p.KnownAtApply)
		return
	}
	paint := g.painter()
	var counts []string
	for _, gr := range groups() {
		n := g.printGroup(gr, p.Steps, now)
		if n > 0 {
			counts = append(counts, fmt.Sprintf("%d to %s%s", n, gr.words(n), gr.wouldFail(p.Steps)))
		}
	}
	if p.Held != nil {
		g.printHeld(p.Held.change())
	}
	if g.printLater(p.Later, now); len(p.Later) > 0 {
		fmt.Fprintln(g.out)
	}
	g.printUnknown(p.KnownAtApply)
	if len(counts) > 0 {
		fmt.Fprintf(g.out, "%s %s.\n", paint(bold, "Plan:"), strings.Join(counts, ", "))
	}
}

// printNoState says that a plan begins with nothing: whoever has a daemon
// elsewhere would be frightened by it.
func (g *globals) printNoState(dir string) {
	if dir == "" {
		return
	}
	fmt.Fprintf(g.out, "There is no state in %s, and no daemon answers at %s: this is what a first start\nwould do. To plan with a state that is elsewhere, name it by --state, or its daemon by --control.\n\n", dir, g.control)
}

// words are what the last line of a plan calls the group.
func (gr group) words(n int) string {
	switch {
	case gr.action != planHook:
		return gr.action
	case n == 1:
		return "run as a hook"
	}
	return "run as hooks"
}

// wouldFail says how many steps of the group cannot succeed as things are. What failed
// before and is tried again may.
func (gr group) wouldFail(steps []planStep) string {
	n := 0
	for _, s := range steps {
		if s.Action == gr.action && gr.action != planWait && s.State == reconcile.Failing && s.Mend != "" && !s.Again {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d would fail)", n)
}

// printGroup prints the steps of one kind and returns how many there are.
func (g *globals) printGroup(gr group, steps []planStep, now time.Time) int {
	paint, n := g.painter(), 0
	var mine []planStep
	for _, s := range steps {
		if s.Action == gr.action {
			mine = append(mine, s)
		}
	}
	for i, s := range mine {
		if n++; n == 1 {
			fmt.Fprintln(g.out, paint(bold, gr.heading))
		}
		if n > planShown {
			continue
		}
		fmt.Fprintf(g.out, "  %s %s\n", paint(gr.colour, gr.sign), shown(s.Address))
		if n < planShown && i+1 < len(mine) && s.waitsAs(&mine[i+1], now) {
			continue // said once, below the last of them
		}
		fmt.Fprintf(g.out, "      %s\n", s.reason(now))
		if len(s.Inputs) > 0 {
			fmt.Fprintf(g.out, "      forced by: %s\n", strings.Join(s.Inputs, ", "))
		}
		if s.Mend != "" {
			fmt.Fprintf(g.out, "      to mend: %s\n", s.Mend)
		}
	}
	if n > planShown {
		fmt.Fprintf(g.out, "  … and %d more\n", n-planShown)
	}
	if n > 0 {
		fmt.Fprintln(g.out)
	}
	return n
}

// waitsAs says whether two steps wait for one thing, which one command mends, such
// as the approval of a change that gives many up.
func (s *planStep) waitsAs(next *planStep, now time.Time) bool {
	return s.Action == planWait && len(s.Inputs)+len(next.Inputs) == 0 && s.Mend != "" && s.Mend == next.Mend && s.reason(now) == next.reason(now)
}

// reason is why, what failed before, and when, where that is not at once.
func (s *planStep) reason(now time.Time) string {
	reason, when := s.withFailure(), ", in "
	if s.Again {
		when = "; tried again in "
	}
	if s.At == nil || !s.At.After(now) {
		return reason
	}
	return reason + when + short(s.At.Sub(now))
}

// withFailure is the reason with what failed, where it does not say that itself.
func (s *planStep) withFailure() string {
	fails := s.Again || s.Action == planWait && (s.State == reconcile.Failing || s.State == reconcile.Stopped)
	switch {
	case !fails || strings.Contains(s.Reason, s.Why):
		return s.Reason
	case strings.Contains(s.Why, s.Reason):
		return s.Why
	}
	return s.Reason + ": " + s.Why
}

// printLater says what is left queued, and how long from now.
func (g *globals) printLater(later []planStep, now time.Time) {
	if len(later) == 0 {
		return
	}
	paint := g.painter()
	fmt.Fprintf(g.out, "%s\n", paint(bold, "Later"))
	for i, s := range later {
		if i == planShown {
			fmt.Fprintf(g.out, "  … and %d more\n", len(later)-planShown)
			break
		}
		fmt.Fprintf(g.out, "  %s %s %s\n      %s\n", paint(dim, "·"), s.Action, shown(s.Address), s.reason(now))
	}
}

// printUnknown says of what only a secret tells whether it is to be done.
func (g *globals) printUnknown(addresses []string) {
	if len(addresses) == 0 {
		return
	}
	const most = 3
	names := make([]string, 0, most)
	for i, a := range addresses {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(addresses)-most))
			break
		}
		names = append(names, shown(a))
	}
	fmt.Fprintf(g.out, "Whether %s changes is known at apply: no secret was read.\n", strings.Join(names, ", "))
}

func shown(addr string) string { return spec.Address(addr).Short() }

func (g *globals) printHeld(h *reconcile.HeldChange) {
	paint := g.painter()
	const title = "Held back:"
	reason := strings.TrimPrefix(wordwrap(title+" "+h.Reason, wide-2, "  "), title)
	fmt.Fprintf(g.out, "%s%s\n", paint(bold, title), reason)
	for _, s := range h.Steps {
		fmt.Fprintf(g.out, "  %s %s would be %s: %s\n", paint(red, "-"), shown(s.Address), heldWord(s.Action), s.Reason)
	}
	fmt.Fprintln(g.out, g.spell(fmt.Sprintf("  to let it go ahead: tokend approve (or tokend apply --allow-revocations %d)\n", h.Total())))
}

func heldWord(a reconcile.Action) string {
	switch a {
	case reconcile.ActReplace:
		return "replaced"
	case reconcile.ActRemove:
		return "removed"
	case reconcile.ActDrop:
		return "forgotten"
	}
	return "given up"
}

// Colours are never the only signal.
const (
	green  = "32"
	yellow = "33"
	red    = "31"
	cyan   = "36"
	dim    = "2"
	bold   = "1"
)

// painter colours text on a terminal that wants it.
func (g *globals) painter() func(colour, s string) string { return g.painterFor(g.out) }

func (g *globals) painterFor(w any) func(colour, s string) string {
	if !isTerminal(w) || g.getenv("NO_COLOR") != "" || g.getenv("TERM") == "dumb" {
		return func(_, s string) string { return s }
	}
	return func(colour, s string) string { return "\x1b[" + colour + "m" + s + "\x1b[0m" }
}
