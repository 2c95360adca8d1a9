package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/reconcile"
)

const applyHelp = `Shows the plan, asks, and makes one pass until everything has converged or
failed. A failing step gets its retries for up to 30 s. An old token that lives
on for its overlap is left queued: the daemon, or the next apply, gives it up.

What the guard holds back is refused unless --allow-revocations covers the sum
of its revocations and removed sinks. Without a terminal, --auto-approve is
needed.

Exit status: 0 converged, 1 failed, 3 a person is needed (a login or an
approval).`

func applyCommand(g *globals) *cobra.Command {
	var yes bool
	var allow int
	c := &cobra.Command{Use: "apply", Short: "show the plan, ask, and make it so once", Long: applyHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		if !yes && !isTerminal(g.in) {
			return withHint(errors.New("apply asks before it acts, and there is no terminal to ask on"), "give --auto-approve if nobody has to be asked")
		}
		t, err := g.target(c.Context(), targetOptions{})
		if err != nil {
			return err
		}
		defer t.Close()
		return g.apply(c.Context(), t, yes, allow)
	}}
	g.policyFlag(c)
	c.Flags().BoolVar(&yes, "auto-approve", false, "do not ask")
	c.Flags().IntVar(&allow, "allow-revocations", 0, "let a change go ahead that gives up or removes up to `N` tokens and sinks together")
	return c
}

func (g *globals) apply(ctx context.Context, t *target, yes bool, allow int) error {
	p, err := t.Plan(ctx, planRequest{NoSettle: true, Allow: allow})
	if err != nil {
		return err
	}
	g.spellSteps(p.Steps)
	if p.Held != nil && allow >= p.Held.change().Total() {
		g.printAllowed(p.Held.change())
		p.Held = nil
	}
	g.printPlan(p)
	// With nothing to do there is still something to remember: settings such as
	// prevent_destroy, and the configuration as the one in force.
	if !yes && p.todo() {
		if ok, err := g.confirm(ctx, "Go ahead?"); err != nil || !ok {
			return refused(err)
		}
	}
	waiting, stop := context.WithCancel(ctx)
	said := make(chan struct{})
	go func() {
		defer close(said)
		sayWaits(waiting, g.err, t.howItDoes)
	}()
	r, err := t.Apply(ctx, applyRequest{Allow: allow})
	stop()
	<-said
	if err != nil {
		return err
	}
	return g.applied(r)
}

// printAllowed shows what the guard would hold back, and a person allowed.
func (g *globals) printAllowed(h *reconcile.HeldChange) {
	fmt.Fprintf(g.out, "Allowed by --allow-revocations, though %s:\n", h.Reason)
	for _, s := range h.Steps {
		fmt.Fprintf(g.out, "  %s %s is %s: %s\n", g.painter()(red, "-"), shown(s.Address), heldWord(s.Action), s.Reason)
	}
	fmt.Fprintln(g.out)
}

// applied says how a pass ended.
func (g *globals) applied(r applyReply) error {
	failed, person := false, r.Held != nil
	g.spellView(&r.View)
	for _, lines := range [][]reconcile.Line{r.Credentials, r.Sinks, r.Hooks} {
		for _, l := range lines {
			switch l.State {
			case reconcile.NeedsLogin, reconcile.Held:
				person = true
			case reconcile.Failing, reconcile.Stopped, reconcile.Unread, reconcile.Pending, reconcile.Indeterminate:
				failed = true
			case reconcile.Removing:
				failed = failed || strings.HasPrefix(l.Why, "cannot clean") || strings.HasPrefix(l.Why, "revoking")
			case reconcile.Ready:
				if l.Why == "" {
					continue
				}
			default:
				continue
			}
			fmt.Fprintf(g.out, "%s: %s: %s\n", l.State, shown(l.Address), l.Why)
			if l.Mend != "" {
				fmt.Fprintf(g.out, "    to mend: %s\n", l.Mend)
			}
		}
	}
	if r.Held != nil {
		g.printHeld(r.Held)
	}
	if g.printLater(r.Later, time.Now()); len(r.Later) > 0 {
		fmt.Fprintln(g.out)
	}
	fmt.Fprintf(g.out, "Applied: %s ready%s.\n", allWords(r.View), queued(len(r.Later)))
	switch {
	case failed:
		return exit(exitFailed)
	case person:
		return exit(exitPerson)
	}
	return nil
}

// queued says that old tokens live on, which is no failure of the pass.
func queued(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "; 1 old token is left queued, to be given up later"
	}
	return fmt.Sprintf("; %d old tokens are left queued, to be given up later", n)
}

// readyWords count what works: what is held back does, as it was, for /readyz and
// tokend_ready, too.
func readyWords(v reconcile.View) string {
	return fmt.Sprintf("%d of %d", v.Works(), addresses(v))
}

// allWords are readyWords, with how many of these are not as the configuration wants them.
func allWords(v reconcile.View) string {
	if n := v.Counts[reconcile.Held] - v.HeldEnded; n > 0 {
		return fmt.Sprintf("with %d held back as before, %s", n, readyWords(v))
	}
	return readyWords(v)
}

// lookedWords say how far the first pass of a daemon has come.
func lookedWords(v reconcile.View) string {
	total := addresses(v)
	return fmt.Sprintf("%d of %d looked at", max(0, total-v.Unseen), total)
}

// addresses is the number of all that a view counts.
func addresses(v reconcile.View) int {
	total := 0
	for _, n := range v.Counts {
		total += n
	}
	return total
}

// refused is the end of a command that was not let go ahead: by an error, or by
// a person's answer, after which nothing is left to say.
func refused(err error) error {
	if err != nil {
		return err
	}
	return exit(exitFailed)
}

// confirm asks a person on the terminal.
func (g *globals) confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprintf(g.out, "%s Only \"yes\" goes ahead: ", question)
	line, err := readLine(ctx, g.in)
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(g.out)
		g.stage.while, g.stage.left = "it waited for an answer", "nothing was changed"
		return false, err
	}
	if err != nil {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		fmt.Fprintln(g.out, "Nothing was done.")
		return false, nil
	}
	return true, nil
}
