package state

import (
	"errors"
	"fmt"
	"io/fs"
)

// A file that somebody writes over in its place, as `cp copy state.db` does, stays the
// open one. Its pages are others under the tree that this process has in mind: what is
// read of it may be an older token, and what is written ruins it. bbolt's headers tell:
// nobody but the writer's goroutine changes them, and it knows what it left there.

// leaves notes the file's newest header as the one that this process left, where the
// other one is that which it had left before: a copy that came while it wrote has
// another there.
//
// The header of a commit goes to the page that its number says, even or odd. In a copy
// that [Bolt.Backup] made (bbolt's Tx.WriteTo) the newest one is on the first page
// whatever its number, so that the first commit after such a copy was opened may have
// gone over it. Then it is the other one that has stayed as it was.
func (s *Bolt) leaves() {
	stays := s.left
	if s.left.misplaced() {
		stays = s.leftOther
	}
	metas, _, err := readMetas(s.file)
	switch {
	case err != nil:
		s.left = fileMeta{} // it is not known
	case metas[0].txid == s.ackedTx && (s.left == (fileMeta{}) || len(metas) == 2 && metas[1] == stays):
		s.found(metas)
	default:
		s.left = fileMeta{txid: s.ackedTx} // somebody was quick
	}
}

// found notes the file's headers, of which the first is the newest, as they are now.
func (s *Bolt) found(metas []fileMeta) {
	s.left, s.leftOther = metas[0], fileMeta{}
	if len(metas) > 1 {
		s.leftOther = metas[1]
	}
}

// misplaced says that a header is not on the page that bbolt writes it to.
func (m fileMeta) misplaced() bool { return m != (fileMeta{}) && uint64(m.index) != m.txid%2 }

// writtenOver returns an error when the file's headers are not those that this process
// left. It costs two reads of 80 bytes. The caller is the writer's goroutine, or has
// mu and committing. A disk that cannot be read says nothing.
func (s *Bolt) writtenOver() error {
	if s.file == nil || s.borrowed || s.left == (fileMeta{}) {
		return nil
	}
	metas, _, err := readMetas(s.file)
	var disk *fs.PathError
	switch {
	case errors.As(err, &disk), err == nil && metas[0] == s.left:
		return nil
	case err == nil:
		err = fmt.Errorf("it was left at transaction %d, and is at %d", s.left.txid, metas[0].txid)
	}
	return fmt.Errorf("its file %s was written over while it was open (%w): nothing of it is read, written or spent any more; "+
		"if a copy was to take its place, give it with `tokend state restore FILE --force` once tokend is stopped, "+
		"and if it was put there as a whole, restarting tokend goes on with it", s.path, err)
}

// abandon has nothing of a file that was written over used again.
func (s *Bolt) abandon() error {
	if s.failure != nil {
		return nil // it is not known what it was left with, and it is read back first
	}
	err := s.writtenOver()
	if err == nil {
		return nil
	}
	s.mark() // an older copy is noticed at the next start by how far this one had come
	s.failure, s.foreign = err, true
	s.hidden.Store(true)
	err = s.distrust()
	s.setUnwell(err)
	s.opts.Logger.Error("the state was written over by something else; nothing of it is used any more", "path", s.path, "err", s.failure)
	return err
}
