package main

import (
	"context"
	"log/slog"
)

// cleanHandler writes JSON with every attribute cleaned, as cleanAttr does. Nearly
// all records have nothing to clean, and asking about every attribute while it
// is written costs more than writing it: those go to a handler that does not ask.
type cleanHandler struct {
	clean slog.Handler
	plain slog.Handler // nil: an attribute that all records have is to be cleaned
	lines *lines       // that both write to
}

func newCleanHandler(l *lines, level slog.Level) *cleanHandler {
	return &cleanHandler{
		clean: slog.NewJSONHandler(l, &slog.HandlerOptions{Level: level, ReplaceAttr: cleanAttr}),
		plain: slog.NewJSONHandler(l, &slog.HandlerOptions{Level: level}),
		lines: l,
	}
}

// Enabled implements [slog.Handler].
func (h *cleanHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.clean.Enabled(ctx, level)
}

// Handle implements [slog.Handler].
func (h *cleanHandler) Handle(ctx context.Context, r slog.Record) error {
	ok := h.plain != nil && plain(r.Message)
	if ok {
		r.Attrs(func(a slog.Attr) bool {
			ok = plainAttr(a)
			return ok
		})
	}
	to := h.clean
	if ok {
		to = h.plain
	}
	if err := to.Handle(ctx, r); err != nil {
		return err
	}
	if r.Level >= slog.LevelWarn {
		return h.lines.flush()
	}
	return h.lines.flushSoon()
}

// WithAttrs implements [slog.Handler].
func (h *cleanHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := &cleanHandler{clean: h.clean.WithAttrs(attrs), lines: h.lines}
	for _, a := range attrs {
		if !plainAttr(a) {
			return out
		}
	}
	if h.plain != nil {
		out.plain = h.plain.WithAttrs(attrs)
	}
	return out
}

// WithGroup implements [slog.Handler].
func (h *cleanHandler) WithGroup(name string) slog.Handler {
	out := &cleanHandler{clean: h.clean.WithGroup(name), lines: h.lines}
	if h.plain != nil {
		out.plain = h.plain.WithGroup(name)
	}
	return out
}

// plainAttr says whether an attribute is of a kind, and has a text, of which
// cleanAttr would change nothing.
func plainAttr(a slog.Attr) bool {
	switch a.Value.Kind() {
	case slog.KindString:
		return plain(a.Value.String())
	case slog.KindBool, slog.KindInt64, slog.KindUint64, slog.KindFloat64, slog.KindDuration, slog.KindTime:
		return true
	}
	return false
}
