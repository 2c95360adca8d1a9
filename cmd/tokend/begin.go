package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
	"tokend/pkg/web"
)

// aloneAnswers is how long a daemon that serves the socket already gets to say
// so. One that is too busy is noticed when the socket is opened.
const aloneAnswers = 2 * time.Second

// alone refuses to begin where another daemon answers at the control socket,
// before a state is made that nobody wants. One that holds the state of this one
// is told about by the state's lock, with its process.
func (g *globals) alone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, aloneAnswers)
	defer cancel()
	_, s, err := g.dial(ctx)
	if err != nil {
		return nil
	}
	return withHint(fmt.Errorf("a daemon answers at %s already: it works on %s", g.control, s.Configuration.Directory),
		"`tokend status` asks it; to run another beside it, give that one a --control and a --state of its own")
}

// portFree refuses to begin where the port of the pages is taken, before a state is
// made that nobody wants. Where there is a state already the port may be that of the
// daemon that holds it and is about to end: it is opened once the state is.
func (g *globals) portFree(ctx context.Context, s spec.Settings) error {
	addr := g.listens(s.Listen)
	if _, err := os.Stat(filepath.Join(g.stateDir(s.State), state.FileName)); addr == "" || err == nil {
		return nil
	}
	l, err := web.Listen(ctx, addr)
	if err != nil {
		return err
	}
	return l.Close()
}

// ownPlaceHint says what to do about a place that this user may not write to:
// most often somebody tries tokend without being root. named is what they gave.
func (g *globals) ownPlaceHint(err error, flag, named string) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if named != "" {
		return withHint(err, "give a directory that this user may write to, or run it as the user that it belongs to")
	}
	return withHint(err, "run it as root or by its unit; as an ordinary user, give it places of its own: %s", g.ownPlaces(flag))
}

// ownPlaces are the flags that lead to places of a user's own, with what was
// given already.
func (g *globals) ownPlaces(flag string) string {
	if flag == "--state DIR" && !g.controlSet {
		return "--state DIR --control PATH"
	}
	return flag
}
