package reconcile

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
)

// TestSay: what is said of each token is said as a logger says it.
func TestSay(t *testing.T) {
	attrs := []slog.Attr{slog.String("address", "credential.x.a"), slog.Uint64("generation", 7)}
	lines := func(log func(*slog.Logger, slog.Level)) string {
		var b bytes.Buffer
		h := slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && !a.Value.Time().IsZero() {
				return slog.String("time", "then")
			}
			return a
		}})
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
			log(slog.New(h).With("daemon", "one"), level)
		}
		return b.String()
	}
	want := lines(func(l *slog.Logger, level slog.Level) { l.LogAttrs(context.Background(), level, "obtained", attrs...) })
	got := lines(func(l *slog.Logger, level slog.Level) { say(context.Background(), l, level, "obtained", attrs...) })
	if got != want || want == "" {
		t.Errorf("say wrote\n%s, a logger writes\n%s", got, want)
	}
}
