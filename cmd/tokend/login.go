package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

const loginHelp = `Logs in to an API whose grant needs a person. It prints the provider's
authorization URL: open it in a browser, anywhere, approve, and copy the address
that the browser is sent to afterwards (the page there need not load; the values
stand after "?" or "#") into this terminal, as one line.

Exit status: 0 logged in, 1 not.`

func loginCommand(g *globals) *cobra.Command {
	var paste bool
	c := &cobra.Command{Use: "login ADDRESS", Short: "log in where a grant needs a person", Long: loginHelp, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		a, err := parseCredential(args[0], "a login")
		if err != nil {
			return err
		}
		t, err := g.target(c.Context(), targetOptions{only: []string{a}})
		if err != nil {
			return err
		}
		defer t.Close()
		r, err := t.LoginStart(c.Context(), loginRequest{Address: a})
		if err != nil {
			return err
		}
		if paste && !isTerminal(g.out) {
			fmt.Fprintln(g.out, r.URL)
		} else {
			fmt.Fprintf(g.out, "Open this address in a browser and approve:\n\n  %s\n\nThen paste the address that you were sent to, and press Enter:\n", r.URL)
		}
		redirect, err := readLine(c.Context(), g.in)
		if err != nil {
			return withHint(fmt.Errorf("reading the redirected address: %w", err), "give the redirected address as one line on standard input")
		}
		if err := t.LoginFinish(c.Context(), loginFinish{Address: a, ID: r.ID, Redirect: redirect}); err != nil {
			if hintOf(err) == "" {
				err = withHint(err, "begin again: tokend login %s, and paste the whole address that the browser was sent to", args[0])
			}
			return err
		}
		fmt.Fprintf(g.out, "%s: logged in\n", shown(a))
		return nil
	}}
	c.Flags().BoolVar(&paste, "paste", false, "print the URL and read the redirected address, one line, from standard input")
	return c
}

// maxRedirect bounds what is read of a pasted address.
const maxRedirect = 64 << 10

func readLine(ctx context.Context, r io.Reader) (string, error) {
	type read struct {
		line string
		err  error
	}
	got := make(chan read, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(r, maxRedirect)).ReadString('\n')
		got <- read{line, err}
	}()
	var line string
	var err error
	select {
	case in := <-got:
		line, err = strings.TrimSpace(in.line), in.err
	case <-ctx.Done():
		return "", ctx.Err() // the reader ends with the process
	}
	if line == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("there was nothing to read")
		}
		return "", err
	}
	return line, nil
}
