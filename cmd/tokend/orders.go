package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/reconcile"
)

// order is a command that tells one address to do something now.
func (g *globals) order(c *cobra.Command, addr string, o reconcile.Order, done string) error {
	a, err := parseOrdered(addr, o.Kind)
	if err != nil {
		return err
	}
	return g.on(c.Context(), targetOptions{state: true, only: []string{a}}, func(t *target) error {
		r, err := t.Order(c.Context(), orderRequest{Address: a, Order: o})
		if err != nil {
			return err
		}
		if r.Idle {
			done = fmt.Sprintf("nothing of it fails, so nothing was tried (to refresh it now: %s)", g.spell("tokend refresh "+reconcile.ShellAddress(a)))
		}
		if r.Removed && o.Kind == reconcile.OrderTaint {
			done = "it is no longer declared, so nothing takes its place; a reply of it that could not be read is given up, and what that brought is counted as an orphan"
		}
		fmt.Fprintf(g.out, "%s: %s\n", shown(a), done)
		if r.Warning != "" {
			g.printNotice(g.err, "warning", r.Warning, r.Hint)
		}
		return nil
	})
}

// parseOrdered is the address that an order is for: anything can be tried again, and
// all else is done to tokens, which credentials alone have.
func parseOrdered(addr string, kind reconcile.OrderKind) (string, error) {
	switch kind {
	case reconcile.OrderRetry:
		return parseAddress(addr)
	case reconcile.OrderOrphans:
		return parseCredential(addr, "orphans")
	}
	return parseCredential(addr, fmt.Sprintf("a token to %s", kind))
}

func refreshCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "refresh ADDRESS", Short: "refresh a token now", Args: cobra.ExactArgs(1),
		Long: "Refreshes a token now, whether it is due or not, and waits until every sink that\nnames it holds the new one, for up to 30 s. Without a daemon it runs the hooks of\nthese sinks, too.\n\nExit status: 0 refreshed and delivered, 1 not.",
		RunE: func(c *cobra.Command, args []string) error {
			return g.order(c, args[0], reconcile.Order{Kind: reconcile.OrderRefresh}, "refreshed")
		}}
}

const revokeHelp = `Revokes a token now. As long as its block declares it, a new one is obtained at
once, and the command waits until it is there and every sink that names it holds it,
for up to 30 s. What is not delivered by then is a warning: the token is revoked all
the same, and another revoke would end the new one.

With --forget, a revocation that is pending and cannot succeed is given up: its
token lives on until it ends by itself.

With --forget-orphans, nothing is revoked: it says that somebody has looked after the
orphans of ADDRESS where they were issued, on the provider's own pages, say. These are
the tokens that may have been issued and that nobody knows, since a reply was lost;
tokend status counts them until they have certainly ended, also where their block is
removed. They are counted no more.

Exit status: 0 revoked (given up, forgotten), 1 not.`

func revokeCommand(g *globals) *cobra.Command {
	var forget, orphans bool
	c := &cobra.Command{Use: "revoke ADDRESS", Short: "revoke a token now and obtain a new one", Args: cobra.ExactArgs(1),
		Long: revokeHelp,
		RunE: func(c *cobra.Command, args []string) error {
			done := "revoked"
			if orphans {
				return g.order(c, args[0], reconcile.Order{Kind: reconcile.OrderOrphans}, "its orphans are counted no more; nothing was revoked")
			}
			if forget {
				done = "its pending revocation is given up; the token lives on until it ends by itself"
			}
			return g.order(c, args[0], reconcile.Order{Kind: reconcile.OrderRevoke, Forget: forget}, done)
		}}
	c.Flags().BoolVar(&forget, "forget", false, "give a pending revocation up")
	c.Flags().BoolVar(&orphans, "forget-orphans", false, "revoke nothing: count tokens that nobody knows no more, since they were looked after")
	c.MarkFlagsMutuallyExclusive("forget", "forget-orphans")
	return c
}

func taintCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "taint ADDRESS", Short: "replace a token at the next pass", Args: cobra.ExactArgs(1),
		Long: "Marks a token to be replaced: a new one is obtained and delivered, and the old one\nis given up after its overlap. A running daemon does it at once, but for a grant that\nhas just failed: that waits for its back-off, or for tokend retry.\n\nExit status: 0 marked, 1 not.",
		RunE: func(c *cobra.Command, args []string) error {
			return g.order(c, args[0], reconcile.Order{Kind: reconcile.OrderTaint}, "to be replaced")
		}}
}

func retryCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "retry ADDRESS", Short: "try a stopped or failing one again now", Args: cobra.ExactArgs(1),
		Long: "Tries again at once what a failure has stopped or put off: a grant that the\nprovider refused, a refresh, a sink, a hook, a reply that could not be read. A refresh token\nthat was refused or that may be spent is not sent again: the grant is tried.\n\nExit status: 0 it worked (or there was nothing to do), 1 not.",
		RunE: func(c *cobra.Command, args []string) error {
			return g.order(c, args[0], reconcile.Order{Kind: reconcile.OrderRetry}, "done")
		}}
}

func actionCommand(g *globals) *cobra.Command {
	var yes bool
	c := &cobra.Command{Use: "action ADDRESS NAME", Short: "make a provider's imperative call", Args: cobra.ExactArgs(2),
		Long: "Makes an imperative call that the provider type declares, such as deactivating an\naccount. One that is destructive asks first; without a terminal it needs --yes. It\nis made once and never repeated.\n\nExit status: 0 done, 1 not.",
		RunE: func(c *cobra.Command, args []string) error { return g.action(c, args[0], args[1], yes) }}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask before a destructive action")
	return c
}

func (g *globals) action(c *cobra.Command, addr, name string, yes bool) error {
	a, err := parseCredential(addr, "actions")
	if err != nil {
		return err
	}
	if !yes {
		if ok, err := g.mayAct(c.Context(), a, name); err != nil || !ok {
			return refused(err)
		}
	}
	return g.order(c, addr, reconcile.Order{Kind: reconcile.OrderAction, Action: name}, "done: "+name)
}

// mayAct asks before a destructive action. Whether it is one, and whether there is
// one of that name at all, says who works on the state.
func (g *globals) mayAct(ctx context.Context, addr, name string) (bool, error) {
	var action actionReply
	err := g.onState(ctx, func(t *target) (err error) {
		action, err = t.Action(ctx, actionRequest{Address: addr, Name: name})
		return err
	})
	switch {
	case err != nil:
		return false, err
	case !action.Destructive:
		return true, nil
	case !isTerminal(g.in):
		return false, withHint(fmt.Errorf("the action %q is destructive, and there is no terminal to ask on", name), "give --yes if nobody has to be asked")
	}
	question := fmt.Sprintf("The action %q on %s is destructive.", name, shown(addr))
	if action.EndsAccount {
		question = fmt.Sprintf("The action %q ends the account of %s: nothing is obtained for it any more, unless you say `tokend retry`.", name, shown(addr))
	}
	return g.confirm(ctx, question)
}

// defaultMinValid is how much of a token must be left when it is asked for.
const defaultMinValid = time.Minute

const getHelp = `Prints one attribute of a credential: access_token (the default), header,
header_name, token_type, expires_at, obtained_at, scopes, generation, or one of
its type's outputs. When less than --min-valid is left, it is refreshed once
first; without a daemon, what names it is written and told by this command, too.
More than its tokens live is an error, and nothing is sent for it.

Exit status: 0 printed, 1 not.`

// getOperands takes one address. A second word is the attribute that is wanted.
func getOperands(c *cobra.Command, args []string) error {
	if len(args) == 2 {
		return withHint(errors.New(wrongOperands(c, args)), "the attribute is named by a flag: tokend get %s --field %s", shellWord(args[0]), shellWord(args[1]))
	}
	return cobra.ExactArgs(1)(c, args)
}

func getCommand(g *globals) *cobra.Command {
	var field string
	var minValid time.Duration
	c := &cobra.Command{Use: "get ADDRESS", Short: "print an attribute of a credential", Long: getHelp, Args: getOperands, RunE: func(c *cobra.Command, args []string) error {
		a, err := parseCredential(args[0], "attributes to print")
		if err != nil {
			return err
		}
		return g.on(c.Context(), targetOptions{state: true, only: []string{a}}, func(t *target) error {
			r, err := t.Get(c.Context(), getRequest{Address: a, Field: field, MinValid: minValid, Unasked: !c.Flags().Changed("min-valid")})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(g.out, r.Value)
			return err
		})
	}}
	c.Flags().StringVar(&field, "field", "access_token", "`attribute` to print")
	c.Flags().DurationVar(&minValid, "min-valid", defaultMinValid, "refresh first when less than this is left")
	return c
}

const approveHelp = `Shows the change that the guard holds back and lets exactly that change go ahead,
at once: what else was changed meanwhile is held as before. Without a daemon it is
remembered, and the next "tokend apply" or start carries it out. On a terminal it
asks first.

Exit status: 0 approved, or nothing is held back; 1 error, or the answer was no.`

func approveCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "approve", Short: "let a change go ahead that the guard holds back", Long: approveHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		t, err := g.target(c.Context(), targetOptions{state: true})
		if err != nil {
			return err
		}
		defer t.Close()
		held, err := t.Held(c.Context())
		if err != nil {
			return err
		}
		if held == nil {
			fmt.Fprintln(g.out, "Nothing is held back.")
			return nil
		}
		g.printHeld(held)
		if isTerminal(g.in) {
			if ok, err := g.confirm(c.Context(), "Let it go ahead?"); err != nil || !ok {
				return refused(err)
			}
		}
		if err := t.Approve(c.Context(), held); err != nil {
			return err
		}
		fmt.Fprintln(g.out, "Approved.")
		return nil
	}}
}
