package main

import (
	"fmt"
	"sort"
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

Exit status: 0; with --detailed-exitcode 2 when there is something to do;
1 error.`

func planCommand(g *globals) *cobra.Command {
	var asJSON, detailed, noSecrets bool
	c := &cobra.Command{Use: "plan", Short: "say what would be done, and why", Long: planHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		t, err := g.target(c.Context(), targetOptions{memory: true})
		if err != nil {
			return err
		}
		defer t.Close()
		p, err := t.Plan(c.Context(), planRequest{NoSecrets: noSecrets})
		if err != nil {
			return err
		}
		if asJSON {
			s, err := indentJSON(p)
			if err != nil {
				return err
			}
			fmt.Fprintln(g.out, s)
		} else {
			g.printPlan(p)
		}
		if !p.Configuration.Valid {
			return exit(exitFailed)
		}
		if detailed && todo(p) {
			return exit(exitTodo)
		}
		return nil
	}}
	g.policyFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the steps as JSON")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there is something to do")
	c.Flags().BoolVar(&noSecrets, "no-secrets", false, "read no secret")
	return c
}

// todo says whether a plan has anything that would be done.
func todo(p planReply) bool {
	if p.Held != nil {
		return true
	}
	return len(p.Steps) > 0
}

// group is one kind of step as a plan shows it.
type group struct {
	sign    string
	heading string
	colour  string
	actions []reconcile.Action
}

func groups() []group {
	return []group{
		{"→", "move", dim, []reconcile.Action{reconcile.ActMove}},
		{"+", "obtain", green, []reconcile.Action{reconcile.ActObtain, reconcile.ActStatic, reconcile.ActExchange}},
		{"~", "refresh", yellow, []reconcile.Action{reconcile.ActRefresh, reconcile.ActReplay, reconcile.ActReread, reconcile.ActSettle, reconcile.ActRevive}},
		{"-/+", "replace", yellow, []reconcile.Action{reconcile.ActReplace}},
		{"+", "write", green, []reconcile.Action{reconcile.ActWrite}},
		{"~", "repair", yellow, []reconcile.Action{reconcile.ActRepair, reconcile.ActClean}},
		{"-", "remove", red, []reconcile.Action{reconcile.ActRemove, reconcile.ActRetire}},
		{"-", "revoke", red, []reconcile.Action{reconcile.ActRevoke}},
		{"-", "forget", red, []reconcile.Action{reconcile.ActDrop, reconcile.ActRelease}},
		{"·", "wait", dim, []reconcile.Action{reconcile.ActWait, reconcile.ActNone}},
	}
}

// planShown bounds how many steps of one kind are printed with their reasons.
const planShown = 200

func (g *globals) printPlan(p planReply) {
	g.printBroken(g.out, p.Configuration, time.Now())
	if len(p.Steps) == 0 && p.Held == nil {
		fmt.Fprintf(g.out, "Nothing to do: %s and %s are as declared.\n", countOf(p.Credentials, "credential"), countOf(p.Sinks, "sink"))
		return
	}
	paint := g.painter()
	var counts []string
	for _, gr := range groups() {
		steps := stepsOf(p.Steps, gr.actions)
		if len(steps) == 0 {
			continue
		}
		counts = append(counts, fmt.Sprintf("%d to %s", len(steps), gr.heading))
		fmt.Fprintf(g.out, "%s\n", paint(bold, strings.ToUpper(gr.heading[:1])+gr.heading[1:]))
		for i, s := range steps {
			if i == planShown {
				fmt.Fprintf(g.out, "  … and %d more\n", len(steps)-planShown)
				break
			}
			fmt.Fprintf(g.out, "  %s %s\n      %s\n", paint(gr.colour, gr.sign), shown(s.Address), firstOf(s.Reason, s.Why))
			if s.Mend != "" {
				fmt.Fprintf(g.out, "      to mend: %s\n", s.Mend)
			}
		}
		fmt.Fprintln(g.out)
	}
	if p.Held != nil {
		g.printHeld(p.Held)
	}
	if len(counts) > 0 {
		fmt.Fprintf(g.out, "Plan: %s.\n", strings.Join(counts, ", "))
	}
}

func shown(addr string) string { return spec.Address(addr).Short() }

func stepsOf(steps []reconcile.Step, actions []reconcile.Action) []reconcile.Step {
	var out []reconcile.Step
	for _, s := range steps {
		for _, a := range actions {
			if s.Action == a {
				out = append(out, s)
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Address < out[j].Address })
	return out
}

func (g *globals) printHeld(h *reconcile.HeldChange) {
	paint := g.painter()
	fmt.Fprintf(g.out, "%s %s\n", paint(bold, "Held back:"), h.Reason)
	for _, s := range h.Steps {
		fmt.Fprintf(g.out, "  %s %s would be %s: %s\n", paint(red, "-"), shown(s.Address), heldWord(s.Action), s.Reason)
	}
	fmt.Fprintf(g.out, "  to let it go ahead: tokend approve (or tokend apply --allow-revocations %d)\n\n", h.Total())
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
