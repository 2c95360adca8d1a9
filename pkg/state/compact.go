package state

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// When a file is made smaller at the start: bbolt gives no page back by itself.
const (
	compactFrom  = 16 << 20 // below this size it is not worth the writing
	compactBatch = 8 << 20
)

// compactAtStart makes the file smaller when most of its pages are free, which
// also takes out of it what was in them. Where that fails (a disk without room
// for the second copy), the file stays as it is.
func (s *Bolt) compactAtStart(ctx context.Context) error {
	stats := s.db.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(s.db.Info().PageSize)
	size := int64(0)
	_ = viewDB(s.db, func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	if size < compactFrom || free < size/2 {
		return nil
	}
	before := s.Info().Bytes
	placed, err := s.compact(ctx)
	if err != nil && placed {
		// The open file has no name any more, or none that a power cut leaves it:
		// what is written to it is lost.
		return fmt.Errorf("making the file smaller: %w", err)
	}
	if err != nil {
		s.opts.Logger.Warn("the state could not be made smaller; it goes on as it is", "path", s.path, "bytes", before, "free", free, "err", err)
		return nil
	}
	if err := s.closeFile(); err != nil {
		return err
	}
	if err := s.openFile(); err != nil {
		return err
	}
	s.opts.Logger.Info("made the state smaller", "path", s.path, "bytes", before, "now", s.Info().Bytes)
	return s.readHousehold(ctx)
}

// compact puts a copy without free pages in the file's place, once it was read
// back and found to hold the same. A crash leaves the one or the other. Once it
// is placed the open file is not to be used any more.
func (s *Bolt) compact(ctx context.Context) (placed bool, err error) {
	tmp := s.path + ".compact"
	defer os.Remove(tmp)
	if err := s.packInto(tmp); err != nil {
		return false, err
	}
	c := &Bolt{opts: s.opts, path: tmp, sealer: s.sealer, hasher: s.hasher}
	err = c.openFile()
	if err == nil {
		err = c.readHousehold(ctx)
	}
	if err == nil && (c.mismatch != s.mismatch || c.info.records.Load() != s.info.records.Load() || c.info.serial.Load() != s.info.serial.Load()) {
		err = fmt.Errorf("%w: the smaller copy does not hold the same", ErrDamaged)
	}
	if cerr := c.closeFile(); err == nil {
		err = cerr
	}
	if err != nil {
		return false, err
	}
	if err := os.Rename(tmp, s.path); err != nil {
		return false, err
	}
	return true, syncDir(filepath.Dir(s.path))
}

func (s *Bolt) packInto(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	to, err := openBolt(path)
	if err != nil {
		return err
	}
	to.NoSync = true // it is nobody's state yet, and synced as a whole
	err = guard(func() error { return bbolt.Compact(to, s.db, compactBatch) })
	if err == nil {
		err = to.Sync()
	}
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	return err
}
