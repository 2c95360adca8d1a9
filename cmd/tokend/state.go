package main

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/spec"
)

func stateCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "state", Short: "look into the state, back it up, rotate its key", Long: "Looks into the state: what is recorded of each credential and sink, and keeps it:\nbackup, restore, a new key. Secrets are never shown."}
	c.AddCommand(stateListCommand(g), stateShowCommand(g), stateRemoveCommand(g), stateMoveCommand(g), stateExportCommand(g), stateBackupCommand(g), stateRestoreCommand(g), stateRotateKeyCommand(g))
	return c
}

func stateListCommand(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "list", Short: "list the records", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		var lines []stateLine
		err := g.onState(c.Context(), func(t *target) (err error) {
			lines, err = t.StateList(c.Context())
			return err
		})
		if err != nil {
			return err
		}
		sort.Slice(lines, func(i, j int) bool { return lines[i].Address < lines[j].Address })
		if asJSON {
			return g.printJSON(lines)
		}
		w := tabwriter.NewWriter(g.out, 0, 0, 2, ' ', 0)
		if len(lines) > 0 {
			fmt.Fprintln(w, "ADDRESS\tGENERATION\tEXPIRES\tNOTES")
		}
		for _, l := range lines {
			words := l.Flags
			if l.Intent {
				words = append(words, "open intent")
			}
			if l.Orphans > 0 {
				words = append(words, fmt.Sprintf("%d orphaned", l.Orphans))
			}
			generation, expires := "", "" // which only a credential has
			if spec.Address(l.Address).Kind() == "credential" {
				generation, expires = strconv.FormatUint(l.Generation, 10), in(time.Now(), l.ExpiresAt)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", shown(l.Address), generation, expires, strings.Join(words, ", "))
		}
		return w.Flush()
	}}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return c
}

func stateShowCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "show ADDRESS", Short: "show a record, without its secrets", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		return g.onAddress(c.Context(), args[0], func(t *target, addr string) error {
			r, err := t.StateShow(c.Context(), addr)
			if err != nil {
				return err
			}
			return g.printJSON(r)
		})
	}}
}

func stateRemoveCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "rm ADDRESS", Short: "forget a record, without revoking anything", Args: cobra.ExactArgs(1),
		Long: "Forgets what is recorded of an address. Its token is NOT revoked: it lives on at\nthe provider until it expires. As long as its block declares it, a new one is\nobtained. The forgotten one counts as an orphan until it has ended, or until the next\nrm.\n\nOf a sink, what it wrote stays at its place. It is written anew as long as its\nblock declares it.",
		RunE: func(c *cobra.Command, args []string) error {
			return g.onAddress(c.Context(), args[0], func(t *target, addr string) error {
				if err := t.StateRemove(c.Context(), addr); err != nil {
					return err
				}
				left := "its token was not revoked"
				if spec.Address(addr).Kind() == "sink" {
					left = "what it wrote was left where it is"
				}
				fmt.Fprintf(g.out, "%s: forgotten; %s\n", shown(addr), left)
				return nil
			})
		}}
}

const stateMoveHelp = `Moves what is recorded of an address to another one, whole: token, history, old
tokens that are still to be revoked, and what sinks hold of it. Nothing is
revoked or obtained. Without an instance's key, all instances of the block are
moved.

A moved block in the configuration does the same, and does it at the moment in
which the block is renamed; with a daemon running it is the better way. The
daemon refuses to move what is still declared under its old address, or is not
declared under the new one, since it would obtain or give up a token at once.

Exit status: 0 moved, 1 not.`

func stateMoveCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "mv FROM TO", Short: "move a record to another address", Args: cobra.ExactArgs(2), Long: stateMoveHelp,
		RunE: func(c *cobra.Command, args []string) error {
			to, err := parseAddress(args[1])
			if err != nil {
				return err
			}
			return g.onAddress(c.Context(), args[0], func(t *target, from string) error {
				moved, err := t.StateMove(c.Context(), moveRequest{From: from, To: to})
				if err != nil {
					return err
				}
				fmt.Fprintf(g.out, "%s: moved to %s (%s)\n", shown(from), shown(to), countOf(len(moved), "record"))
				if !t.daemon {
					fmt.Fprintln(g.out, g.spell("before the next apply or start the configuration has to name it so, too: `tokend plan` shows what would happen"))
				}
				return nil
			})
		}}
}
