package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// tick is how coarse a file system's clock may be: what changed this long before
// a reading began may carry a time after it, or the other way round.
const tick = 10 * time.Millisecond

// abreast has the daemon read its directory before it answers, where a file
// changed since the last reading: whoever saves a file and asks for a plan means
// what they saved, although the daemon would take a moment to notice. It reads
// when it would have read by itself: once the files are quiet, and no git is at
// work there, or patience is at its end.
func (e *engine) abreast(ctx context.Context) error {
	if !e.daemon || e.loop.Config() == nil {
		return nil
	}
	for until := time.Now().Add(lockPatient); ; {
		newest := e.touchedAt()
		if read := e.lastRead(); !newest.Add(tick).After(read) {
			return nil
		}
		quiet := time.Since(newest).Abs()
		busy := quiet < configQuiet || quiet < lockQuiet && e.unsettled() != ""
		if !busy || time.Now().After(until) {
			err := e.reload(ctx, reconcile.SetOptions{Changed: newest})
			if broken := (*configError)(nil); errors.As(err, &broken) {
				return nil // the answer says so
			}
			return err
		}
		if err := pause(ctx, configQuiet/2); err != nil {
			return err
		}
	}
}

// lastRead is when the last reading of the configuration began.
func (e *engine) lastRead() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.readAt
}

// wasRead notes when the reading that has just ended began.
func (e *engine) wasRead(began time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readAt = later(e.readAt, began)
}

// touchedAt is when something of what the configuration is read from changed
// last: its directory, its files, and the files that these read.
func (e *engine) touchedAt() time.Time {
	cfg, now := e.loop.Config(), time.Now()
	return later(changedAt(cfg.Dir(), now), filesTouchedAt(cfg, now))
}

// filesTouchedAt is that of the files alone: much may come and go beside them.
func filesTouchedAt(cfg *spec.Config, now time.Time) time.Time {
	paths := slices.Clone(cfg.Reads())
	entries, _ := os.ReadDir(cfg.Dir()) // one that cannot be listed is told by who reads it
	for _, f := range entries {
		if spec.IsConfigFile(f.Name()) {
			paths = append(paths, filepath.Join(cfg.Dir(), f.Name()))
		}
	}
	var newest time.Time
	for _, p := range paths {
		newest = later(newest, changedAt(p, now))
	}
	return newest
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// changedAt is when a file was changed last, by the time that nobody can set;
// zero: it is not there, or the clock was set back since, and nothing can be told.
func changedAt(path string, now time.Time) time.Time {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return time.Time{}
	}
	if at := time.Unix(st.Ctim.Unix()); !at.After(now) {
		return at
	}
	return time.Time{}
}
