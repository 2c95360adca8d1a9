package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
)

// cleanHandler writes JSON with every attribute cleaned, as cleanAttr does. Nearly
// all records have nothing to clean, and asking about every attribute while it
// is written costs more than writing it: those go to a handler that does not ask.
type cleanHandler struct {
	clean slog.Handler
	plain slog.Handler // nil: an attribute that all records have is to be cleaned
}

func newCleanHandler(w io.Writer, level slog.Level) *cleanHandler {
	w = &oneAtATime{w: w} // two handlers, of which each locks for itself
	return &cleanHandler{
		clean: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: cleanAttr}),
		plain: slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}),
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
	if ok {
		return h.plain.Handle(ctx, r)
	}
	return h.clean.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h *cleanHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := &cleanHandler{clean: h.clean.WithAttrs(attrs)}
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
	out := &cleanHandler{clean: h.clean.WithGroup(name)}
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

// oneAtATime is a writer that several handlers share.
type oneAtATime struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements [io.Writer].
func (o *oneAtATime) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(b)
}
