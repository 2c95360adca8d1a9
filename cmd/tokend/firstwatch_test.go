package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// Somebody changes a sink's file at a start, after it was looked at and before it is
// watched: nothing tells of that, and it is repaired all the same.
func TestAChangeBetweenTheFirstLookAndTheWatchIsRepaired(t *testing.T) {
	l := newLab(t, standin.Rules{})
	l.write("main.hcl", `
variable "out" { type = string }
sink "file" "a" {
  path    = "${var.out}/a"
  content = "right"
}
`)
	path := filepath.Join(l.out, "a")
	right := func() (bool, string) {
		b, _ := os.ReadFile(path)
		return string(b) == "right", string(b)
	}
	l.start()
	l.until("it is written", right)
	l.stop()
	changed := make(chan error, 1)
	l.inProcess(slog.New(slog.DiscardHandler), daemonOptions{started: func(*engine) { changed <- os.WriteFile(path, []byte("wrong"), 0o600) }})
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	l.within(30*time.Second, "it is repaired", right)
}

// Somebody changes the policy once the configuration was checked by it and before it
// is watched: nothing tells of that, and it counts all the same.
func TestAPolicyChangedBetweenItsReadingAndTheWatchCounts(t *testing.T) {
	l := newLab(t, standin.Rules{})
	l.write("main.hcl", "tokend {\n  listen = \"127.0.0.1:0\"\n}\n")
	policy := filepath.Join(t.TempDir(), "policy.hcl")
	for _, test := range []struct{ text, says string }{
		{"sink \"file\" { paths = [\"/run/nowhere/*\"] }\n", "policy taken over"},
		{"sink \"files\" {}\n", "the policy cannot be used; the last one stays in force"},
	} {
		if err := os.WriteFile(policy, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		said := &cue{on: map[string]func(){"configuration read": func() {
			if err := os.WriteFile(policy, []byte(test.text), 0o600); err != nil {
				t.Error(err)
			}
		}}}
		end := l.inProcess(slog.New(said), daemonOptions{}, "--policy", policy)
		l.within(30*time.Second, test.says, func() (bool, string) { return said.has(test.says), "it was not said" })
		end()
	}
}

// inProcess runs the daemon in this process, until the test's end or end is called.
func (l *lab) inProcess(log *slog.Logger, o daemonOptions, flags ...string) (end func()) {
	l.t.Helper()
	g := l.globals(strings.NewReader(""), &record{}, &record{}, []string{"run"})
	run, _, err := newRoot(g).Find([]string{"run"})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := run.ParseFlags(flags); err != nil {
		l.t.Fatal(err)
	}
	if err := g.defaults(run); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- g.daemon(ctx, log, o) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	})
	l.t.Cleanup(end)
	return end
}

// cue is a log that keeps the messages, and does something at some of them.
type cue struct {
	slog.Handler
	on map[string]func()

	mu   sync.Mutex
	said []string
}

func (h *cue) Enabled(context.Context, slog.Level) bool { return true }
func (h *cue) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *cue) WithGroup(string) slog.Handler            { return h }

func (h *cue) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, r.Message)
	if f := h.on[r.Message]; f != nil {
		f()
	}
	return nil
}

func (h *cue) has(message string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.said, message)
}
