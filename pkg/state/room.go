package state

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// Room on the disk is set aside ahead of what bbolt needs: its file is long
// before it is full, and a sparse tail gives way when the disk is full. What is
// kept free for the calls under way (reserveBase, and reserveEach for every open
// intent) no other write may take.
const (
	pageBytes   = 4096
	reserveBase = 1 << 20
	reserveEach = 8 << 10
	growUnit    = 1 << 20
	growLeast   = 2 << 20
	growMost    = 16 << 20
)

// reserve sets blocks aside beyond the pages in use (size bytes) for n bytes of
// writes, and for what the open intents may need then.
func (s *Bolt) reserve(size, n, intents int64) error {
	target := size + n + reserveBase + intents*reserveEach
	if target <= s.allocated {
		return nil
	}
	from := max(size, s.allocated)
	ahead := min(max(size/16, growLeast), growMost)
	want := (target + ahead + growUnit - 1) / growUnit * growUnit
	for _, end := range []int64{want, target} {
		err := allocate(s.file, from, end-from)
		if err == nil {
			s.allocated = end
			return nil
		}
		if end == target {
			return fmt.Errorf("setting aside %d KiB for the state: %w", (end-from)>>10, err)
		}
	}
	return nil
}

// cost is the most that a request's pages take until the transaction after its
// own can use the ones that it replaced.
func cost(q *request) int64 {
	var n int64
	for i := range q.ops {
		n += int64(len(q.ops[i].value)+pageBytes-1)/pageBytes*pageBytes + 2*pageBytes
	}
	return n
}

// A budget decides which requests go ahead while the disk gives no more blocks.
// Nil means that there is room for all.
type budget struct {
	room int64 // bytes in blocks that the file has, free pages included
	err  error // why there are no more
	path string
}

// makeRoom makes sure that the batch, and the outcome of every call that it
// allows, has its blocks; where the disk has none, it returns a budget.
func (s *Bolt) makeRoom(tx *bbolt.Tx, requests []*request) *budget {
	var n, opening int64
	for _, q := range requests {
		n += cost(q)
		if q.opens {
			opening++
		}
	}
	err := s.reserve(tx.Size(), n, s.info.intents.Load()+opening)
	if (err == nil) != (s.short == nil) {
		s.setUnwell(err)
		s.short = err
		if err != nil {
			s.opts.Logger.Error("the disk has no room for the state to grow: what would spend a token waits until there is", "path", s.path, "err", err)
		} else {
			s.opts.Logger.Info("the state has room to grow again", "path", s.path)
		}
	}
	if err == nil {
		return nil
	}
	stats := s.db.Stats()
	free := int64(stats.FreePageN+stats.PendingPageN) * int64(s.db.Info().PageSize)
	return &budget{room: max(s.allocated-tx.Size(), 0) + free, err: err, path: s.path}
}

// admit lets the request go ahead or says why not. Outcomes of calls go ahead
// whatever the room, and so does what frees some: the reserve is theirs.
func (m *budget) admit(b *batch, q *request, open int64) error {
	if m == nil {
		return nil
	}
	need := cost(q)
	left := m.room - need - reserveBase - open*reserveEach
	switch {
	case q.opens:
		left -= reserveEach
		if left < 0 {
			return fmt.Errorf("recording an intent: %w: the disk has no room for what the call may bring (%w): make room on the file system of %s; nothing was spent", ErrReadOnly, m.err, m.path)
		}
	case left < 0 && !b.settles(q):
		return fmt.Errorf("writing the state: %w: what room there is on the disk is kept for the calls under way (%w): make room on the file system of %s", ErrReadOnly, m.err, m.path)
	}
	m.room -= need
	return nil
}

// settles reports whether the request records the outcome of a call under way,
// or removes something.
func (b *batch) settles(q *request) bool {
	for i := range q.ops {
		switch o := &q.ops[i]; o.kind {
		case opClear, opDelete, opDropBlob:
			return true
		case opRecord:
			if b.slot(o.address).intent {
				return true
			}
		}
	}
	return false
}
