package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt reads pages through a memory map and trusts them: on a damaged file it
// panics, in part on goroutines of its own where nobody can recover, and on one
// that is too short the kernel kills the process. So every page that can be
// reached is read and checked here first, by plain reads. The layout is that of
// bbolt's file format version 2, in the machine's byte order.
const (
	pageHeader  = 16
	elementSize = 16
	bucketSize  = 16 // root page and sequence, before an inline page
	metaSize    = 64
	maxDepth    = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	leafBucket   = 0x01 // an element that is a bucket
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	minPageSize  = 1024
	maxPageSize  = 1 << 16
	metaChecksum = 56
)

// A fileMeta is one of bbolt's two headers.
type fileMeta struct {
	index    int
	pageSize int
	root     uint64
	pages    uint64 // the high-water mark: pages below it are in use or free
	txid     uint64
}

// parseMeta reads a header from the beginning of its page.
func parseMeta(page []byte, index int) (fileMeta, error) {
	if len(page) < pageHeader+metaSize {
		return fileMeta{}, errors.New("it is cut short")
	}
	order := binary.NativeEndian
	b := page[pageHeader : pageHeader+metaSize]
	if got := order.Uint32(b); got != boltMagic {
		return fileMeta{}, fmt.Errorf("it begins with %#x and not with %#x", got, uint32(boltMagic))
	}
	if got := order.Uint32(b[4:]); got != boltVersion {
		return fileMeta{}, fmt.Errorf("its file format is %d and not %d", got, boltVersion)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaChecksum])
	if sum.Sum64() != order.Uint64(b[metaChecksum:]) {
		return fileMeta{}, errors.New("its checksum is wrong")
	}
	m := fileMeta{
		index:    index,
		pageSize: int(order.Uint32(b[8:])),
		root:     order.Uint64(b[16:]),
		pages:    order.Uint64(b[40:]),
		txid:     order.Uint64(b[48:]),
	}
	if m.pageSize < minPageSize || m.pageSize > maxPageSize || m.pageSize&(m.pageSize-1) != 0 {
		return fileMeta{}, fmt.Errorf("its page size is %d", m.pageSize)
	}
	return m, nil
}

// readMetas returns the valid headers, newest first. A commit that a power cut
// tore leaves one; none is damage.
func readMetas(f *os.File) (metas []fileMeta, bad error, err error) {
	page := make([]byte, pageHeader+metaSize)
	at := func(off int64, index int) (fileMeta, error) {
		n, err := f.ReadAt(page, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return fileMeta{}, err
		}
		return parseMeta(page[:n], index)
	}
	m0, err0 := at(0, 0)
	var m1 fileMeta
	err1 := err0
	if err0 == nil {
		m1, err1 = at(int64(m0.pageSize), 1)
	} else {
		// The second header's place depends on the page size, which it holds.
		for size := minPageSize; size <= maxPageSize; size *= 2 {
			if m1, err1 = at(int64(size), 1); err1 == nil && m1.pageSize == size {
				break
			}
			err1 = errors.Join(err0, errors.New("no second header was found either"))
		}
	}
	switch {
	case err0 != nil && err1 != nil:
		return nil, nil, fmt.Errorf("neither of the file's two headers is good: %w", err0)
	case err0 != nil:
		return []fileMeta{m1}, err0, nil
	case err1 != nil:
		return []fileMeta{m0}, err1, nil
	case m1.txid > m0.txid:
		return []fileMeta{m1, m0}, nil, nil
	}
	return []fileMeta{m0, m1}, nil, nil
}

// An inspection walks a state file's pages.
type inspection struct {
	f       *os.File
	meta    fileMeta
	seen    []uint64 // a bit for each page
	buffers [][]byte // one page (with its overflow) for each depth
	// visit is called for each key and value; bucket is the top-level bucket's
	// name. Its arguments are overwritten when it has returned.
	visit func(bucket string, key, value []byte) error
}

// inspect checks the structure of the file under one header.
func inspect(f *os.File, m fileMeta, visit func(bucket string, key, value []byte) error) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if need := int64(m.pages) * int64(m.pageSize); m.pages > 1<<40 || info.Size() < need {
		return fmt.Errorf("the file has %d bytes, and its header says that at least %d belong to it: it was cut short", info.Size(), need)
	}
	in := &inspection{f: f, meta: m, seen: make([]uint64, m.pages/64+1), visit: visit}
	return in.walk(m.root, 0, nil, nil, "", true)
}

func (in *inspection) page(id uint64, depth int) ([]byte, error) {
	if id < 2 || id >= in.meta.pages {
		return nil, fmt.Errorf("page %d is referred to, and the file's pages go from 2 to %d", id, in.meta.pages-1)
	}
	if depth >= maxDepth {
		return nil, fmt.Errorf("page %d lies more than %d levels deep", id, maxDepth)
	}
	if depth == len(in.buffers) {
		in.buffers = append(in.buffers, make([]byte, in.meta.pageSize))
	}
	b := in.buffers[depth][:in.meta.pageSize]
	off := int64(id) * int64(in.meta.pageSize)
	if _, err := in.f.ReadAt(b, off); err != nil {
		return nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	overflow := uint64(binary.NativeEndian.Uint32(b[12:]))
	if got := binary.NativeEndian.Uint64(b); got != id {
		return nil, fmt.Errorf("page %d says that it is page %d", id, got)
	}
	if id+overflow >= in.meta.pages {
		return nil, fmt.Errorf("page %d says that it goes on for %d pages, beyond the file's end", id, overflow)
	}
	for p := id; p <= id+overflow; p++ {
		if in.seen[p/64]&(1<<(p%64)) != 0 {
			return nil, fmt.Errorf("page %d is in use twice", p)
		}
		in.seen[p/64] |= 1 << (p % 64)
	}
	if overflow == 0 {
		return b, nil
	}
	long := make([]byte, (overflow+1)*uint64(in.meta.pageSize))
	in.buffers[depth] = long
	if _, err := in.f.ReadAt(long, off); err != nil {
		return nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	return long, nil
}

// walk checks the page and all below it. Its keys must not be below lo and must
// be below hi (nil: no limit).
func (in *inspection) walk(id uint64, depth int, lo, hi []byte, bucket string, top bool) error {
	b, err := in.page(id, depth)
	if err != nil {
		return err
	}
	switch flags := binary.NativeEndian.Uint16(b[8:]); flags {
	case flagBranch:
		return in.branch(b, id, depth, lo, hi, bucket, top)
	case flagLeaf:
		return in.leaf(b, id, depth, lo, hi, bucket, top)
	default:
		return fmt.Errorf("page %d is of no known kind (%#x)", id, flags)
	}
}

func (in *inspection) branch(b []byte, id uint64, depth int, lo, hi []byte, bucket string, top bool) error {
	count := int(binary.NativeEndian.Uint16(b[10:]))
	if count == 0 {
		return fmt.Errorf("page %d is a branch without any element", id)
	}
	keys := make([][]byte, count+1)
	children := make([]uint64, count)
	for i := range count {
		at := pageHeader + i*elementSize
		if at+elementSize > len(b) {
			return fmt.Errorf("page %d has more elements (%d) than fit", id, count)
		}
		pos, size := binary.NativeEndian.Uint32(b[at:]), binary.NativeEndian.Uint32(b[at+4:])
		key, err := span(b, uint64(at)+uint64(pos), uint64(size))
		if err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		if err := ordered(keys, i, key, lo, hi); err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		keys[i], children[i] = key, binary.NativeEndian.Uint64(b[at+8:])
	}
	keys[count] = hi
	for i, child := range children {
		if err := in.walk(child, depth+1, keys[i], keys[i+1], bucket, top); err != nil {
			return err
		}
	}
	return nil
}

func (in *inspection) leaf(b []byte, id uint64, depth int, lo, hi []byte, bucket string, top bool) error {
	count := int(binary.NativeEndian.Uint16(b[10:]))
	var last []byte
	for i := range count {
		at := pageHeader + i*elementSize
		if at+elementSize > len(b) {
			return fmt.Errorf("page %d has more elements (%d) than fit", id, count)
		}
		order := binary.NativeEndian
		flags, pos, ksize, vsize := order.Uint32(b[at:]), order.Uint32(b[at+4:]), order.Uint32(b[at+8:]), order.Uint32(b[at+12:])
		kv, err := span(b, uint64(at)+uint64(pos), uint64(ksize)+uint64(vsize))
		if err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		key, value := kv[:ksize], kv[ksize:]
		if err := ordered([][]byte{last}, min(i, 1), key, lo, hi); err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
		last = key
		if err := in.element(flags, key, value, depth, bucket, top); err != nil {
			return fmt.Errorf("page %d, element %d: %w", id, i, err)
		}
	}
	return nil
}

// element checks one key of a leaf: at the top they are buckets, below values.
func (in *inspection) element(flags uint32, key, value []byte, depth int, bucket string, top bool) error {
	switch {
	case top && flags != leafBucket:
		return fmt.Errorf("%q is no bucket", key)
	case !top && flags != 0:
		return fmt.Errorf("a value of the bucket %q has the unknown flags %#x", bucket, flags)
	case !top:
		return in.visit(bucket, key, value)
	case len(value) < bucketSize:
		return fmt.Errorf("the bucket %q has no root", key)
	}
	root := binary.NativeEndian.Uint64(value)
	if root != 0 {
		return in.walk(root, depth+1, nil, nil, string(key), false)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != flagLeaf {
		return fmt.Errorf("the bucket %q has no content", key)
	}
	return in.leaf(inline, 0, depth, nil, nil, string(key), false)
}

func span(b []byte, from, n uint64) ([]byte, error) {
	if from > uint64(len(b)) || n > uint64(len(b))-from {
		return nil, fmt.Errorf("it lies beyond its page (%d bytes from %d)", n, from)
	}
	return b[from : from+n], nil
}

// ordered checks the key at position i against the one before it and its limits.
func ordered(keys [][]byte, i int, key, lo, hi []byte) error {
	switch {
	case i == 0 && lo != nil && bytes.Compare(key, lo) < 0:
		return errors.New("its key is below its branch's")
	case i > 0 && bytes.Compare(key, keys[i-1]) <= 0:
		return errors.New("its key is not above the one before")
	case hi != nil && bytes.Compare(key, hi) >= 0:
		return errors.New("its key is not below the next branch's")
	}
	return nil
}

// revert takes the file back to the header with the given transaction: a commit
// that failed, and was reported so, may have reached the disk all the same. The
// pages of the transaction before are intact then, because bbolt never writes
// over the newest acknowledged tree.
func revert(f *os.File, txid uint64) error {
	metas, _, err := readMetas(f)
	if err != nil {
		return err
	}
	if metas[0].txid > txid {
		if len(metas) < 2 || metas[1].txid != txid {
			return fmt.Errorf("the last acknowledged commit (%d) is not in the file any more", txid)
		}
		off := int64(metas[0].index) * int64(metas[0].pageSize)
		if _, err := f.WriteAt(make([]byte, metas[0].pageSize), off); err != nil {
			return fmt.Errorf("taking back a failed commit: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("taking back a failed commit: %w", err)
		}
		return nil
	}
	if metas[0].txid < txid {
		return fmt.Errorf("the last acknowledged commit (%d) is not in the file any more: it ends with %d", txid, metas[0].txid)
	}
	return nil
}
