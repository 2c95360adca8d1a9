package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// Copy describes a backup.
type Copy struct {
	Lineage string
	Schema  int
	Records int
	Bytes   int64

	wrapped []byte // its data key
}

// Backup writes a copy of the state as it is now, while commits go on: one
// moment's state, whole. It is sealed as the state is and useless without the
// key, which is not in it. w should not be slow: pages that the copy still needs
// cannot be used again meanwhile, so the file grows.
func (s *Bolt) Backup(ctx context.Context, w io.Writer) error {
	if err := s.writer.settle(ctx, ""); err != nil {
		return err
	}
	err := s.viewDurable(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(&ctxWriter{ctx, w})
		return err
	})
	s.Trim()
	if err != nil {
		return fmt.Errorf("copying the state: %w", err)
	}
	return nil
}

type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c *ctxWriter) Write(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.w.Write(p)
}

// CheckCopy reads a backup page by page, without its key: a copy that was cut
// short or damaged is [ErrDamaged]. What is sealed in it is not looked at.
func CheckCopy(path string) (Copy, error) {
	f, err := os.Open(path)
	if err != nil {
		return Copy{}, err
	}
	defer f.Close()
	metas, _, err := readMetas(f)
	if err != nil {
		return Copy{}, damagedCopy(path, err)
	}
	var c Copy
	var sums indexSums
	each := sums.visitor()
	err = inspect(f, metas[0], func(bucket string, key, value []byte) error {
		if bucket == bucketHouse && string(key) == houseLineage {
			c.Lineage = string(value)
		}
		if bucket == bucketHouse && string(key) == houseKey {
			c.wrapped = append([]byte(nil), value...)
		}
		if bucket == bucketHouse && string(key) == houseSchema && len(value) == 4 {
			c.Schema = int(value[3]) | int(value[2])<<8 | int(value[1])<<16 | int(value[0])<<24
		}
		return each(bucket, key, value)
	})
	if err == nil && (c.Lineage == "" || c.Schema == 0) {
		err = errors.New("it is no state of tokend")
	}
	if err == nil && sums.differ() {
		err = errors.New("its index and its records do not fit together")
	}
	if err != nil {
		return Copy{}, damagedCopy(path, err)
	}
	info, err := f.Stat()
	if err != nil {
		return Copy{}, err
	}
	c.Records, c.Bytes = sums.records, info.Size()
	return c, nil
}

func damagedCopy(path string, err error) error {
	return fmt.Errorf("reading the copy %s: %w: %w", path, ErrDamaged, err)
}

// ErrExists: there is one already, and it was not said that it may be replaced.
var ErrExists = errors.New("there is one already")

// Restored tells what [Restore] did.
type Restored struct {
	Records  int
	Serial   uint64 // of the copy
	Doubtful int    // credentials whose refresh token may have been spent since the copy was made
	Replaced string // where the state is kept that was there; "" when there was none
	Lost     uint64 // commits that the replaced state was ahead; 0 when that is not known
	Former   string // the file with the former key that opened the copy and is in force now; "" where the key stayed
}

// Restore puts a copy that [Bolt.Backup] made into the place of the state in
// o.Dir. Nobody else may hold it ([ErrLocked]). The copy is checked, unsealed
// with o.Key and marked first, in a file of its own: refresh tokens that may
// have been spent since are [RefreshIndeterminate] in it. Then it takes the
// place at once; a state that was there is kept beside it, and is replaced only
// when replace is set ([ErrExists]). Where o.Key is a [GeneratedKeyFile] and the copy
// was sealed with a key that a rotation kept beside it, that key takes the place of
// the one in force, which is kept in its turn.
func Restore(ctx context.Context, o Options, file string, replace bool) (Restored, error) {
	o = o.withDefaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return Restored{}, fmt.Errorf("making the state's directory: %w", err)
	}
	lock, err := lockFile(filepath.Join(o.Dir, LockName), o.Holder)
	if err != nil {
		return Restored{}, err
	}
	defer lock.Close()
	path := filepath.Join(o.Dir, FileName)
	_, err = os.Lstat(path)
	there := err == nil
	if there && !replace {
		return Restored{}, fmt.Errorf("%w: %s", ErrExists, path)
	}
	held, err := notHeld(path)
	if err != nil {
		return Restored{}, err
	}
	defer held.Close()
	checked, err := CheckCopy(file)
	if err != nil {
		return Restored{}, err
	}
	own, _ := o.Key.(*localKey)
	var former *localKey
	if own != nil {
		former = own.sealedBy(checked.wrapped)
	}
	if former != nil {
		o.Key = former
	}
	tmp := path + ".restore"
	defer os.Remove(tmp)
	if err := writeWhole(tmp, func(to *os.File) error { return copyFrom(to, file) }); err != nil {
		return Restored{}, fmt.Errorf("copying %s into %s: %w", file, o.Dir, err)
	}
	r, err := adopt(ctx, o, tmp, path)
	if err != nil {
		return Restored{}, err
	}
	if there {
		r.Replaced = fmt.Sprintf("%s.replaced-%s", path, time.Now().UTC().Format("20060102T150405.000Z"))
		if err := os.Link(path, r.Replaced); err != nil {
			return Restored{}, fmt.Errorf("keeping the state that is there: %w; nothing was changed", err)
		}
	}
	if former != nil {
		r.Former = former.path
		if err := own.await(former); err != nil {
			return Restored{}, fmt.Errorf("laying the copy's key ready: %w; nothing was changed", err)
		}
	}
	if err := os.Rename(tmp, path); err != nil {
		return Restored{}, fmt.Errorf("putting the copy in place: %w", err)
	}
	if err := syncDir(o.Dir); err != nil || former == nil {
		return r, err
	}
	if err := own.settle(); err != nil {
		return r, fmt.Errorf("the copy is in place, and its key in %s could not take its place: %w; it does so when the state is opened next", own.next(), err)
	}
	return r, nil
}

func copyFrom(to *os.File, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}

// adopt opens a copy with the key, brings it up to date and marks it. replaces is
// where the state is that it is to replace, if there is one.
func adopt(ctx context.Context, o Options, path, replaces string) (r Restored, err error) {
	s := &Bolt{opts: o, path: path, borrowed: true}
	defer func() {
		if cerr := s.closeFile(); err == nil {
			err = cerr
		}
	}()
	if err := s.openFile(); err != nil {
		return r, err
	}
	if err := s.readHousehold(ctx); err != nil {
		return r, fmt.Errorf("opening the copy: %w", err)
	}
	r.Records, r.Serial = int(s.info.records.Load()), s.info.serial.Load()
	next := r.Serial + 1
	if was := s.reached(replaces); was > r.Serial {
		r.Lost = was - r.Serial
		next = was + 1
	}
	r.Doubtful, err = s.outdate(time.Now(), next)
	return r, err
}

// reached says how far the state of this lineage has come that lies at a path:
// what it says itself, and what its mark says, which may be some seconds behind
// after a kill, and is all that there is of a damaged one; 0 where there is none.
func (s *Bolt) reached(path string) (serial uint64) {
	if mark := readMark(filepath.Dir(path)); mark.lineage == s.lineage {
		serial = mark.serial
	}
	f, err := os.Open(path)
	if err != nil {
		return serial
	}
	defer f.Close()
	var lineage, sealed []byte
	metas, _, err := readMetas(f)
	if err == nil {
		err = inspect(f, metas[0], func(bucket string, key, value []byte) error {
			switch {
			case bucket != bucketHouse:
			case string(key) == houseLineage:
				lineage = append([]byte(nil), value...)
			case string(key) == houseStatus:
				sealed = append([]byte(nil), value...)
			}
			return nil
		})
	}
	if err != nil || string(lineage) != s.lineage {
		return serial
	}
	if st, err := s.sealer.openStatus(s.lineage, sealed); err == nil {
		serial = max(serial, st.serial)
	}
	return serial
}

// SaveBackup makes the file at path a backup that write writes: durably, mode
// 0600, and only once it was read back and is a whole state. It replaces a file
// only when replace is set ([ErrExists]), and never what is no regular file, or
// the state itself. Until then it is a file of a name beside it that nobody has.
func SaveBackup(path string, replace bool, write func(io.Writer) error) (c Copy, err error) {
	switch info, err := os.Lstat(path); {
	case err == nil && !info.Mode().IsRegular():
		return Copy{}, fmt.Errorf("%s is no regular file, and would be replaced by one", path)
	case err == nil && !replace:
		return Copy{}, fmt.Errorf("%w: %s", ErrExists, path)
	case err == nil && isState(path):
		return Copy{}, fmt.Errorf("%s is a state itself, and no copy of one", path)
	}
	const most = 200 // bytes of the name: what is added has room in any file system's
	name := filepath.Base(path)
	f, err := os.CreateTemp(filepath.Dir(path), name[:min(len(name), most)]+".*.new") // mode 0600
	if err != nil {
		return Copy{}, err
	}
	err = finishWhole(f, func(f *os.File) error {
		if err := write(f); err != nil {
			return err
		}
		c, err = CheckCopy(f.Name())
		return err
	}, func() error { return placeAt(f.Name(), path, replace) })
	return c, err
}

// isState says whether a file is what a process works on, or would.
func isState(path string) bool {
	if filepath.Base(path) != FileName {
		return false
	}
	_, err := os.Lstat(filepath.Join(filepath.Dir(path), LockName))
	return err == nil
}

// placeAt gives a file its name, and takes none from another that came meanwhile
// unless replace is set.
func placeAt(tmp, path string, replace bool) error {
	if replace {
		return os.Rename(tmp, path)
	}
	switch err := os.Link(tmp, path); {
	case err == nil:
		_ = os.Remove(tmp) // a second name at worst: what was to be placed is in its place
		return nil
	case errors.Is(err, os.ErrExist):
		return fmt.Errorf("%w: %s", ErrExists, path)
	case errors.Is(err, syscall.EPERM), errors.Is(err, errors.ErrUnsupported): // a file system without links
		return os.Rename(tmp, path)
	default:
		return err
	}
}
