package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The tests in this file take the disk away from the daemon, in each of the ways
// in which disks go. The rule is the same for all: a token is spent only when
// what comes of it can be recorded, the daemon says what is wrong, it keeps
// delivering what it has, and it goes on by itself once the disk is back.

func TestAFullDisk(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	h.tmpfs(48)
	d := h.begun()
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

// A disk that became read-only while tokend was away: it does not start, says
// why, and asks nobody for anything.
func TestAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	h.tmpfs(64)
	d := h.begun()
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
			d := h.begun()
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
	d := h.begun()
	whole := h.fails(d, "pwrite64:error=EROFS", "openat:error=EROFS")
	h.stuck()
	if err := os.Remove(h.path("out", "token")); err != nil {
		t.Fatal(err)
	}
	h.until("the sink to be put right", h.there("token"))
	whole()
	h.sound()
	d.stop()
}

// A configuration that cannot be recorded is not begun: the one before stays in force,
// and the new one is taken over once the disk is back, though nobody touches it again.
func TestAConfigurationThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	d := h.begun()
	whole := h.fails(d, "pwrite64:error=EIO")
	h.write("main.hcl", strings.Replace(diskConfig, "/token\"", "/elsewhere\"", 1))
	h.until("the daemon to say that it takes nothing over", h.logged("the new configuration is not taken over"))
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
	d := h.begun()
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

// A state whose directory somebody removes under the daemon: nothing is spent any
// more, and what it holds is saved and put in place as the message says.
func TestAStateThatIsRemoved(t *testing.T) {
	t.Parallel()
	h := diskHost(t)
	d := h.begun()
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
