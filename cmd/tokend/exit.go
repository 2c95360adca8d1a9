package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tokend/pkg/control"
	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// Exit statuses. What each means for a command is in its help.
const (
	exitOK     = 0
	exitFailed = 1
	exitTodo   = 2 // plan --detailed-exitcode: there is something to do; status: nobody to ask
	exitPerson = 3 // apply: a person is needed; fmt --check: something would change
)

// exit is an error that only carries a status: what there was to say has been
// said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// endsWith is an error that a command ends with another status than exitFailed for.
type endsWith struct {
	error
	status int
}

func (e endsWith) Unwrap() error { return e.error }

// hinted is an error with the next move.
type hinted struct {
	err  error
	hint string
}

func (h hinted) Error() string { return h.err.Error() }
func (h hinted) Unwrap() error { return h.err }

func withHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// report prints an error as `error:` and `hint:` and maps it to a status. It is
// the only place where errors become text.
func (g *globals) report(ctx context.Context, err error) int {
	var status exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	case g.interrupted(ctx, err):
		return exitFailed
	}
	g.printError(g.err, err)
	var other endsWith
	if errors.As(err, &other) {
		return other.status
	}
	return exitFailed
}

func (g *globals) printError(w io.Writer, err error) {
	g.printNotice(w, "error", err.Error(), hintOf(err))
}

// printNotice prints what there is to say, and the next move where there is one.
func (g *globals) printNotice(w io.Writer, kind, text, hint string) {
	fmt.Fprintf(w, "%s: %s\n", kind, strings.TrimSpace(text))
	if hint != "" {
		fmt.Fprintf(w, "hint: %s\n", g.spell(hint))
	}
}

// hintOf is the next move for an error.
func hintOf(err error) string {
	var h hinted
	var ce *control.Error
	var missing *reconcile.NotFoundError
	var refused *providers.Error
	var failed *reconcile.FailedError
	var inWay *reconcile.OrderError
	var undelivered *reconcile.UndeliveredError
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.As(err, &inWay) && inWay.Mend != "":
		return inWay.Mend
	case errors.As(err, &failed):
		return failed.Next
	case errors.As(err, &undelivered):
		return undelivered.Mend()
	case errors.As(err, &refused) && refused.Hint != "":
		return refused.Hint
	case errors.As(err, &ce) && ce.Hint != "":
		return ce.Hint
	case errors.As(err, &missing):
		return "`tokend status` lists all addresses"
	case errors.Is(err, state.ErrLocked):
		return "another tokend works on this state: ask it through its control socket (--control), or stop it"
	case errors.Is(err, state.ErrKey):
		return "give the key that this state was made with (state { key_file = … }); without it nothing in it can be read. If the configuration names a new key: tokend state rotate-key --former FILE"
	case errors.Is(err, state.ErrSchema):
		return "install the newer tokend again: it reads what it wrote"
	case errors.Is(err, state.ErrDamaged):
		return "put a backup in its place: tokend state restore FILE --force (the damaged one is kept beside)"
	case errors.Is(err, errNobody):
		return "start the daemon with `tokend run`, or make one pass with `tokend apply`"
	}
	return ""
}
