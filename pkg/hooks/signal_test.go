package hooks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"
)

const trapScript = `trap 'echo got HUP' HUP; trap 'echo got USR1' USR1; echo ready; while :; do sleep 600 & wait; done`

func runSignal(t *testing.T, pidFile, sig string) error {
	t.Helper()
	m := map[string]cty.Value{"pid_file": text(pidFile)}
	if sig != "" {
		m["signal"] = text(sig)
	}
	return Signal(Options{}).Run(t.Context(), args(m), nil)
}

func TestSignalReachesTheProcess(t *testing.T) {
	pid, lines := started(t, trapScript, nil)
	path := filepath.Join(t.TempDir(), "bot.pid")
	for _, c := range []struct{ content, sig, want string }{
		{"%\n", "", "got HUP"},
		{"%", "HUP", "got HUP"},
		{"  %  \n/var/lib/postgresql\n5432\n", "USR1", "got USR1"}, // more lines, as PostgreSQL has them
		{"%\r\n", "SIGUSR1", "got USR1"},
	} {
		write(t, path, strings.ReplaceAll(c.content, "%", strconv.Itoa(pid)), 0o644)
		if err := runSignal(t, path, c.sig); err != nil {
			t.Fatalf("signal %q by %q: %v", c.sig, c.content, err)
		}
		if got := next(t, lines); got != c.want {
			t.Errorf("signal %q: the process said %q, want %q", c.sig, got, c.want)
		}
	}
}

func TestSignalRefusesWhatIsNoPidFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bot.pid")
	for content, want := range map[string]string{
		"":                        "it is empty",
		"\n":                      "it is empty",
		"hunter2":                 "no process number",
		"12x":                     "no process number",
		"-5":                      "no process number",
		"+5":                      "no process number",
		"0":                       "process 0",
		"1\n":                     "process 1",
		"99999999999":             "no process number",
		"4294967297":              "no process number",
		strconv.Itoa(os.Getpid()): "tokend itself",
	} {
		write(t, path, content, 0o644)
		err := runSignal(t, path, "CONT")
		wantError(t, err, "pid file "+path, want)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %q quotes the file", err)
		}
	}
	wantError(t, runSignal(t, filepath.Join(dir, "none"), "HUP"), "does not exist: is the program running?")
	wantError(t, runSignal(t, dir, "HUP"), "no regular file")
	wantError(t, runSignal(t, "", "HUP"), "reading pid_file")
	wantError(t, runSignal(t, path, "KILL"), "reading signal", "HUP")

	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, runSignal(t, fifo, "HUP"), "no regular file")
}

func TestSignalFindsAStalePidFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bot.pid")
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	write(t, path, strconv.Itoa(pid), 0o644)
	eventually(t, "it is a zombie", func() bool { state, _, err := processStatus(pid); return err == nil && state == 'Z' })
	wantError(t, runSignal(t, path, "HUP"), "stale")
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	wantError(t, runSignal(t, path, "HUP"), "stale", strconv.Itoa(pid))
}

func TestSignalDoesNotTrustAPidFileThatOthersWrite(t *testing.T) {
	pid, lines := started(t, trapScript, nil)
	path := write(t, filepath.Join(t.TempDir(), "bot.pid"), strconv.Itoa(pid), 0o666)
	wantError(t, runSignal(t, path, "HUP"), "0666", "chmod go-w")
	if os.Geteuid() != 0 {
		t.Skip("hooks: only root can make another user's pid file and process")
	}
	const nobody = 65534
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	wantError(t, runSignal(t, path, "HUP"), "user 65534", "user 0", "only root's pid file")
	select {
	case l := <-lines:
		t.Fatalf("the process was signalled all the same: %q", l)
	case <-time.After(50 * time.Millisecond):
	}

	theirs, heard := started(t, trapScript, func(c *exec.Cmd) {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	})
	if err := os.WriteFile(path, []byte(strconv.Itoa(theirs)), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := runSignal(t, path, "USR1"); err != nil {
		t.Fatal(err)
	}
	if got := next(t, heard); got != "got USR1" {
		t.Errorf("the process said %q", got)
	}
}
