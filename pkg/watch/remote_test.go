package watch_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// remote is a file system of one directory that another machine writes to, as one
// on NFS: the kernel is not told of a change, and goes on believing what it was told
// last of a name and of a file, and that there is none, for remembered. It speaks as
// much of Linux's FUSE protocol (include/uapi/linux/fuse.h, version 7.31) as reading
// takes. write and remove are what the other machine does; they are safe for
// concurrent use.
type remote struct {
	dev *os.File

	mu    sync.Mutex
	files map[string]remoteFile
	made  uint64 // nodes so far
	nodes map[uint64]string
}

type remoteFile struct {
	node    uint64
	content string
	at      time.Time
}

const (
	remembered = 100 * time.Millisecond
	rootNode   = 1
)

// Operations of the protocol.
const (
	fuseLookup      = 1
	fuseForget      = 2
	fuseGetattr     = 3
	fuseOpen        = 14
	fuseRead        = 15
	fuseRelease     = 18
	fuseInit        = 26
	fuseOpendir     = 27
	fuseReaddir     = 28
	fuseReleasedir  = 29
	fuseInterrupt   = 36
	fuseBatchForget = 42
)

// mountRemote mounts such a file system, which ends with the process.
func mountRemote(at string) (*remote, error) {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/fuse: %w", err)
	}
	if err := unix.Mount("remote", at, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d", fd, os.Getuid(), os.Getgid())); err != nil {
		return nil, fmt.Errorf("mounting: %w", err)
	}
	// A blocking descriptor: the runtime's poller is not asked about it.
	r := &remote{dev: os.NewFile(uintptr(fd), "/dev/fuse"), files: map[string]remoteFile{}, made: rootNode, nodes: map[uint64]string{rootNode: ""}}
	go r.serve()
	return r, nil
}

// write writes a file: in place, or anew where there is none.
func (r *remote) write(name, content string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.files[name]
	if !ok {
		r.made++
		f.node = r.made
		r.nodes[f.node] = name
	}
	f.content, f.at = content, time.Now()
	r.files[name] = f
}

func (r *remote) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, r.files[name].node)
	delete(r.files, name)
}

func (r *remote) serve() {
	b := make([]byte, 1<<20)
	for {
		n, err := r.dev.Read(b)
		if err != nil {
			return // it is unmounted
		}
		le := binary.LittleEndian
		op, unique, node, body := le.Uint32(b[4:]), le.Uint64(b[8:]), le.Uint64(b[16:]), b[40:n]
		if op == fuseForget || op == fuseBatchForget || op == fuseInterrupt {
			continue
		}
		reply, errno := r.answer(op, node, body)
		out := make([]byte, 16, 16+len(reply))
		le.PutUint32(out, uint32(16+len(reply)))
		le.PutUint32(out[4:], uint32(-int32(errno)))
		le.PutUint64(out[8:], unique)
		_, _ = r.dev.Write(append(out, reply...)) // who asked may be gone
	}
}

// answer is what an operation brings.
func (r *remote) answer(op uint32, node uint64, body []byte) ([]byte, syscall.Errno) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, known := r.nodes[node]
	switch {
	case op == fuseInit:
		// The version; nothing beyond it; 128 KiB at once; times to the nanosecond.
		return pack(uint32(7), uint32(31), [2]uint32{}, [2]uint16{}, uint32(128<<10), uint32(1), [2]uint16{}, [8]uint32{}), 0
	case !known:
		return nil, syscall.ESTALE
	}
	switch op {
	case fuseLookup:
		f, ok := r.files[strings.TrimRight(string(body), "\x00")]
		if !ok { // node 0: there is none, for that long
			return pack([2]uint64{}, lasting(), make([]byte, 88)), 0
		}
		return pack(f.node, uint64(0), lasting(), r.attributes(f)), 0
	case fuseGetattr:
		sec, nsec := uint64(remembered/time.Second), uint32(remembered%time.Second)
		return pack(sec, nsec, uint32(0), r.attributes(r.files[name])), 0
	case fuseOpen, fuseOpendir:
		return make([]byte, 16), 0
	case fuseRelease, fuseReleasedir:
		return nil, 0
	case fuseRead:
		return part([]byte(r.files[name].content), body), 0
	case fuseReaddir:
		return r.list(body), 0
	}
	return nil, syscall.ENOSYS
}

// list is the directory from an offset on, which counts its entries in the order of
// hashes: who reads on misses none that stays.
func (r *remote) list(body []byte) []byte {
	var out bytes.Buffer
	from, size := binary.LittleEndian.Uint64(body[8:]), int(binary.LittleEndian.Uint32(body[16:]))
	for {
		next, least := "", ^uint64(0)
		for name := range r.files {
			if h := placeOf(name); h > from && h <= least {
				next, least = name, h
			}
		}
		entry := pack(r.files[next].node, least, uint32(len(next)), uint32(unix.DT_REG), []byte(next), make([]byte, -len(next)&7))
		if next == "" || out.Len()+len(entry) > size {
			break
		}
		out.Write(entry)
		from = least
	}
	return out.Bytes()
}

func placeOf(name string) uint64 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, name)
	return 1 + uint64(h.Sum32())
}

// lasting is for how long an entry and its attributes are remembered.
func lasting() []byte {
	sec, nsec := uint64(remembered/time.Second), uint32(remembered%time.Second)
	return pack(sec, sec, nsec, nsec)
}

// attributes are those of a file; of the directory where there is no such file. The
// directory's time is that of the newest file.
func (r *remote) attributes(f remoteFile) []byte {
	mode, node := uint32(unix.S_IFREG|0o644), f.node
	if node == 0 {
		mode, node = unix.S_IFDIR|0o755, rootNode
		for _, other := range r.files {
			if other.at.After(f.at) {
				f.at = other.at
			}
		}
	}
	sec, nsec := uint64(f.at.Unix()), uint32(f.at.Nanosecond())
	return pack(node, uint64(len(f.content)), uint64(0), sec, sec, sec, nsec, nsec, nsec, mode, uint32(1), uint32(os.Getuid()), uint32(os.Getgid()), uint32(0), uint32(4096), uint32(0))
}

// part is what a reading asks for of a content.
func part(content, body []byte) []byte {
	from, size := binary.LittleEndian.Uint64(body[8:]), uint64(binary.LittleEndian.Uint32(body[16:]))
	from = min(from, uint64(len(content)))
	return content[from:min(from+size, uint64(len(content)))]
}

// pack puts values one after the other, as the machine has them.
func pack(values ...any) []byte {
	var b bytes.Buffer
	for _, v := range values {
		_ = binary.Write(&b, binary.LittleEndian, v) // of fixed sizes alone
	}
	return b.Bytes()
}
