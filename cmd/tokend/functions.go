package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tokend/pkg/spec"
)

func functionsCommand(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "functions", Short: "list the functions of the language", Args: cobra.NoArgs,
		Long: "Lists the functions that expressions may call. They are those of Terraform that make\nsense without its runtime, and a few of tokend's own. None is impure: a plan is the\nsame twice.",
		RunE: func(*cobra.Command, []string) error {
			docs := spec.Functions()
			if asJSON {
				return g.printJSON(docs)
			}
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
