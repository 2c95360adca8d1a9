package main

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tokend/pkg/secret"
)

// TestCleanHandlerWritesWhatCleaningAllWrites: whether a record needs cleaning
// or not, its line is that of a handler that cleans every attribute.
func TestCleanHandlerWritesWhatCleaningAllWrites(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 987654321, time.UTC)
	values := []any{
		"plain", "one\ntwo", "größe", "<&>", 7, uint64(8), true, 1.5, at, time.Minute, errors.New("bad\rreply"), errors.New("good"), nil,
		secret.New("hunter2"), slog.GroupValue(slog.String("a", "b\nc")), []string{"x", "y"},
	}
	with := []func(*slog.Logger) *slog.Logger{
		func(l *slog.Logger) *slog.Logger { return l },
		func(l *slog.Logger) *slog.Logger { return l.With("address", "credential.a.b", "n", 1) },
		func(l *slog.Logger) *slog.Logger { return l.With("why", "a\x1b[31mb") },
		func(l *slog.Logger) *slog.Logger { return l.With("key", secret.New("hunter2")).WithGroup("g") },
		func(l *slog.Logger) *slog.Logger { return l.WithGroup("g").With("x", "y") },
	}
	for i, value := range values {
		for j, f := range with {
			line := func(h slog.Handler) {
				r := slog.NewRecord(at, slog.LevelWarn, "said", 0)
				r.Add("first", "text", "value", value)
				if err := f(slog.New(h)).Handler().Handle(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			var got, want strings.Builder
			line(newCleanHandler(newLines(&got), slog.LevelInfo))
			line(slog.NewJSONHandler(&want, &slog.HandlerOptions{ReplaceAttr: cleanAttr}))
			if got.String() != want.String() {
				t.Errorf("value %d of logger %d:\n%s want\n%s", i, j, got.String(), want.String())
			}
			if strings.Contains(got.String(), "hunter2") {
				t.Errorf("value %d of logger %d shows a secret", i, j)
			}
		}
	}
	h := newCleanHandler(newLines(&strings.Builder{}), slog.LevelWarn)
	if h.Enabled(t.Context(), slog.LevelInfo) || !h.WithGroup("g").Enabled(t.Context(), slog.LevelWarn) {
		t.Error("the level does not count")
	}
}
