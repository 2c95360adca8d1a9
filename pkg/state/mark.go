package state

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// MarkName is the file beside the state that says how far it had come: its
// lineage and serial, some seconds old at the most while tokend works. A state
// that is behind its mark is an older copy that somebody put back.
const MarkName = "state.serial"

const markEvery = 10 * time.Second

// mark notes how far the state has come. It is not synced: a mark that is behind
// only notices less. The serial is durable already.
func (s *Bolt) mark() {
	s.markedAt = time.Now()
	serial := s.info.serial.Load()
	if serial == s.marked || s.failure != nil {
		return
	}
	path := filepath.Join(filepath.Dir(s.path), MarkName)
	if err := os.WriteFile(path+".new", fmt.Appendf(nil, "%s %d\n", s.lineage, serial), 0o600); err != nil {
		return // a full disk; nothing depends on it
	}
	if os.Rename(path+".new", path) == nil {
		s.marked = serial
	}
}

// A position is how far a state had come.
type position struct {
	lineage string
	serial  uint64
}

// readMark says how far the state in a directory had come; zero where that is
// not known.
func readMark(dir string) (p position) {
	b, err := os.ReadFile(filepath.Join(dir, MarkName))
	if err != nil {
		return position{}
	}
	if n, _ := fmt.Sscanf(string(b), "%s %d", &p.lineage, &p.serial); n != 2 {
		return position{}
	}
	return p
}

// noticeOld finds out whether the state is an older copy that was put back
// without [Restore], and treats it as one.
func (s *Bolt) noticeOld() error {
	serial := s.info.serial.Load()
	left := readMark(filepath.Dir(s.path))
	if left.lineage != s.lineage || left.serial <= serial {
		return nil
	}
	n, err := s.outdate(time.Now(), left.serial+1)
	if err != nil {
		return fmt.Errorf("the state is at serial %d and had come to %d, so it is an older copy; noting that in it: %w", serial, left.serial, err)
	}
	s.opts.Logger.Warn("the state is an older copy that was put back: what was obtained since is not known, and refresh tokens that work once may have been spent",
		"path", s.path, "serial", serial, "had_come_to", left.serial, "in_doubt", n)
	return nil
}

// outdate writes down that the state went back to an older copy: refresh tokens
// that are not known to stay the same may have been spent since, what came of
// them is out there uncounted, and calls that were under way are no longer
// repeated. It gives the state a serial, and tells how many credentials are in
// doubt. It is one transaction.
func (s *Bolt) outdate(now time.Time, serial uint64) (doubtful int, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		doubtful = 0
		err := rewriteCredentials(tx, s.sealer, func(c *Credential) bool {
			doubted := c.doubt(now)
			if doubted {
				doubtful++
			}
			return doubted
		})
		if err == nil {
			err = forgetClocks(tx, s.sealer)
		}
		if err != nil {
			return err
		}
		return tx.Bucket([]byte(bucketHouse)).Put([]byte(houseStatus), s.sealer.sealStatus(s.lineage, status{serial, s.tally}))
	})
	if err != nil {
		return 0, err
	}
	s.info.serial.Store(serial)
	return doubtful, s.acknowledge()
}

// doubt is [Credential.Doubt] of a record that is rewritten in its place.
func (c *Credential) doubt(now time.Time) bool {
	if !c.Doubt(now, time.Time{}) {
		return false
	}
	c.Head.Version++
	return true
}

// Doubt marks, in a record from an older copy of the state, the refresh tokens
// from before a time, at which the state had come further, that may have been
// spent since; all of them where the time is zero. What came of them, and of a grant that had to be run again since
// because it brings no refresh token, is out there and is counted as an orphan. It
// reports whether there are any.
func (c *Credential) Doubt(now, before time.Time) bool {
	any := false
	for i := range c.Retiring {
		any = c.Retiring[i].doubt() || any
	}
	if g := c.Grant; g != nil && (before.IsZero() || !g.ObtainedAt.After(before)) && (g.doubt() || c.ranAgain(now)) {
		any = true
		c.Orphans = c.Orphans.With(now, time.Time{})
		c.Restored = now.UTC()
		c.Note = "the state went back to an older copy"
	}
	if any {
		c.Head.Due = time.Time{}
	}
	return any
}

// ranAgain says that the grant, which brings no refresh token, was due to be run
// again since the copy was made.
func (c *Credential) ranAgain(now time.Time) bool {
	g := c.Grant
	if !g.RefreshToken.Empty() || g.ExpiresAt.IsZero() || c.Restored.After(g.ObtainedAt) {
		return false
	}
	return !g.ExpiresAt.After(now) || !c.Head.Due.IsZero() && !c.Head.Due.After(now)
}

func (g *Grant) doubt() bool {
	if g.RefreshToken.Empty() || g.Rotation == RotationKept || g.RefreshState != RefreshUsable {
		return false
	}
	g.RefreshState = RefreshIndeterminate
	return true
}

// forgetClocks takes from open intents what tells how long ago they were: time
// has passed in another life of the state, so no window of theirs is open.
func forgetClocks(tx *bbolt.Tx, s *sealer) error {
	records, intents := tx.Bucket([]byte(bucketRecords)), tx.Bucket([]byte(bucketIntents))
	type entry struct{ id, value []byte }
	var anew []entry
	err := intents.ForEach(func(id, value []byte) error {
		h, err := s.openHead(records.Get(id))
		if err != nil {
			return nil // it is reported when it is read
		}
		plain, err := s.unseal(sealIntent, h.Address, value)
		if err != nil {
			return nil
		}
		i, err := decodeIntent(plain)
		if err != nil {
			return nil
		}
		i.Boot, i.Monotonic = "", 0
		anew = append(anew, entry{append([]byte(nil), id...), s.seal(sealIntent, h.Address, appendIntent(nil, &i))})
		return nil
	})
	for _, e := range anew {
		if err == nil {
			err = intents.Put(e.id, e.value)
		}
	}
	return err
}
