package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// Schema is the version of the file's layout that this program writes.
const Schema = 2

// What lies in a state's directory.
const (
	FileName      = "state.db"
	LockName      = "state.lock"
	GeneratedName = "state.key" // the key, where no other is configured
)

// Options say where a state is and how it is kept.
type Options struct {
	Dir    string       // made with mode 0700 when it is missing
	Key    KeySource    // nil: GeneratedKeyFile(Dir/state.key)
	Logger *slog.Logger // nil: silent
	// Holder is what this process is, in a few words: who waits for the state is told
	// ([LockedError]).
	Holder string

	// CommitWindow is how long a commit waits for others at the least when more
	// are expected, and MaxCommitWindow at the most, when writes come slowly.
	// Zero: 4 ms and 20 ms.
	CommitWindow    time.Duration
	MaxCommitWindow time.Duration
	// LaterWindow is how long Later's changes wait for a commit to ride along
	// with. Zero: 800 ms.
	LaterWindow time.Duration
}

func (o Options) withDefaults() Options {
	if o.Key == nil {
		o.Key = GeneratedKeyFile(filepath.Join(o.Dir, GeneratedName))
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CommitWindow <= 0 {
		o.CommitWindow = 4 * time.Millisecond
	}
	if o.MaxCommitWindow <= 0 {
		o.MaxCommitWindow = 20 * time.Millisecond
	}
	o.MaxCommitWindow = max(o.MaxCommitWindow, o.CommitWindow)
	if o.LaterWindow <= 0 {
		o.LaterWindow = 800 * time.Millisecond
	}
	return o
}

// Bolt is the embedded [Store]: one bbolt file that one process has open.
type Bolt struct {
	opts    Options
	path    string
	lock    *os.File
	sealer  *sealer
	hasher  *hasher
	writer  *writer
	lineage string // the writer's; what others read is in info

	borrowed bool // path is a copy of a file that stays as it is

	// mu lets readers at db; a reopening of the file excludes them.
	mu       sync.RWMutex
	db       *bbolt.DB
	file     *os.File    // the same file, for allocating blocks
	mismatch bool        // index and records do not fit together
	hidden   atomic.Bool // nothing is read: the file shows a commit that failed, or could not be opened anew
	damage   atomic.Pointer[damages]

	// committing is held while a batch is written: its header is in the memory map
	// before the disk has it. It guards ackedTx and left.
	committing sync.RWMutex

	// What the writer's goroutine alone changes.
	left      fileMeta // the header of it, as this process left it
	leftOther fileMeta // and the one beside it
	ackedTx   uint64   // the last transaction that was reported durable
	tally     uint64   // see status
	allocated int64    // blocks of the file are set aside up to here
	short     error    // why no more can be set aside; nil when it can
	away      error    // why what is written will not be found again; nil when it will; see lookInPlace
	failure   error    // why the file is not trusted; nil when it is
	failed    bool     // for good: no reopening can help
	foreign   bool     // for good: somebody else wrote over the file
	triedAt   time.Time
	pause     time.Duration // see recheck
	barred    bool          // it could not be opened for writing when that was tried last
	foundAt   time.Time     // Info.Written
	marked    uint64        // the serial that the mark says
	markedAt  time.Time

	touched atomic.Int64 // records since the last Trim
	trimmed atomic.Int64 // when that was, in nanoseconds since 1970

	rotating sync.Mutex // one RotateKey at a time

	plain  plainTexts
	info   infoCounts
	health sync.Mutex // guards unwell
	unwell error      // what Info reports as the reason why writes fail
}

type infoCounts struct {
	lineage          atomic.Pointer[string]
	schema           atomic.Int64
	serial, syncs    atomic.Uint64
	records, intents atomic.Int64
}

// Open opens the state in a directory, or makes one where there is none. It
// takes the state's lock first ([ErrLocked]), checks the file's structure page
// by page ([ErrDamaged]) and unwraps its key ([ErrKey]); none of these errors
// leaves anything changed.
func Open(ctx context.Context, o Options) (*Bolt, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state's directory: %w", err)
	}
	lock, err := lockFile(filepath.Join(o.Dir, LockName), o.Holder)
	if err != nil {
		return nil, err
	}
	s := &Bolt{opts: o, path: filepath.Join(o.Dir, FileName), lock: lock}
	s.writer = newWriter(window{min: o.CommitWindow, max: o.MaxCommitWindow, later: o.LaterWindow})
	s.writer.write, s.writer.idle, s.writer.recheck = s.write, s.rest, s.recheck
	if err := s.start(ctx); err != nil {
		s.shut()
		return nil, err
	}
	go s.writer.run()
	return s, nil
}

func (s *Bolt) start(ctx context.Context) error {
	if _, err := os.Lstat(s.path); errors.Is(err, os.ErrNotExist) {
		if err := create(ctx, s.path, s.opts.Key); err != nil {
			return fmt.Errorf("making a new state in %s: %w", s.opts.Dir, err)
		}
		s.opts.Logger.Info("made a new state", "path", s.path, "key", s.opts.Key.String())
	} else if err != nil {
		return fmt.Errorf("looking for the state: %w", err)
	}
	if err := s.openFile(); err != nil {
		return err
	}
	if err := s.readHousehold(ctx); err != nil {
		return fmt.Errorf("opening the state in %s: %w", s.path, err)
	}
	if err := s.noticeOld(); err != nil {
		return fmt.Errorf("opening the state in %s: %w", s.path, err)
	}
	if err := s.compactAtStart(ctx); err != nil {
		return fmt.Errorf("opening the state in %s: %w", s.path, err)
	}
	s.mark()
	// Blocks for the first commits are set aside now; where the disk has none,
	// the first intent says so.
	_ = viewDB(s.db, func(tx *bbolt.Tx) error {
		s.makeRoom(tx, nil)
		return nil
	})
	return nil
}

// Close writes what was queued, closes the file and releases the lock.
func (s *Bolt) Close() error {
	if !s.writer.close() {
		return nil
	}
	s.seam()
	s.mark()
	return s.shut()
}

// rest is what the writer does when nothing has come for a while.
func (s *Bolt) rest() {
	s.Trim()
	s.mark()
}

// seam makes a last commit that changes nothing, so that both of the file's
// headers lead to all that was committed: damage to one of them then costs
// nothing.
func (s *Bolt) seam() {
	if s.failure != nil || s.info.syncs.Load() == 0 {
		return
	}
	if s.abandon() != nil {
		return // the file is another's
	}
	s.committing.Lock()
	defer s.committing.Unlock()
	s.left = fileMeta{} // from here on its header is one that nobody waits for
	err := guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			return s.putStatus(tx.Bucket([]byte(bucketHouse)), status{s.info.serial.Load(), s.tally})
		})
	})
	if err != nil {
		s.opts.Logger.Warn("the state could not be written once more on closing; nothing is missing in it", "path", s.path, "err", err)
	}
}

func (s *Bolt) shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.closeFile()
	if cerr := s.lock.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("closing the state: %w", err)
	}
	return nil
}

// Info implements [Store].
func (s *Bolt) Info() Info {
	i := Info{
		Path:    s.path,
		Serial:  s.info.serial.Load(),
		Schema:  int(s.info.schema.Load()),
		Records: int(s.info.records.Load()),
		Intents: int(s.info.intents.Load()),
		Syncs:   s.info.syncs.Load(),
		Written: s.foundAt,
	}
	if l := s.info.lineage.Load(); l != nil {
		i.Lineage = *l
	}
	if f, err := os.Stat(s.path); err == nil {
		i.Bytes = f.Size()
	}
	s.health.Lock()
	i.Err = s.unwell
	s.health.Unlock()
	// Who feeds the watchdog asks, and waits for no file that is being read back from a
	// disk that hangs: whether it is in its place is told next time then.
	if i.Err == nil && s.mu.TryRLock() {
		if i.Err = s.inPlace(); i.Err == nil && s.committing.TryRLock() {
			if err := s.writtenOver(); err != nil {
				i.Err = fmt.Errorf("%w: %w", ErrReadOnly, err)
			}
			s.committing.RUnlock()
		}
		s.mu.RUnlock()
	}
	return i
}

func (s *Bolt) setUnwell(err error) {
	s.health.Lock()
	s.unwell = err
	s.health.Unlock()
}

// Hash implements [Store]: 22 characters of HMAC-SHA256.
func (s *Bolt) Hash(label string, b []byte) string { return s.hasher.hash(label, b) }

// Trim gives back the resident pages of the file's memory map; they are mapped
// again, from the page cache, when they are needed. The store does so by itself
// after a scan, when it has been idle for two seconds, and now and then while it
// works: without, the whole file would come to count as this process's memory.
func (s *Bolt) Trim() {
	s.touched.Store(0)
	s.trimmed.Store(time.Now().UnixNano())
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return
	}
	// The transaction keeps bbolt from moving the map meanwhile.
	_ = viewDB(s.db, func(tx *bbolt.Tx) error {
		unmapPages(s.db.Info().Data, int(tx.Size()))
		return nil
	})
}

// scanTrim is after how many records a scan gives back what it has mapped: about
// 16 MiB of a file of small records.
const scanTrim = 64 * sinksAtOnce

// scanned gives back, now and then while everything is read, what was read so
// far: a scan needs each page once, and the whole file beside all that is made of
// it would be the most memory that this process ever takes. What is still looked
// at is mapped again.
func (s *Bolt) scanned(tx *bbolt.Tx, n int) {
	if n%scanTrim == 0 {
		unmapPages(s.db.Info().Data, int(tx.Size()))
	}
}

// A touched record makes the kernel map some 16 pages around each of the pages
// that lead to it, so trimEvery of them stand for about 16 MiB.
const (
	trimEvery = 64
	trimPause = time.Second
)

// touch counts the records that were read or written, and trims when they have
// become many. The caller does not hold mu.
func (s *Bolt) touch(n int) {
	if s.touched.Add(int64(n)) >= trimEvery && time.Since(time.Unix(0, s.trimmed.Load())) >= trimPause {
		s.Trim()
	}
}

var _ Store = (*Bolt)(nil)
