package reconcile

import (
	"context"
	"log/slog"
	"time"
)

// say logs what is said of each token. It does what [slog.Logger.LogAttrs] does, but
// for walking the stack to find out which line of the program says it: no log of ours
// names that, and of ten thousand tokens a second it is a hundredth of the processor.
func say(ctx context.Context, log *slog.Logger, level slog.Level, msg string, attrs ...slog.Attr) {
	h := log.Handler()
	if !h.Enabled(ctx, level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, msg, 0)
	r.AddAttrs(attrs...)
	_ = h.Handle(ctx, r) // as a logger does: there is nobody to tell
}
