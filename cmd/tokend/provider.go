package main

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokend/pkg/spec"
)

func providerCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "provider", Short: "the catalogue of provider types",
		Long: "Provider types say how an API hands out tokens, as data. The built-in ones are\nfiles in the same language: print one, copy it into your directory, change it."}
	c.AddCommand(providerListCommand(g), providerShowCommand(g), providerTestCommand(g))
	return c
}

// types are the built-in provider types, and those of the configuration where
// there is one. Of one that cannot be used, those whose blocks can be.
func (g *globals) types(ctx context.Context) ([]*spec.ProviderType, error) {
	g.useCheckout(ctx)
	cfg, diags := g.read(nil)
	if !diags.HasErrors() {
		return cfg.ProviderTypes(), nil
	}
	rescued, lost, more := spec.RescueTypes(g.config, g.specOptions())
	if more.HasErrors() {
		return nil, more
	}
	if lost > 0 {
		fmt.Fprintf(g.err, "%s cannot be used as it is, and %s of it is left out here; `tokend validate` says why\n", g.config, countOf(lost, "provider type"))
	}
	return rescued.ProviderTypes(), nil
}

func providerListCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "list the provider types", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		types, err := g.types(c.Context())
		if err != nil {
			return err
		}
		sort.Slice(types, func(i, j int) bool { return types[i].Name < types[j].Name })
		w := tabwriter.NewWriter(g.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "TYPE\tGRANTS\tSUMMARY")
		for _, t := range types {
			var grants []string
			for _, gr := range t.Grants {
				grants = append(grants, gr.Name)
			}
			own := ""
			if !t.Builtin {
				own = " (of this configuration)"
			}
			fmt.Fprintf(w, "%s\t%s\t%s%s\n", t.Name, strings.Join(grants, ", "), t.Summary, own)
		}
		return w.Flush()
	}}
}

func providerShowCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "show TYPE", Short: "print a provider type's definition", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		types, err := g.types(c.Context())
		if err != nil {
			return err
		}
		var names []string
		for _, t := range types {
			if t.Name == args[0] {
				_, err := fmt.Fprintln(g.out, strings.TrimRight(string(t.Source), "\n"))
				return err
			}
			names = append(names, t.Name)
		}
		sort.Strings(names)
		return withHint(fmt.Errorf("there is no provider type %q", args[0]), "there are: %s", strings.Join(names, ", "))
	}}
}
