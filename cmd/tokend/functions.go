package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokend/pkg/spec"
)

func functionsCommand(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "functions", Short: "list the functions of the language", Args: cobra.NoArgs,
		Long: "Lists the functions that expressions may call, and the one that only the requests of\na provider type have. They are those of Terraform that make sense without its\nruntime, and a few of tokend's own. None is impure: a plan is the same twice.",
		RunE: func(*cobra.Command, []string) error {
			docs := spec.Functions()
			if asJSON {
				return g.printJSON(functionLines(docs))
			}
			slices.SortStableFunc(docs, func(a, b spec.FunctionDoc) int { return strings.Compare(a.Group, b.Group) })
			group := ""
			for _, d := range docs {
				if d.Group != group {
					if group != "" {
						fmt.Fprintln(g.out)
					}
					group = d.Group
					fmt.Fprintf(g.out, "%s\n", group)
				}
				fmt.Fprintf(g.out, "  %s\n      %s\n", d.Usage, wordwrap(d.Doc, 74, "      "))
			}
			return nil
		}}
	c.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return c
}

// functionLine is a function as `tokend functions --json` prints it.
type functionLine struct {
	Name  string `json:"name"`
	Group string `json:"group"`
	Usage string `json:"usage"`
	Doc   string `json:"doc"`
}

func functionLines(docs []spec.FunctionDoc) []functionLine {
	lines := make([]functionLine, len(docs))
	for i, d := range docs {
		lines[i] = functionLine(d)
	}
	return lines
}
