package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"tokend/pkg/control"
	"tokend/pkg/state"
)

// stage is how far a command has come: what it tells where a signal ends it.
type stage struct {
	about string // the address that it was given, as it was typed; "": none
	while string // what it did
	who   worker
	open  []string // calls that it made and that nobody answered, by their addresses
	left  string   // what remains of it, where that is known
}

// worker is who has been asked to do what a command is for.
type worker uint8

const (
	nobodyYet   worker = iota
	theDaemon          // it may have begun, and goes on
	thisCommand        // it may have begun, and nobody goes on
)

// changing are the commands that change something, and what whoever ends one while
// the daemon is at it has to know. The others only tell.
var changing = map[string]string{
	"tokend apply":            "the daemon goes on by itself with a configuration that it has taken over",
	"tokend approve":          "the daemon may have let the change go: nothing is shown as held back then",
	"tokend refresh":          "",
	"tokend revoke":           "",
	"tokend taint":            "",
	"tokend retry":            "",
	"tokend action":           "",
	"tokend get":              "",
	"tokend exec":             "",
	"tokend login":            "",
	"tokend state mv":         "the daemon may have moved it all the same",
	"tokend state rm":         "the daemon may have removed it all the same",
	"tokend state rotate-key": "the daemon may have rotated it all the same",
}

// interrupted reports whether a command ended because ctx, that of its process, did,
// and tells what it was at and what is left.
func (g *globals) interrupted(ctx context.Context, err error) bool {
	cut := control.KindOf(err) == control.KindInterrupted // the daemon saw this command go, too
	if ctx.Err() == nil || !cut && !errors.Is(err, context.Canceled) {
		return false
	}
	text := g.command + ": ended by " + signalOf(ctx)
	if g.stage.while != "" {
		text += " while " + g.stage.while
	}
	if _, changes := changing[g.command]; changes && len(g.stage.open) > 0 {
		text += "; what came of a call for " + someOf(g.stage.open) + " is not known"
	}
	g.printNotice(g.err, "error", text, g.left())
	return true
}

// signalOf names the signal that ended a process's context.
func signalOf(ctx context.Context) string {
	cause := context.Cause(ctx).Error()
	for s, name := range map[syscall.Signal]string{syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM"} {
		if strings.HasPrefix(cause, s.String()) {
			return name
		}
	}
	return "a signal"
}

// left is what remains of a command that was ended.
func (g *globals) left() string {
	if g.stage.left != "" {
		return g.stage.left
	}
	goesOn, changes := changing[g.command]
	if !changes || g.stage.who == nobodyYet {
		return "nothing was changed"
	}
	look := "`tokend status`"
	if g.stage.about != "" {
		look = "`tokend status " + shellWord(g.stage.about) + "`"
	}
	switch {
	case g.stage.who == thisCommand && len(g.stage.open) > 0:
		return look + " says what becomes of that; the next `tokend apply`, or the daemon, sees to it"
	case g.stage.who == thisCommand:
		return "what was begun is recorded, and the next `tokend apply`, or the daemon, goes on from there: " + look + " says where that is"
	case goesOn == "":
		goesOn = "the daemon begins no call for this any more, and records what a call brings that it has begun"
	}
	return goesOn + ": " + look + " says how it is"
}

const (
	openNamed = 3               // that many addresses are named
	endSaid   = 1 * time.Second // how long a command may end without a word
)

// someOf lists addresses, but not a hundred thousand.
func someOf(addrs []string) string {
	more := len(addrs) - openNamed
	if more <= 0 {
		return strings.Join(addrs, ", ")
	}
	return strings.Join(addrs[:openNamed], ", ") + fmt.Sprintf(" and %d more", more)
}

// ends begins the end of an engine. In a command that a signal ends it says what is
// waited for, if that takes a while, until the function that it returns is called.
func (e *engine) ends() (ended func()) {
	if e.daemon || e.asked.Err() == nil {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-time.After(endSaid):
			fmt.Fprintln(e.g.err, "Ending: the answers of calls that were made are waited for, and recorded.")
		case <-stop:
		}
	}()
	return func() {
		close(stop)
		<-stopped
		e.g.stage.open = e.unanswered()
	}
}

// unanswered are the addresses whose last call nobody has answered.
func (e *engine) unanswered() (addrs []string) {
	_ = e.store.Heads(context.WithoutCancel(e.asked), func(h state.Head) error {
		if h.Intent {
			addrs = append(addrs, shown(h.Address))
		}
		return nil
	})
	return addrs
}
