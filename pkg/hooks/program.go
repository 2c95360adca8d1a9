package hooks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lingering is how long output is still read from what a program left behind
// after it ended or was killed.
const lingering = 250 * time.Millisecond

// program is one run of one program.
type program struct {
	argv    []string
	env     []string
	o       Options
	timeout time.Duration // for the message alone; the context enforces it
}

// run runs it to its end and returns the end of what it printed, as it came.
// It is killed with its process group when ctx ends first.
func (p program) run(ctx context.Context) (printed *tail, err error) {
	path, err := p.find()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", p, err)
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = p.argv
	cmd.Env = p.env
	cmd.Dir = p.dir()
	out := &tail{}
	// One writer for both: some programs explain themselves on standard output.
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return killGroup(cmd.Process.Pid) }
	cmd.WaitDelay = lingering

	err = cmd.Run()
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		// ErrWaitDelay: it succeeded and left a child that holds the output.
		return out, nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return out, fmt.Errorf("running %s: it did not end within %s and was killed%s: %w", p, p.timeout, p.said(out), ctx.Err())
	case ctx.Err() != nil:
		return out, fmt.Errorf("running %s: stopped before it ended: %w", p, ctx.Err())
	}
	return out, fmt.Errorf("running %s: %w%s", p, plain(err), p.said(out))
}

// said is what goes into an error of what it printed, after a colon. Words of
// its command line are known to be no secrets.
func (p program) said(out *tail) string {
	if s := out.excerpt(p.o.Scrub, strings.Join(p.argv, " ")); s != "" {
		return ": " + s
	}
	return ""
}

// String is the command line, quoted where that is needed and not too long.
func (p program) String() string {
	words := make([]string, len(p.argv))
	for i, a := range p.argv {
		words[i] = a
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r == '"' || r == '\\' || r == 0x7f }) {
			words[i] = fmt.Sprintf("%q", a)
		}
	}
	s := strings.Join(words, " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

func (p program) dir() string {
	if p.o.Dir == "" {
		return "/"
	}
	return p.o.Dir
}

// find is exec.LookPath with our PATH, which need not be the process's, and
// with relative names relative to the directory.
func (p program) find() (string, error) {
	name := p.argv[0]
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(p.dir(), name)
		}
		return name, executable(name)
	}
	var denied error
	for _, dir := range filepath.SplitList(p.o.path()) {
		if !filepath.IsAbs(dir) {
			continue // "." in PATH is a trap, as in os/exec
		}
		full := filepath.Join(dir, name)
		err := executable(full)
		if err == nil {
			return full, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("no such program in PATH (%s): install it, or name it by its full path", p.o.path())
}

func executable(path string) error {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case fi.IsDir():
		return fmt.Errorf("%s is a directory", path)
	case fi.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable: chmod +x it", path)
	}
	return nil
}

// killGroup kills the program and what it started. The group's number is the
// program's pid, which cannot be anybody else's before it was waited for.
func killGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// withTimeout bounds ctx; no timeout at all for zero or less.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// plain takes os/exec's "fork/exec /path: " off an error that is about to be
// wrapped in a line that names the program already. Another file that is in the way
// of a start, such as /dev/null, keeps its name.
func plain(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok && pe.Op != "fork/exec" {
		return fmt.Errorf("starting it: %w", pe)
	} else if ok {
		return fmt.Errorf("starting it: %w", pe.Err)
	}
	return err
}
