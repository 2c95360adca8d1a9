package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// lookInPlace tells whether the open file still is the one that the next start will
// open. A file that was removed, or that another has replaced, takes every write
// without an error, and all of it is gone when the process ends; so nothing that
// spends is begun on the strength of it. It costs two stats, is called once for each
// batch by the writer's goroutine, and says it in the log when it changes.
func (s *Bolt) lookInPlace() {
	err := s.inPlace()
	if (err == nil) == (s.away == nil) {
		s.away = err
		return
	}
	s.away = err
	if err != nil {
		s.opts.Logger.Error("the state's file is not in its place any more: what would spend a token waits until it is; what comes of the calls under way is kept in the open file", "path", s.path, "error", err)
	} else {
		s.opts.Logger.Info("the state's file is in its place again", "path", s.path)
	}
}

// inPlace returns nil when the state's path leads to the open file. The caller holds
// mu, or is the writer's goroutine. A path that cannot be looked at for another reason
// (a descriptor short, a directory that may not be read for a moment) says nothing.
func (s *Bolt) inPlace() error {
	if s.file == nil || s.borrowed {
		return nil
	}
	open, err := s.file.Stat()
	if err != nil {
		return nil
	}
	there, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: its file %s was removed: %s", ErrReadOnly, s.path, s.rescueHint())
	case err == nil && !os.SameFile(open, there):
		return fmt.Errorf("%w: its file %s was replaced by another one while it was open: restart tokend to go on with the other one, "+
			"or, to keep this one, %s", ErrReadOnly, s.path, s.rescueHint())
	}
	return nil
}

// rescueHint says how what the open file holds is saved.
func (s *Bolt) rescueHint() string {
	key := ""
	if k, ok := s.opts.Key.(*localKey); ok && k.generate {
		if _, err := os.Lstat(k.path); errors.Is(err, fs.ErrNotExist) {
			key = fmt.Sprintf("make a key anew, because the state's own went with it (`mkdir -p -m 700 %s`, then `tokend state rotate-key`), ", filepath.Dir(k.path))
		}
	}
	return fmt.Sprintf("%ssave what tokend still holds with `tokend state backup FILE` while it runs, stop it, move FILE to %s with mode 0600 and tokend's user as its owner, and start it", key, s.path)
}

// admitAway lets the request go ahead, although its file will not be found again,
// where it records the outcome of a call under way, for a copy of the open file then
// has it, or gives the state another key, for the copy needs one.
func (s *Bolt) admitAway(b *batch, q *request) error {
	switch {
	case s.away == nil, len(q.ops) == 1 && q.ops[0].kind == opHousehold:
		return nil
	case q.opens:
		return fmt.Errorf("recording an intent: %w; nothing was spent", s.away)
	case !b.settles(q):
		return fmt.Errorf("writing the state: %w", s.away)
	}
	return nil
}
