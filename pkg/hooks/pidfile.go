package hooks

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// errStale: the file was left behind by a process that is gone.
var errStale = errors.New("no such process is running: the pid file is stale; start the program again or remove the file")

// maxPidFile is far above what real pid files hold (PostgreSQL's has eight lines).
const maxPidFile = 4 << 10

// pidFile is what a pid file says and who could make it say so.
type pidFile struct {
	pid   int
	owner uint32
}

func readPidFile(path string) (pidFile, error) {
	// O_NONBLOCK: a FIFO in the file's place must not hang the queue.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return pidFile{}, errors.New("it does not exist: is the program running?")
	}
	if err != nil {
		return pidFile{}, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return pidFile{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return pidFile{}, errors.New("it is no regular file")
	}
	// A group's write bit matters where the owner is root: then nothing ties
	// the process to the group's members (see mayName).
	if st.Mode&0o002 != 0 || st.Mode&0o020 != 0 && st.Uid == 0 && st.Gid != 0 {
		return pidFile{}, fmt.Errorf("its mode %04o lets others write it, and they would choose whom tokend signals: chmod go-w it", st.Mode&0o7777)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPidFile))
	if err != nil {
		return pidFile{}, err
	}
	pid, err := parsePid(string(text))
	return pidFile{pid: pid, owner: st.Uid}, err
}

func parsePid(text string) (int, error) {
	line, _, _ := strings.Cut(text, "\n")
	line = strings.TrimSpace(line)
	if line == "" {
		return 0, errors.New("it is empty: the program is about to write it, or died before it did")
	}
	pid, err := strconv.ParseUint(line, 10, 31)
	if err != nil {
		return 0, errors.New("its first line is no process number")
	}
	if pid <= 1 {
		return 0, fmt.Errorf("it names process %d, which no hook may signal", pid)
	}
	return int(pid), nil
}

// mayName refuses a zombie, and a process that the file's owner has no say
// over: who may write a pid file would otherwise make a daemon that runs as
// root signal anything.
func (f pidFile) mayName() error {
	state, uid, err := processStatus(f.pid)
	if err != nil {
		return nil // no /proc, or hidden from us: then the kernel's own check of the signal decides
	}
	if state == 'Z' || state == 'X' {
		return errStale
	}
	if f.owner != 0 && f.owner != uint32(os.Geteuid()) && f.owner != uid {
		return fmt.Errorf("the file belongs to user %d and the process to user %d: only root's pid file may name another user's process", f.owner, uid)
	}
	return nil
}

// processStatus reads a process's state and real user from /proc.
func processStatus(pid int) (state byte, uid uint32, err error) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	found := 0
	for s := bufio.NewScanner(f); s.Scan() && found < 2; {
		name, value, _ := strings.Cut(s.Text(), ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch name {
		case "State":
			state = fields[0][0]
			found++
		case "Uid":
			n, err := strconv.ParseUint(fields[0], 10, 32)
			if err != nil {
				return 0, 0, err
			}
			uid = uint32(n)
			found++
		}
	}
	if found < 2 {
		return 0, 0, errors.New("the process's status is incomplete")
	}
	return state, uid, nil
}
