package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/standin"
)

// The tests in this file take the disk away from the daemon, in each of the ways
// in which disks go. The rule is the same for all: a token is spent only when
// what comes of it can be recorded, the daemon says what is wrong, it keeps
// delivering what it has, and it goes on by itself once the disk is back.

const diskConfig = `
tokend {
  defaults {
    refresh {
      at            = 0.1
      jitter        = 0
      min_remaining = "1s"
    }
    retry { initial = "20ms" }
  }
}
variable "out" { type = string }
variable "apirone_url" { type = string }
secret "file" "password" { path = "password" }
provider "apirone" { base_url = var.apirone_url }
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.password.value
}
sink "file" "account" {
  path    = "${var.out}/token"
  content = credential.apirone.account.access_token
}
`

// diskHost is a host whose tokens are due every other second.
func diskHost(t *testing.T) *host {
	t.Helper()
	h := newHost(t, build(t), standin.Options{AnyAccount: true, Rules: standin.Rules{
		AccessLifetime: 8 * time.Second, RefreshLifetime: time.Hour, Rotate: standin.RotateSingleUse, DetectReuse: true, ExpiresIn: standin.ExpiryNumber,
	}})
	h.write("password", "one-password\n")
	h.write("main.hcl", diskConfig)
	return h
}

func (h *host) calls() int {
	c := h.api.Counts(standin.Apirone)
	return c.Grants + c.Refreshes
}

// refreshed waits until the provider was asked n times more.
func (h *host) refreshed(n int) {
	h.t.Helper()
	from := h.calls()
	h.until(fmt.Sprintf("%d more tokens", n), func(context.Context) string {
		if now := h.calls(); now < from+n {
			return fmt.Sprintf("there were %d", now-from)
		}
		return ""
	})
}

// stuck waits until the daemon says that the state cannot be written, and checks
// that the provider is not asked from then on, although tokens are due.
func (h *host) stuck() {
	h.t.Helper()
	h.until("the daemon to say that nothing is spent", func(context.Context) string {
		out, status := h.tokend("", "status")
		if status != exitFailed || !strings.Contains(out, "the state cannot be written") {
			return out
		}
		return ""
	})
	h.until("the log to say that nothing is spent", func(context.Context) string {
		log := h.log.String()
		if !strings.Contains(log, "nothing is spent while the state cannot be written") && !strings.Contains(log, "nothing more is spent until then") {
			return "it does not"
		}
		return ""
	})
	before := h.calls()
	h.watched(3*time.Second, func() {
		if now := h.calls(); now > before {
			h.t.Fatalf("%d requests spent a token whose successor could not be recorded", now-before)
		}
	})
}

// watched calls check again and again for a while.
func (h *host) watched(d time.Duration, check func()) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		check()
	}
}

// sound checks, once the disk is back, that all goes on and that nothing was
// spent twice or obtained anew.
func (h *host) sound() {
	h.t.Helper()
	h.refreshed(2)
	h.until("everything to be ready", func(context.Context) string {
		out, status := h.tokend("", "status")
		if status != 0 {
			return out
		}
		return ""
	})
	if c := h.api.Counts(standin.Apirone); c.Reuses != 0 || c.Grants != 1 {
		h.t.Errorf("%d grants and %d reuses, want the first grant and no reuse", c.Grants, c.Reuses)
	}
	h.until("the sink to hold a living token", func(context.Context) string {
		b, err := os.ReadFile(h.path("out", "token"))
		if err != nil {
			return err.Error()
		}
		if tok, found := h.api.Lookup(standin.Apirone, string(b)); !found || !tok.Alive {
			return "it does not"
		}
		return ""
	})
}

// tmpfs mounts a small file system as the state's directory.
func (h *host) tmpfs(mib int) {
	h.t.Helper()
	dir := h.path("state")
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID, fmt.Sprintf("size=%dm,mode=0700", mib)); err != nil {
		h.t.Skipf("disk: a disk of its own has to be mounted, which needs root: %v", err)
	}
	h.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			h.t.Errorf("unmounting %s: %v", dir, err)
		}
	})
}

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	h.tmpfs(48)
	d := h.start("--log-level", "warn")
	h.refreshed(2)
	// What was set aside for the calls under way lets them go on for a while.
	h.fill()
	h.refreshed(2)
	d.stop()
	h.empty()
	h.punch()
	h.fill()
	d = h.start("--log-level", "warn")
	h.stuck()
	h.empty()
	h.sound()
	d.stop()
}

// A start onto a directory that was changed meanwhile, with a disk that takes no
// record of it: what was last in force goes on, until the disk takes the new one.
func TestAStartOntoAChangedDirectoryOnAFullDisk(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	h.tmpfs(48)
	d := h.start("--log-level", "warn")
	h.refreshed(1)
	d.stop()
	h.punch()
	h.fill()
	h.write("main.hcl", strings.Replace(diskConfig, "/token\"", "/elsewhere\"", 1))
	if err := os.Remove(h.path("out", "token")); err != nil {
		t.Fatal(err)
	}
	d = h.start()
	h.until("the sink to be put right", h.there("token"))
	h.until("the daemon to be ready for systemd", h.logged(`"msg":"ready"`))
	h.until("status to say what is in force", func(context.Context) string {
		out, status := h.tokend("", "status")
		if status != exitFailed || !strings.Contains(out, "cannot be taken over; the one before stays in force") || !strings.Contains(out, "no space left") {
			return out
		}
		return ""
	})
	if why := h.logged("the one that was last in force goes on")(t.Context()); why != "" {
		t.Error("the log does not say what goes on")
	}
	if h.there("elsewhere")(t.Context()) == "" {
		t.Error("what is not recorded has begun")
	}
	h.empty()
	h.until("the new configuration to act", h.there("elsewhere"))
	h.until("status to say nothing of it any more", func(context.Context) string {
		out, status := h.tokend("", "status")
		if status != 0 || strings.Contains(out, "taken over") {
			return out
		}
		return ""
	})
	d.stop()
}

// A first start on a disk that takes nothing has nothing to go on with.
func TestAFirstStartOnAFullDisk(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	h.tmpfs(1)
	h.fill()
	out, status := h.tokend("", "run")
	if status != exitFailed || !strings.Contains(out, "no space left") {
		t.Errorf("tokend run: exit status %d\n%s", status, out)
	}
}

// fill leaves nothing free of the disk of the state.
func (h *host) fill() {
	h.t.Helper()
	f, err := os.OpenFile(h.path("state", "ballast"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 1 << 12, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}

// empty frees what fill took.
func (h *host) empty() {
	h.t.Helper()
	if err := os.Remove(h.path("state", "ballast")); err != nil {
		h.t.Fatal(err)
	}
}

// there says that a sink's place holds something.
func (h *host) there(name string) func(context.Context) string {
	return func(context.Context) string {
		if _, err := os.Stat(h.path("out", name)); err != nil {
			return err.Error()
		}
		return ""
	}
}

func (h *host) logged(text string) func(context.Context) string {
	return func(context.Context) string {
		if log := h.log.String(); !strings.Contains(log, text) {
			return log
		}
		return ""
	}
}

// punch gives the blocks back to the disk that the state had set aside: as if
// something else had needed them first.
func (h *host) punch() {
	h.t.Helper()
	f, err := os.OpenFile(h.path("state", "state.db"), os.O_RDWR, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	const used = 1 << 20 // a state of two records takes less
	info, err := f.Stat()
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, used, info.Size()-used)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// A disk that became read-only while tokend was away: it does not start, says
// why, and asks nobody for anything.
func TestAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	h.tmpfs(64)
	d := h.start("--log-level", "warn")
	h.refreshed(2)
	d.stop()
	if err := unix.Mount("", h.path("state"), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	before := h.calls()
	out, status := h.tokend("", "run")
	if status != exitFailed || !strings.Contains(out, "read-only file system") || !strings.Contains(out, h.path("state")) {
		t.Errorf("tokend run: exit status %d\n%s", status, out)
	}
	if now := h.calls(); now != before {
		t.Errorf("%d tokens were obtained without a state to record them in", now-before)
	}
	if err := unix.Mount("", h.path("state"), "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	d = h.start("--log-level", "warn")
	h.sound()
	d.stop()
}

// TestADiskThatFails makes the kernel answer the daemon's writes and syncs of the
// state, one kind at a time, as it does when a disk comes loose, or when the file
// system has become read-only because of that.
func TestADiskThatFails(t *testing.T) {
	for _, fault := range []string{"pwrite64:error=EIO", "fdatasync:error=EIO", "pwrite64:error=EROFS"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			h := diskHost(t)
			d := h.start("--log-level", "warn")
			h.refreshed(2)
			whole := h.fails(d, fault)
			h.stuck()
			whole()
			h.sound()
			d.stop()
			// What it left is a whole state.
			if out, status := h.tokend("", "state", "list"); status != 0 {
				t.Errorf("state list: exit status %d\n%s", status, out)
			}
		})
	}
}

// A disk that becomes read-only under the daemon: the state cannot be written, nor
// opened for it any more. What it has is delivered on.
func TestADiskThatBecomesReadOnly(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	d := h.start("--log-level", "warn")
	h.refreshed(2)
	whole := h.fails(d, "pwrite64:error=EROFS", "openat:error=EROFS")
	h.stuck()
	if err := os.Remove(h.path("out", "token")); err != nil {
		t.Fatal(err)
	}
	h.until("the sink to be put right", func(context.Context) string {
		if _, err := os.Stat(h.path("out", "token")); err != nil {
			return err.Error()
		}
		return ""
	})
	whole()
	h.sound()
	d.stop()
}

// A configuration that cannot be recorded is not begun: the one before stays in force,
// and the new one is taken over once the disk is back, though nobody touches it again.
func TestAConfigurationThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	d := h.start("--log-level", "warn")
	h.refreshed(2)
	whole := h.fails(d, "pwrite64:error=EIO")
	h.write("main.hcl", strings.Replace(diskConfig, "/token\"", "/elsewhere\"", 1))
	h.until("the daemon to say that it takes nothing over", func(context.Context) string {
		if !strings.Contains(h.log.String(), "the new configuration is not taken over") {
			return "it does not"
		}
		return ""
	})
	if err := os.Remove(h.path("out", "token")); err != nil {
		t.Fatal(err)
	}
	h.until("the sink to be put right", h.there("token"))
	if _, err := os.Stat(h.path("out", "elsewhere")); err == nil {
		t.Error("what is not recorded has begun")
	}
	whole()
	h.until("the new configuration to act", h.there("elsewhere"))
	d.stop()
}

// A state that can be neither written nor read for a while: all goes on by itself
// once it can be again, although whoever would write reads first.
func TestAStateThatCannotBeRead(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	d := h.start("--log-level", "warn")
	h.refreshed(2)
	whole := h.fails(d, "pwrite64:error=EIO", "openat:error=EIO:when=2+") // it is closed, and cannot be opened again
	h.until("the daemon to say that it cannot work on an address", func(context.Context) string {
		_ = os.Remove(h.path("out", "token")) // which has it look at the sink
		if !strings.Contains(h.log.String(), "an address cannot be worked on") {
			return "it does not"
		}
		return ""
	})
	whole()
	h.sound()
	d.stop()
}

// fails has calls about the state's file answered as strace's faults say, and
// returns once one was, with the end of that.
func (h *host) fails(d *running, faults ...string) (whole func()) {
	h.t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		h.t.Skip("strace: not installed")
	}
	args := []string{"-f", "-qq", "-o", h.path("strace"), "-p", strconv.Itoa(d.cmd.Process.Pid), "-P", h.path("state", "state.db")}
	for _, f := range faults {
		args = append(args, "-e", "inject="+f)
	}
	failing := exec.Command(strace, args...)
	if err := failing.Start(); err != nil {
		h.t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- failing.Wait() }()
	h.until("the disk to fail", func(context.Context) string {
		select {
		case err := <-gone:
			h.t.Skipf("strace: this user may not trace another process: %v", err)
		default:
		}
		b, _ := os.ReadFile(h.path("strace"))
		if !strings.Contains(string(b), "(INJECTED)") {
			return "nothing of it was called"
		}
		return ""
	})
	return func() {
		_ = failing.Process.Signal(unix.SIGTERM) // it lets go of the daemon
		<-gone
	}
}

// A state whose directory somebody removes under the daemon: nothing is spent any
// more, and what it holds is saved and put in place as the message says.
func TestAStateThatIsRemoved(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	d := h.start("--log-level", "warn")
	h.refreshed(2)
	if err := os.RemoveAll(h.path("state")); err != nil {
		t.Fatal(err)
	}
	h.stuck()
	out, _ := h.tokend("", "status")
	for _, w := range []string{"was removed", "tokend state rotate-key", "tokend state backup FILE"} {
		if !strings.Contains(out, w) {
			t.Errorf("tokend status does not say %q:\n%s", w, out)
		}
	}
	if out, status := h.tokend("", "refresh", "apirone.account"); status == 0 {
		t.Errorf("tokend refresh says that it did:\n%s", out)
	}
	if err := os.MkdirAll(h.path("state"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"state", "rotate-key"}, {"state", "backup", h.path("saved")}} {
		if out, status := h.tokend("", args...); status != 0 {
			t.Fatalf("tokend %v: exit status %d\n%s", args, status, out)
		}
	}
	d.stop()
	if err := os.Rename(h.path("saved"), h.path("state", "state.db")); err != nil {
		t.Fatal(err)
	}
	d = h.start("--log-level", "warn")
	h.sound()
	d.stop()
}
