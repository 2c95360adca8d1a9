package rig_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/test/rig"
)

const notifier = `#!/bin/sh
systemd-notify --ready --status="ready as $(id -un)"
exec sleep infinity
`

const notifyUnit = `[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/local/bin/notifier
`

func TestSystemdStartsANotifyUnit(t *testing.T) {
	m := rig.Nspawn(t)
	script := filepath.Join(t.TempDir(), "notifier")
	if err := os.WriteFile(script, []byte(notifier), 0o700); err != nil {
		t.Fatal(err)
	}
	m.CopyFile("/usr/local/bin/notifier", script, 0o755)
	m.WriteFile("/lib/systemd/system/notifier.service", notifyUnit, 0o644)
	m.Boot()

	if comm, err := m.ReadFile("/proc/1/comm"); err != nil || comm != "systemd\n" {
		t.Fatalf("PID 1 is %q, %v", comm, err)
	}
	m.MustRun("systemctl", "start", "notifier.service")
	m.WaitUnit("notifier.service", "ActiveState", "active", 10*time.Second)
	if got := m.Unit("notifier.service", "StatusText"); got != "ready as root" {
		t.Errorf("status %q", got)
	}
	m.MustRun("systemctl", "stop", "notifier.service")
	if got := m.Unit("notifier.service", "ActiveState"); got != "inactive" {
		t.Errorf("after stopping it is %s", got)
	}
	if log := m.Journal("notifier.service"); !strings.Contains(log, "notifier.service") {
		t.Errorf("its journal: %s", log)
	}
	if out, code := m.Run("systemctl", "start", "no-such.service"); code == 0 {
		t.Errorf("a unit that does not exist starts: %s", out)
	}
}

func TestSystemdEnvironmentFile(t *testing.T) {
	m := rig.Nspawn(t)
	m.Boot()
	m.WriteFile("/etc/test.env", envFile, 0o600)
	want := map[string]string{"PLAIN": "plain", "QUOTED": "two words # no comment", "SINGLE": "raw $HOME"}
	if diff := cmp.Diff(want, m.Environ("/etc/test.env")); diff != "" {
		t.Errorf("systemd reads it differently (-want +got):\n%s", diff)
	}
}

// What a machine writes is nowhere on the machine that it is a copy of, and what is
// there looks as it does outside.
func TestSystemdLeavesNothingBehind(t *testing.T) {
	var name string
	t.Run("machine", func(t *testing.T) {
		m := rig.Nspawn(t)
		name = m.Name()
		m.WriteFile("/root/tokend-test/before", "x", 0o600)
		m.WriteFile("/lib/tokend-test/before", "x", 0o600)
		m.Boot()
		if len(leftovers(t, name)) == 0 {
			t.Error("a machine that runs is not seen")
		}
		m.WriteFile("/var/lib/tokend-test/after", "x", 0o640)
		if mode := m.MustRun("stat", "-c", "%a", "/var/lib/tokend-test/after"); mode != "640\n" {
			t.Errorf("mode of the file: %s", mode)
		}
		if link := m.MustRun("readlink", "/lib"); link != "usr/lib\n" {
			t.Errorf("/lib is a link to %s", link)
		}
		outside, err := os.Stat("/root")
		if err != nil {
			t.Fatal(err)
		}
		if mode := m.MustRun("stat", "-c", "%A", "/root"); mode != outside.Mode().String()+"\n" {
			t.Errorf("mode of /root: %s, want %s", mode, outside.Mode())
		}
	})
	if name == "" {
		t.Skip("systemd: the machine was not started")
	}
	if left := leftovers(t, name); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for _, path := range []string{"/root/tokend-test", "/lib/tokend-test", "/var/lib/tokend-test"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is on this machine", path)
		}
	}
}

// A test that is killed takes its machine with it. The test runs itself once more,
// as the one to be killed.
func TestSystemdGoesWithAKilledTest(t *testing.T) {
	const victim = "TOKEND_TEST_VICTIM"
	if os.Getenv(victim) != "" {
		m := rig.Nspawn(t)
		m.Boot()
		fmt.Println("booted", m.Name())
		select {}
	}
	rig.Nspawn(t) // skips where there is no systemd

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestSystemdGoesWithAKilledTest$")
	cmd.Env = append(os.Environ(), victim+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var name string
	if _, err := fmt.Fscanf(stdout, "booted %s", &name); err != nil {
		_ = cmd.Process.Kill()
		t.Fatalf("the test to be killed said something else: %v", err)
	}
	if len(leftovers(t, name)) == 0 {
		t.Error("a machine that runs is not seen")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for len(leftovers(t, name)) > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("left behind: %q", leftovers(t, name))
		}
	}
}

// leftovers lists the control groups, mounts and processes of a machine.
func leftovers(t *testing.T, name string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/", "/run/systemd/nspawn/*/"} {
		matches, err := filepath.Glob(pattern + name)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, matches...)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range processes {
		groups, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(groups), "/"+name) {
			found = append(found, path)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.HasPrefix(line, "tokend-test ") {
			found = append(found, line)
		}
	}
	return found
}
