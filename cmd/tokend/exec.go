package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"tokend/pkg/spec"
)

const execHelp = `Runs a command with tokens in its environment, and in nothing else: no file, no
argument. Each is refreshed once first when little of it is left.

    tokend exec --env TOKEN=coinify.trader --env KEY=cryptohopper.bot.header -- ./report

Exit status: the command's; 1 when it could not be started.`

func execCommand(g *globals) *cobra.Command {
	var env []string
	c := &cobra.Command{Use: "exec --env NAME=ADDRESS[.FIELD]… -- COMMAND", Short: "run a command with tokens in its environment", Long: execHelp, Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return g.exec(c.Context(), env, args) }}
	c.Flags().StringArrayVar(&env, "env", nil, "variable and the credential it comes from, as `NAME=ADDRESS[.FIELD]`; may be repeated")
	return c
}

func (g *globals) exec(ctx context.Context, env, args []string) error {
	if len(env) == 0 {
		return withHint(errors.New("exec was told no token to hand over"), "name one: --env TOKEN=coinify.trader")
	}
	values, err := g.tokens(ctx, env)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = g.in, g.out, g.err
	cmd.Env = append(append([]string(nil), g.environ...), values...)
	err = cmd.Run()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended) && ended.ExitCode() >= 0:
		return exit(ended.ExitCode())
	case err != nil:
		return fmt.Errorf("running %s: %w", args[0], err)
	}
	return nil
}

// tokens are the variables for a command's environment. The target is given up
// before the command runs, so that the command may use tokend itself.
func (g *globals) tokens(ctx context.Context, env []string) ([]string, error) {
	var only []string
	for _, e := range env {
		if _, from, ok := cut(e); ok {
			if addr, _, err := addressAndField(from); err == nil {
				only = append(only, addr)
			}
		}
	}
	t, err := g.target(ctx, targetOptions{state: true, only: only})
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var values []string
	for _, e := range env {
		name, from, ok := cut(e)
		if !ok || name == "" {
			return nil, withHint(fmt.Errorf("reading --env %q: it is not of the form NAME=ADDRESS[.FIELD]", e), "for example: --env TOKEN=coinify.trader")
		}
		addr, field, err := addressAndField(from)
		if err != nil {
			return nil, err
		}
		r, err := t.Get(ctx, getRequest{Address: addr, Field: field, MinValid: defaultMinValid, Unasked: true})
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", from, err)
		}
		values = append(values, name+"="+r.Value)
	}
	return values, nil
}

// addressAndField splits ADDRESS[.FIELD]: an address has two parts (three with
// "credential."), and a key perhaps.
func addressAndField(s string) (addr, field string, err error) {
	if a, err := spec.ParseAddress(s); err == nil {
		return string(a), "access_token", nil
	}
	i := strings.LastIndexByte(s, '.')
	if i < 0 {
		i = len(s)
	}
	a, err := parseAddress(s[:i])
	if err != nil {
		return "", "", err
	}
	return a, strings.TrimPrefix(s[i:], "."), nil
}
