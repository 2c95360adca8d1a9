package hooks

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// maxChanged bounds $TOKEND_CHANGED: the kernel refuses to start a program with
// a variable of 128 KiB, and a hook that fails because too much changed would
// never run again.
const maxChanged = 64 << 10

// Exec runs a program, after another one that must agree first:
//
//	check   = ["nginx", "-t"]
//	command = ["nginx", "-s", "reload"]
//
// Both find in their environment TOKEND_HOOK (the hook's address),
// TOKEND_CHANGED (the addresses of the changed sinks, separated by spaces, cut
// after 64 KiB) and TOKEND_CHANGED_COUNT (how many they are, uncut). They start
// in the configuration's directory with nothing on standard input. The timeout
// is for both together. A program that leaves others behind on purpose (it
// starts a daemon) is done when it ends itself.
func Exec(o Options) Hook { return execHook{o} }

type execHook struct{ o Options }

func execSchema() spec.Schema {
	return spec.Schema{
		Doc: "Runs a program after sinks changed.",
		Attrs: []spec.Attr{
			{Name: "command", Type: cty.List(cty.String), Required: true, NotEmpty: true, Doc: "The program and its arguments; no shell."},
			{Name: "check", Type: cty.List(cty.String), Doc: "A program that must succeed before command runs."},
			timeoutAttr("30s"),
			debounceAttr(),
		},
	}
}

// Run implements [Hook].
func (h execHook) Run(ctx context.Context, args spec.Values, changed []spec.Address) error {
	command, err := argv(args, "command")
	if err != nil {
		return err
	}
	if len(command) == 0 {
		return errors.New("reading command: it is empty; name the program to run")
	}
	check, err := argv(args, "check")
	if err != nil {
		return err
	}
	timeout, err := args.Duration("timeout", DefaultTimeout)
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx, timeout)
	defer cancel()

	env := append(h.o.environ(), changedEnviron(ctx, changed)...)
	if len(check) > 0 {
		if _, err := (program{argv: check, env: env, o: h.o, timeout: timeout}).run(ctx); err != nil {
			return fmt.Errorf("checking before the command (which was not run): %w", err)
		}
	}
	_, err = program{argv: command, env: env, o: h.o, timeout: timeout}.run(ctx)
	return err
}

// argv reads a command line.
func argv(args spec.Values, name string) ([]string, error) {
	list, err := args.Strings(name)
	if err != nil {
		return nil, err
	}
	if len(list) > 0 && list[0] == "" {
		return nil, fmt.Errorf("reading %s: the program's name is empty", name)
	}
	for _, a := range list {
		if strings.ContainsRune(a, 0) {
			return nil, fmt.Errorf("reading %s: an argument contains a NUL byte, which no program can be given", name)
		}
	}
	return list, nil
}

// changedEnviron are the variables that say what happened.
func changedEnviron(ctx context.Context, changed []spec.Address) []string {
	var list strings.Builder
	for _, a := range changed {
		if list.Len()+len(a)+1 > maxChanged {
			break
		}
		if list.Len() > 0 {
			list.WriteByte(' ')
		}
		list.WriteString(string(a))
	}
	return []string{
		"TOKEND_HOOK=" + string(addressOf(ctx)),
		"TOKEND_CHANGED=" + list.String(),
		"TOKEND_CHANGED_COUNT=" + strconv.Itoa(len(changed)),
	}
}
