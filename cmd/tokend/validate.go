package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

const validateHelp = `Checks the configuration: every mistake in the directory and its templates in
one go, each with its place and what to do. A sink's template that is not there yet
is a warning, and so is a certificate that a provider or a Vault is asked with. It
needs neither state nor network nor secrets. Where a daemon follows a Git repository, its checkout is checked,
unless --config names another directory.

Exit status: 0 valid, 1 not.`

func validateCommand(g *globals) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "validate", Short: "check the configuration", Long: validateHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		g.useCheckout(c.Context())
		g.contents = true
		if asJSON {
			_, diags := g.read(nil)
			s, err := indentJSON(g.validation(diags))
			if err != nil {
				return err
			}
			fmt.Fprintln(g.out, s)
			if diags.HasErrors() {
				return exit(exitFailed)
			}
			return nil
		}
		cfg, err := g.load(nil)
		if err != nil {
			return err
		}
		credentials, sinks := cfg.Counts()
		fmt.Fprintf(g.out, "%s is valid: %s, %s.\n", cfg.Dir(), countOf(credentials, "credential"), countOf(sinks, "sink"))
		return nil
	}}
	g.policyFlag(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the diagnostics as JSON, in Terraform's shape")
	return c
}
