package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/state"
)

// A daemon that starts waits for a command for as long as that works on the state,
// and says for which; for who does not say what it is, and for another daemon, it
// waits some seconds.
func TestADaemonWaitsForACommand(t *testing.T) {
	broken := errors.New("the disk is broken")
	for name, c := range map[string]struct {
		holder string
		held   time.Duration // how long the state is held
		served bool
		stops  time.Duration // when the daemon is told to stop; 0: never
		after  error         // what opening fails with then
		want   error
		waits  time.Duration // how long is waited, at most
		said   string
	}{
		"a slow command":         {holder: "tokend apply", held: 10 * time.Minute, waits: 10*time.Minute + time.Second, said: "tokend apply"},
		"a quick command":        {holder: "tokend state backup", held: 200 * time.Millisecond, waits: time.Second},
		"a state that is broken": {holder: "tokend apply", held: time.Minute, after: broken, want: broken, waits: time.Minute + time.Second, said: "tokend apply"},
		"a daemon that starts":   {holder: "tokend run", held: time.Hour, want: state.ErrLocked, waits: lockPatience + time.Second},
		"a daemon that answers":  {holder: "tokend apply", held: time.Hour, served: true, want: state.ErrLocked, waits: time.Second},
		"nobody knows who":       {held: time.Hour, want: state.ErrLocked, waits: lockPatience + time.Second},
		"a stop meanwhile":       {holder: "tokend apply", held: time.Hour, stops: 3 * time.Minute, want: state.ErrLocked, waits: 3*time.Minute + time.Second, said: "tokend apply"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.stops > 0 {
					time.AfterFunc(c.stops, cancel)
				}
				began := time.Now()
				open := func() (state.Store, error) {
					if time.Since(began) < c.held {
						return nil, fmt.Errorf("opening the state: %w", &state.LockedError{Path: "/state/lock", PID: 17, Holder: c.holder})
					}
					return state.NewMemory(state.MemoryOptions{}), c.after
				}
				var said bytes.Buffer
				var told []string
				w := stateWait{log: slog.New(slog.NewTextHandler(&said, nil)), served: func(context.Context) bool { return c.served },
					waits: func(s string) { told = append(told, s) }}
				_, locked := open()
				store, err := w.open(ctx, open, locked)
				if !errors.Is(err, c.want) || err == nil && store == nil {
					t.Errorf("it came to %v, %v", store, err)
				}
				if d := time.Since(began); d > c.waits || c.want == nil && d < c.held {
					t.Errorf("it waited %s", d)
				}
				if text := said.String() + strings.Join(told, " "); (c.said == "") != (text == "") || strings.Count(text, c.said) < 2 && c.said != "" {
					t.Errorf("it said %s", text)
				}
			})
		})
	}
}

// A command that waits for another process says so once, with who that is, and goes
// on when the state is free.
func TestACommandSaysWhoHoldsTheState(t *testing.T) {
	t.Parallel()
	l := deviceLab(t, time.Hour)
	l.tokend("apply", "--auto-approve") // makes the state; the person is missing
	held, err := state.Open(t.Context(), state.Options{Dir: l.state, Holder: "tokend apply"})
	if err != nil {
		t.Fatal(err)
	}
	var out, errs record
	ended := make(chan int, 1)
	go func() {
		ended <- l.globals(strings.NewReader(""), &out, &errs, []string{"state", "list"}).run(t.Context())
	}()
	said := fmt.Sprintf("waiting: the state is in use by another process: process %d holds %s (tokend apply); trying for ", os.Getpid(), filepath.Join(l.state, state.LockName))
	l.until("it says whom it waits for", func() (bool, string) { return strings.Contains(errs.String(), said), errs.String() })
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status != 0 || strings.Count(errs.String(), "waiting:") != 1 {
		t.Errorf("%d\n%s%s", status, out.String(), errs.String())
	}
}
