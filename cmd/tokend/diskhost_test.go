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

// begun starts a daemon, and waits until it has refreshed its token.
func (h *host) begun() *running {
	h.t.Helper()
	d := h.start("--log-level", "warn")
	h.refreshed(2)
	return d
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
