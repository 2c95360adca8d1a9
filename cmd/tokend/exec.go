package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tokend/pkg/sinks/envsink"
	"tokend/pkg/spec"
)

const execHelp = `Runs a command with tokens in its environment, and in nothing else: no file, no
argument. Each is refreshed once first when little of it is left.

    tokend exec --env TOKEN=coinify.trader --env KEY=cryptohopper.bot.header -- ./report

Signals that end or tell a process (INT, TERM, HUP, QUIT, USR1, USR2) are passed on
to the command, and its end is waited for.

Exit status: the command's, or 128 and the number of the signal that ended it; 1
when it could not be started.`

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
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // it ends by the signals that it is passed
	cmd.Stdin, cmd.Stdout, cmd.Stderr = g.in, g.out, g.err
	cmd.Env = append(append([]string(nil), g.environ...), values...)
	err = runPassing(ctx, cmd)
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		if err != nil {
			err = fmt.Errorf("running %s: %w", args[0], err)
		}
		return err
	}
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exit(128 + int(status.Signal())) // as a shell says it
	}
	return exit(ended.ExitCode())
}

// runPassing runs a command and passes on the signals that come: it may have to end
// what it does (a service that is told to stop), so it is told, not killed. One that
// ctx ends before it is started is not.
func runPassing(ctx context.Context, cmd *exec.Cmd) error {
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2} {
		if !signal.Ignored(s) { // as under nohup: the command is to ignore it, too
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				if !typed(s) {
					_ = cmd.Process.Signal(s) // it may just have ended
				}
			case <-ended:
				return
			}
		}
	}()
	defer close(ended)
	return cmd.Wait()
}

// typed reports whether a signal is one of the keyboard's, which the terminal sends
// to all of its foreground's processes, so that the command has it already.
func typed(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// tokens are the variables for a command's environment. The target is given up
// before the command runs, so that the command may use tokend itself.
func (g *globals) tokens(ctx context.Context, env []string) ([]string, error) {
	var only []string
	for _, e := range env {
		if name, _, ok := cut(e); ok && name != "" && !envsink.ValidName(name) {
			return nil, withHint(fmt.Errorf("reading --env %q: %q is no name of an environment variable", e, name), "a name has letters, digits and underscores, and begins with no digit: --env TOKEN=coinify.trader")
		}
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
