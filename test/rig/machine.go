package rig

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"tokend/test/parts"
)

//go:embed machine.sh
var machineScript string

// Machine is a container with a real systemd as PID 1, over a copy of this
// machine's files that is thrown away afterwards. It shares the network with the
// test, so that a server on 127.0.0.1 is reached from both sides. What this machine
// has enabled does not run in it.
//
// Put files into it with [Machine.WriteFile] and [Machine.CopyFile], before or after
// [Machine.Boot], and drive it with [Machine.Run]. Note that /run, /tmp and /dev are
// new and empty after Boot.
type Machine struct {
	t     testing.TB
	proc  *process
	stage string // as this process sees it
	init  int    // the container's PID 1 as this process sees it; 0 before Boot
}

// Nspawn prepares a container for this test; it needs root.
func Nspawn(t testing.TB) *Machine {
	t.Helper()
	require(t, parts.Systemd())
	m := &Machine{t: t}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", machineScript)
	// A group of its own keeps an interrupt on the terminal from the script, which
	// takes the container away once the test is gone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var dir string
	m.proc, dir = start(t, cmd, "staging in ")
	m.stage = fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, dir)
	t.Cleanup(func() {
		if t.Failed() {
			m.explain()
		}
		if err := m.proc.stop(); err != nil {
			t.Error(err)
		}
	})
	m.WriteFile("/etc/systemd/system/tokend-test.target",
		"[Unit]\nDescription=What the tests need\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n", 0o644)
	return m
}

// Name is the container's name and that of its control groups.
func (m *Machine) Name() string { return fmt.Sprintf("tokend-test-%d", m.proc.cmd.Process.Pid) }

// explain logs what the container said, for a test that failed.
func (m *Machine) explain() {
	if m.init != 0 {
		journal, _ := m.Run("journalctl", "--no-pager", "--lines=200", "--output=short-precise")
		m.t.Logf("journal:\n%s", journal)
	}
	m.t.Logf("console:\n%s", m.proc.said)
}

// Boot starts systemd and waits until it has started what it starts by itself.
func (m *Machine) Boot() {
	m.t.Helper()
	if m.init != 0 {
		m.t.Fatal("booting: it is running")
	}
	if _, err := io.WriteString(m.proc.stdin, "boot\n"); err != nil {
		m.t.Fatalf("booting: %v\n%s", err, m.proc.said)
	}
	err := poll(startTimeout, func() (bool, string) {
		pid, err := m.findInit()
		if err != nil {
			return false, err.Error()
		}
		m.init = pid
		state, _ := m.Run("systemctl", "is-system-running")
		state = strings.TrimSpace(state)
		return state == "running" || state == "degraded", state
	})
	if err != nil {
		m.t.Fatalf("booting: %v", err)
	}
}

// findInit finds the one child of systemd-nspawn that is PID 1 of a namespace.
func (m *Machine) findInit() (int, error) {
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(m.stage), "nspawn.pid"))
	if err != nil {
		return 0, err
	}
	nspawn := strings.TrimSpace(string(raw))
	children, err := os.ReadFile("/proc/" + nspawn + "/task/" + nspawn + "/children")
	if err != nil {
		return 0, err
	}
	for _, child := range strings.Fields(string(children)) {
		status, err := os.ReadFile("/proc/" + child + "/status")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			ids, ok := strings.CutPrefix(line, "NSpid:")
			if f := strings.Fields(ids); ok && len(f) > 1 && f[len(f)-1] == "1" {
				return strconv.Atoi(child)
			}
		}
	}
	return 0, errors.New("systemd-nspawn has not started PID 1 yet")
}

// inside is a command that will run in the booted container, as root and with
// nothing of the test's environment.
func (m *Machine) inside(argv []string) *exec.Cmd {
	m.t.Helper()
	if m.init == 0 {
		m.t.Fatalf("running %q: the machine was not booted", argv)
	}
	args := []string{"--target", strconv.Itoa(m.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--"}
	cmd := exec.Command("nsenter", append(args, argv...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER="}
	return cmd
}

// Run runs a command in the booted container and returns all that it printed and
// its exit status.
func (m *Machine) Run(argv ...string) (string, int) {
	m.t.Helper()
	out, err := m.inside(argv).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return string(out), 0
	case errors.As(err, &exit):
		return string(out), exit.ExitCode()
	}
	m.t.Fatalf("running %q in the machine: %v", argv, err)
	return "", 0
}

// MustRun is [Machine.Run] for a command that has to succeed.
func (m *Machine) MustRun(argv ...string) string {
	m.t.Helper()
	out, code := m.Run(argv...)
	if code != 0 {
		m.t.Fatalf("running %q in the machine: exit status %d\n%s", argv, code, out)
	}
	return out
}

// WriteFile writes a file into the machine, making the directories above it.
func (m *Machine) WriteFile(path, content string, mode os.FileMode) {
	m.t.Helper()
	m.put(path, strings.NewReader(content), mode)
}

// CopyFile copies a file of the test's into the machine, making the directories
// above it.
func (m *Machine) CopyFile(path, from string, mode os.FileMode) {
	m.t.Helper()
	f, err := os.Open(from)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	m.put(path, f, mode)
}

func (m *Machine) put(path string, content io.Reader, mode os.FileMode) {
	m.t.Helper()
	if m.init != 0 {
		cmd := m.inside([]string{"sh", "-c", `mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"`,
			"sh", path, strconv.FormatUint(uint64(mode.Perm()), 8)})
		cmd.Stdin = content
		if out, err := cmd.CombinedOutput(); err != nil {
			m.t.Fatalf("writing %s into the machine: %v\n%s", path, err, out)
		}
		return
	}
	if err := m.stageFile(path, content, mode); err != nil {
		m.t.Fatalf("writing %s into the machine: %v", path, err)
	}
}

// stageFile puts a file into the layer that lies over this machine's files. A
// directory there hides the attributes of the one below it, and hides a symbolic
// link altogether, so both are taken from what is below.
func (m *Machine) stageFile(path string, content io.Reader, mode os.FileMode) error {
	path = throughLinks(path)
	if err := m.stageDirs(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(m.stage+path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Chmod(m.stage+path, mode) // whatever the umask is
}

func (m *Machine) stageDirs(dir string) error {
	if dir == "/" {
		return nil
	}
	if err := m.stageDirs(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(m.stage+dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	below, err := os.Stat(dir)
	if err != nil {
		return nil // new: 0755 of root
	}
	owner, ok := below.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := os.Chown(m.stage+dir, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	return os.Chmod(m.stage+dir, below.Mode())
}

// throughLinks resolves the symbolic links in the part of a path that exists on
// this machine, such as /lib.
func throughLinks(path string) string {
	path = filepath.Clean(path)
	rest := ""
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		rest = strings.TrimPrefix(path, dir)
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == "/" {
			return path
		}
	}
}

// ReadFile reads a file of the booted machine.
func (m *Machine) ReadFile(path string) (string, error) {
	m.t.Helper()
	var stderr bytes.Buffer
	cmd := m.inside([]string{"cat", path})
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("reading %s in the machine: %w: %s", path, err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}
