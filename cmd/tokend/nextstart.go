package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Some settings count from the next start on only: where the state is, the key
// that seals it, and where the pages are served. A daemon that takes over a
// configuration which changes one of them goes on as before, and what is wrong
// with the new value would be noticed at the next start alone, perhaps weeks
// later and at night. So it is said at once, and for as long as it is so.

// started is what counts until this process ends.
type started struct {
	state  spec.StateSettings // its key; a rotation changes it
	listen string
	known  bool
}

// nextStart is what the configuration in force says that counts from the next
// start on, and what that start would do.
func (e *engine) nextStart() []string {
	cfg := e.loop.Config()
	e.mu.Lock()
	began, other := e.began, e.conf.NotTaken != ""
	e.mu.Unlock()
	if !began.known || cfg == nil || e.g.guard != nil || other { // the next start begins with the one that waits
		return nil
	}
	var out []string
	s := cfg.Settings()
	if w := e.nextState(s.State); w != "" {
		out = append(out, w)
	} else if !sameKey(began.state, s.State) {
		out = append(out, fmt.Sprintf("the configuration names %s for the state, and another key seals it: the next start would fail; run `%s`, or take the setting back",
			keyWords(s.State), e.g.spell("tokend state rotate-key")))
	}
	if s.Listen != began.listen {
		out = append(out, fmt.Sprintf("listen is %s in the configuration, and was %s at the start of this process: it counts from the next start on", quotedOr(s.Listen, "not set"), quotedOr(began.listen, "not set")))
	}
	return out
}

// nextState says what becomes of the state where it shall be at another place.
func (e *engine) nextState(s spec.StateSettings) string {
	is, shall := filepath.Dir(e.store.Info().Path), e.g.stateDir(s)
	if is == "." || same(is, shall) {
		return ""
	}
	if _, err := os.Stat(filepath.Join(shall, state.FileName)); err == nil {
		return fmt.Sprintf("the state is to be in %s now, and is in %s: the next start would go on with the one that is there, which may be older; take state.path back, or stop tokend and move the directory", shall, is)
	}
	return fmt.Sprintf("the state is to be in %s now, and is in %s: the next start would begin without it and revoke none of its tokens; take state.path back, or stop tokend, move the directory there and start it", shall, is)
}

func keyWords(s spec.StateSettings) string {
	switch {
	case s.KeyFile != "":
		return "the key file " + s.KeyFile
	case s.SystemdCredential != "":
		return "the systemd credential " + s.SystemdCredential
	case s.Transit != nil:
		return fmt.Sprintf("the key %s/%s of %s", s.Transit.Mount, s.Transit.Key, s.Transit.Vault)
	}
	return "the key that tokend makes beside it"
}

func quotedOr(s, empty string) string {
	if s == "" {
		return empty
	}
	return fmt.Sprintf("%q", s)
}

// sayNextStart logs what is new of it.
func (e *engine) sayNextStart() {
	now := e.nextStart()
	e.mu.Lock()
	before := e.saidNext
	e.saidNext = now
	e.mu.Unlock()
	for _, s := range now {
		if !slices.Contains(before, s) {
			e.log.Warn("a setting counts from the next start on", "what", s)
		}
	}
}

// leftBehind refuses to begin with no state where the configuration says it is,
// while there is one where this daemon had it without that setting: its tokens
// would all be forgotten.
func (g *globals) leftBehind(s spec.StateSettings) error {
	if g.guard != nil || g.state != "" || s.Path == "" || g.git == nil && g.getenv("STATE_DIRECTORY") == "" {
		return nil
	}
	former := g.stateDir(spec.StateSettings{})
	if same(former, s.Path) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(s.Path, state.FileName)); !errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(former, state.FileName)); err != nil {
		return nil
	}
	return withHint(fmt.Errorf("opening the state in %s: there is none, and there is one in %s, whose tokens would be forgotten", s.Path, former),
		"move its files (state.*) to %s, or take state.path out of the configuration; give --state %s to begin without it", s.Path, s.Path)
}

// firstAnswer is how long a start that failed waits for the first answer of the
// repository that it follows.
const firstAnswer = 30 * time.Second

// daemonOrNewer runs the daemon. Where it follows a repository and cannot start
// with the last checkout, what is wrong may have been mended there since: it
// tries the newer commit then, which it would never come to otherwise.
func (g *globals) daemonOrNewer(ctx context.Context, log *slog.Logger) error {
	was, up := "", false
	if g.git != nil {
		was = g.git.Commit()
	}
	err := g.daemon(ctx, log, daemonOptions{started: func(*engine) { up = true }})
	if err == nil || up || g.git == nil || ctx.Err() != nil {
		return err
	}
	select {
	case <-g.git.Asked():
	case <-time.After(firstAnswer):
	case <-ctx.Done():
	}
	now := g.git.Commit()
	if now == was || now == "" || ctx.Err() != nil {
		return err
	}
	log.Warn("the last checkout cannot be started with; the repository has a newer commit, which is tried", "error", err, "commit", now, "former", was)
	return g.daemon(ctx, log, daemonOptions{})
}

// begins notes what counts until this process ends.
func (e *engine) begins(listen string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.began.listen, e.began.known = listen, true
}

func printNextStart(w io.Writer, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(w, "At the next start: %s\n", l)
	}
	if len(lines) > 0 {
		fmt.Fprintln(w)
	}
}
