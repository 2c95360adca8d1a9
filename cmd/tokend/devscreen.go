package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
)

// devTerminal is dev on a terminal: one calm screen, drawn anew each second,
// with what happened last below the table.
func (g *globals) devTerminal(ctx context.Context, p *playground) error {
	recent := &tail{keep: 6}
	log := slog.New(tint.NewTextHandler(recent, &tint.Options{Level: slog.LevelInfo, TimeFormat: time.TimeOnly, ReplaceAttr: cleanAttr}))
	fmt.Fprint(g.out, "\x1b[?1049h\x1b[?25l") // another screen, no cursor; both given back below
	defer fmt.Fprint(g.out, "\x1b[?25h\x1b[?1049l")
	return g.devDaemon(ctx, log, func(e *engine) {
		e.daemon = true
		go g.draw(ctx, e, p, recent)
	})
}

func (g *globals) draw(ctx context.Context, e *engine, p *playground, recent *tail) {
	for {
		s, err := e.Status(ctx, "")
		if err != nil {
			return
		}
		g.spellView(&s.View)
		var screen bytes.Buffer
		screen.WriteString(p.words(g.control))
		g.printStatus(&screen, s, "")
		screen.WriteString("\n" + recent.String())
		// Line by line over what was there, so that nothing flickers.
		text := strings.ReplaceAll(screen.String(), "\n", "\x1b[K\n")
		fmt.Fprint(g.out, "\x1b[H"+text+"\x1b[J")
		if pause(ctx, time.Second) != nil {
			return
		}
	}
}

// tail keeps the last lines that were written to it.
type tail struct {
	keep int

	mu    sync.Mutex
	lines []string
}

// Write takes one log line.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, strings.TrimRight(string(b), "\n"))
	if len(t.lines) > t.keep {
		t.lines = t.lines[len(t.lines)-t.keep:]
	}
	return len(b), nil
}

// String is the lines kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n") + "\n"
}
