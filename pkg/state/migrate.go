package state

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// A migration brings the file from one schema to the next, within the same
// transaction that records the new schema. A record that fails its check is
// left as it is: it is reported when it is read, as it would have been before.
type migration func(tx *bbolt.Tx, s *sealer) error

// migrations holds the step away from each older schema, by its number.
//
//	1 → 2: a head says how many orphans its credential has; a credential says
//	       when the state went back to an older copy.
func migrations() map[int]migration {
	return map[int]migration{1: headsWithOrphans}
}

// knownSchema refuses a file that this program cannot read, before anything in
// it is taken for what it is not.
func knownSchema(found int) error {
	if found > Schema {
		return fmt.Errorf("%w: its schema is %d and this tokend knows %d: install the newer tokend again; or go back to the state from before it was upgraded, "+
			"with `tokend state restore` and a backup of that time, or the copy that the upgrade left beside the state (%s.schema-%d), and what was obtained since is lost", ErrSchema, found, Schema, FileName, Schema)
	}
	return nil
}

// migrate brings a file of an older schema up to date, in one transaction: a
// crash leaves the old file or the new. A copy of the old one is put beside it
// first.
func (s *Bolt) migrate(found int, table map[int]migration) error {
	if found == Schema {
		return nil
	}
	for v := found; v < Schema; v++ {
		if table[v] == nil {
			return fmt.Errorf("%w: its schema is %d, which no tokend wrote; %s", ErrDamaged, found, restoreHint)
		}
	}
	beside := fmt.Sprintf("%s.schema-%d", s.path, found)
	if s.borrowed {
		beside = "what it was copied from"
	} else if err := s.copyBeside(beside); err != nil {
		return fmt.Errorf("copying the state to %s before it is migrated from schema %d: %w; nothing was changed", beside, found, err)
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for v := found; v < Schema; v++ {
			if err := table[v](tx, s.sealer); err != nil {
				return fmt.Errorf("migrating the state from schema %d: %w; nothing was changed", v, err)
			}
		}
		return tx.Bucket([]byte(bucketHouse)).Put([]byte(houseSchema), binary.BigEndian.AppendUint32(nil, Schema))
	})
	if err != nil {
		return err
	}
	s.opts.Logger.Info("migrated the state; the copy of the old one is needed only to go back to the older tokend", "from", found, "to", Schema, "copy", beside)
	return s.acknowledge()
}

// acknowledge takes the file's newest transaction for one that is durable.
func (s *Bolt) acknowledge() error {
	metas, _, err := readMetas(s.file)
	if err != nil {
		return damagedFile(s.path, err)
	}
	s.ackedTx, s.left = metas[0].txid, metas[0]
	return nil
}

// copyBeside writes a copy of the open file, durably, whole or not at all.
func (s *Bolt) copyBeside(path string) error {
	return writeWhole(path, func(f *os.File) error {
		return viewDB(s.db, func(tx *bbolt.Tx) error {
			_, err := tx.WriteTo(f)
			return err
		})
	})
}

// writeWhole makes the file at path, which is one of the state's own, what write
// writes: durably, mode 0600, and whole or not at all.
func writeWhole(path string, write func(*os.File) error) error {
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return finishWhole(f, write, func() error { return os.Rename(tmp, path) })
}

// finishWhole has write write a new file, makes it durable, and has place give it its
// name. Where one of them fails the file is gone.
func finishWhole(f *os.File, write func(*os.File) error, place func() error) (err error) {
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = place()
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.Name()))
}

// headsWithOrphans writes the heads anew that have orphans to tell of. The
// others stay in their first format, which says that there are none.
func headsWithOrphans(tx *bbolt.Tx, s *sealer) error {
	return rewriteCredentials(tx, s, func(c *Credential) bool { return len(c.Orphans) > 0 })
}

// rewriteCredentials seals those credentials' records anew that change says
// true of. Records that fail their check are left alone.
func rewriteCredentials(tx *bbolt.Tx, s *sealer, change func(*Credential) bool) error {
	records := tx.Bucket([]byte(bucketRecords))
	records.FillPercent = recordFill
	// A bucket must not be changed while it is walked.
	var ids [][]byte
	err := records.ForEach(func(id, value []byte) error {
		if h, err := s.openHead(value); err == nil && h.Kind == KindCredential {
			ids = append(ids, append([]byte(nil), id...))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		h, plain, err := s.openRecord(records.Get(id), nil)
		if err != nil {
			continue
		}
		c, err := decodeCredential(plain)
		clear(plain)
		if c.Head = h; err != nil || !change(&c) {
			continue
		}
		head := headOf(&c)
		rest := appendCredential(nil, &c)
		value := s.sealRecord(appendHead(nil, &head), rest)
		clear(rest)
		if err := records.Put(id, value); err != nil {
			return fmt.Errorf("writing the record of %s: %w", h.Address, err)
		}
	}
	return nil
}
