package state

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

// retryOpen is how often at most a file that failed is opened again. Where
// nothing is to be written, that becomes less often up to seldomOpen: each try
// reads the whole file.
const (
	retryOpen  = time.Second
	seldomOpen = 30 * time.Second
)

// fail notes that a write failed: what the file holds now is not known.
func (s *Bolt) fail(cause error) error {
	s.failure = cause
	s.triedAt = time.Now()
	err := s.distrust()
	s.setUnwell(err)
	s.hideFailed()
	s.opts.Logger.Error("writing the state failed; it is not written again until the file was read back and found good", "path", s.path, "err", cause)
	return err
}

// hideFailed keeps readers from a commit that failed after its header was
// written: the header is in the memory map, whatever the disk has of it. Read as
// if it had been made, an intent whose call was never begun would be taken for a
// lost reply. Where the header cannot be taken back, nothing is read before the
// file is opened anew.
func (s *Bolt) hideFailed() {
	if s.file == nil {
		return
	}
	s.hidden.Store(true)
	_ = revert(s.file, s.ackedTx) // what it came to is seen in the file
	if metas, _, err := readMetas(s.file); err == nil && metas[0].txid == s.ackedTx {
		s.hidden.Store(false)
	}
}

func (s *Bolt) distrust() error {
	if s.failed || s.foreign {
		return fmt.Errorf("writing the state: %w: %w: restart tokend", ErrReadOnly, s.failure)
	}
	return fmt.Errorf("writing the state: %w: %w: see to the disk under %s; writing goes on by itself", ErrReadOnly, s.failure, s.path)
}

// trust returns nil when the file may be written. After a failure it opens and
// checks the file anew, at most once in retryOpen.
func (s *Bolt) trust() error {
	if s.failure == nil {
		return nil
	}
	if s.failed || s.foreign || time.Since(s.triedAt) < retryOpen {
		return s.distrust()
	}
	s.triedAt = time.Now()
	if err := s.reopen(); err != nil {
		s.failure, s.barred = err, true
		err = s.distrust()
		s.setUnwell(err)
		if s.db == nil {
			s.hidden.Store(true)
		}
		return err
	}
	s.failure, s.barred, s.short, s.pause = nil, false, nil, 0
	s.hidden.Store(false)
	s.setUnwell(nil)
	s.opts.Logger.Info("the state was read back and is good; writing goes on", "path", s.path)
	return nil
}

// recheck opens a file again that cannot be read, or could not be opened for
// writing, though nothing is to be written: who would write a file that cannot be
// read reads first, and so never comes to it, and nobody else would tell that the
// disk is back. It is called by the writer's goroutine, and returns how long it is
// until it is to be called next; 0 when there is nothing to be found out.
func (s *Bolt) recheck() time.Duration {
	if !s.hidden.Load() && !s.barred || s.failed || s.foreign {
		return 0
	}
	s.pause = max(s.pause, retryOpen)
	if wait := time.Until(s.triedAt.Add(s.pause)); wait > 0 {
		return wait
	}
	if s.trust() == nil {
		return 0
	}
	s.pause = min(2*s.pause, seldomOpen)
	return s.pause
}

// reopen closes the file, takes it back to the last acknowledged commit, and
// reads it as the disk has it: after a failed sync the page cache may hold what
// never got there. A file that cannot be opened for writing yet, as on a disk
// that became read-only, is not closed: it goes on being read.
func (s *Bolt) reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	acked := s.ackedTx
	f, err := os.OpenFile(s.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("reading the state back: %w", err)
	}
	_ = f.Close()
	if err := s.closeFile(); err != nil {
		return err
	}
	if err := takeBack(s.path, acked); err != nil {
		return fmt.Errorf("reading the state back: %w", err)
	}
	if err := s.openFile(); err != nil {
		return err
	}
	serial, lineage := s.info.serial.Load(), s.lineage
	err = s.readHousehold(context.Background())
	if err == nil && (s.ackedTx != acked || s.info.serial.Load() != serial || s.lineage != lineage) {
		err = fmt.Errorf("%w: it is at serial %d of lineage %s, and was left at %d of %s; %s", ErrDamaged, s.info.serial.Load(), s.lineage, serial, lineage, restoreHint)
	}
	if err != nil {
		s.info.serial.Store(serial)
		s.info.lineage.Store(&lineage)
		s.lineage, s.ackedTx = lineage, acked // left is not looked at while there is a failure
		_ = s.closeFile()
		return fmt.Errorf("reading the state back: %w", err)
	}
	return nil
}

func takeBack(path string, acked uint64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	dropCache(f)
	if err := revert(f, acked); err != nil {
		return err
	}
	dropCache(f)
	return nil
}

// readHousehold reads what the file says of itself, and unwraps its keys the
// first time. The caller excludes readers.
func (s *Bolt) readHousehold(ctx context.Context) error {
	house, err := readHouse(s.db)
	if err != nil {
		return err
	}
	if len(house[houseSchema]) != 4 || len(house[houseLineage]) == 0 || len(house[houseStatus]) == 0 {
		return fmt.Errorf("%w: its schema, lineage or status is missing; %s", ErrDamaged, restoreHint)
	}
	found := int(binary.BigEndian.Uint32(house[houseSchema]))
	if err := knownSchema(found); err != nil {
		return err
	}
	if err := viewDB(s.db, haveBuckets); err != nil {
		return err
	}
	s.lineage = string(house[houseLineage])
	if s.sealer == nil {
		if err := s.unwrap(ctx, house[houseKey], house[houseHashKey]); err != nil {
			return err
		}
		if at := house[houseWritten]; len(at) == 8 {
			s.foundAt = time.Unix(0, int64(binary.BigEndian.Uint64(at)))
		}
	}
	st, err := s.sealer.openStatus(s.lineage, house[houseStatus])
	switch {
	case err != nil:
		return fmt.Errorf("%w: its lineage or status: %w; %s", ErrDamaged, err, restoreHint)
	case st.tally != s.tally:
		return fmt.Errorf("%w: an open intent, a named value or a blob is missing or has another name than it was given; %s", ErrDamaged, restoreHint)
	}
	if err := s.migrate(found, migrations()); err != nil {
		return err
	}
	known := s.lineage
	s.info.lineage.Store(&known)
	s.info.schema.Store(Schema)
	s.info.serial.Store(st.serial)
	return s.nameDamage()
}

func readHouse(db *bbolt.DB) (map[string][]byte, error) {
	house := make(map[string][]byte)
	err := viewDB(db, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketHouse))
		if b == nil {
			return fmt.Errorf("%w: it is no state of tokend (it has no bucket %q); %s", ErrDamaged, bucketHouse, restoreHint)
		}
		return b.ForEach(func(k, v []byte) error {
			house[string(k)] = append([]byte{}, v...)
			return nil
		})
	})
	return house, err
}

func haveBuckets(tx *bbolt.Tx) error {
	for _, name := range buckets() {
		if tx.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: its bucket %q is missing; %s", ErrDamaged, name, restoreHint)
		}
	}
	return nil
}
