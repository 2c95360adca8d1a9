package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
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
	g := l.globals(strings.NewReader(""), &record{}, &record{}, []string{"run"})
	root := newRoot(g)
	if err := root.ParseFlags(nil); err != nil {
		t.Fatal(err)
	}
	run, _, err := root.Find([]string{"run"})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.defaults(run); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- g.daemon(ctx, slog.New(slog.DiscardHandler), daemonOptions{started: func(*engine) { changed <- os.WriteFile(path, []byte("wrong"), 0o600) }})
	}()
	defer func() { cancel(); <-ended }()
	if err := <-changed; err != nil {
		t.Fatal(err)
	}
	l.within(30*time.Second, "it is repaired", right)
}
