package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"tokend/pkg/state"
)

const (
	// lockPatience is how long is waited for another process to let go of the
	// state: a command holds it for a while, a daemon holds it for good.
	lockPatience = 5 * time.Second
	lockLook     = 50 * time.Millisecond
	// lockSaid is how long is waited before it is said, and lockSaidAgain how often
	// it is said then.
	lockSaid      = time.Second
	lockSaidAgain = time.Minute
)

// stateWait is a daemon that waits for the state: for as long as a command works on
// it, who may have to be asked something, and for lockPatience where nobody can tell
// who does. Two daemons never wait for each other.
type stateWait struct {
	log    *slog.Logger
	served func(context.Context) bool // a daemon answers already
	waits  func(status string)        // tells systemd, so that it waits, too
}

func (e *engine) waiting() stateWait {
	return stateWait{log: e.log, waits: newNotifier(e.log).waits, served: func(ctx context.Context) bool {
		_, _, err := e.g.dial(ctx)
		return err == nil
	}}
}

// open tries until the state opens, fails for another reason, or is not waited for
// any more. err is why it could not be opened just now.
func (w stateWait) open(ctx context.Context, open func() (state.Store, error), err error) (state.Store, error) {
	var store state.Store
	now := time.Now()
	until, say := now.Add(lockPatience), now.Add(lockSaid)
	for errors.Is(err, state.ErrLocked) {
		var held *state.LockedError
		command := errors.As(err, &held) && isCommand(held.Holder)
		if now = time.Now(); command {
			until = now.Add(lockPatience) // from when it lets go: the next may be on its way
		}
		if !now.Before(until) {
			break
		}
		if command && !now.Before(say) {
			w.log.Warn("waiting for the state: a command works on it", "command", held.Holder, "pid", held.PID)
			w.waits("waiting for the state, which " + held.Holder + " works on")
			say = now.Add(lockSaidAgain)
		}
		if w.served(ctx) || pause(ctx, lockLook) != nil {
			break
		}
		store, err = open()
	}
	return store, err
}

// heldBy names the process that has a state locked, as far as it is known.
func heldBy(err error) string {
	var held *state.LockedError
	if errors.As(err, &held) {
		return held.Error()
	}
	return err.Error()
}

// holderOf is what a process writes beside its id into the lock: a daemon nothing, so
// that kill -HUP $(cat state.lock) does what people expect of such a file.
func holderOf(command string) string {
	if isCommand(command) {
		return command
	}
	return ""
}

// isCommand says of what a process calls itself that it lets go of the state by
// itself, once it is done.
func isCommand(holder string) bool {
	return strings.HasPrefix(holder, "tokend ") && holder != "tokend run" && holder != "tokend dev"
}
