package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// A refresh is carried out, what it brings cannot be recorded, and the daemon is killed
// while it holds that in memory: the next start does not spend the old token once more.
// It obtains anew, and counts what it may have lost.
func TestAKillWhileTheDiskFails(t *testing.T) {
	for _, fault := range []string{"pwrite64:error=EIO", "fdatasync:error=EIO"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			h := diskHost(t)
			d := h.begun()
			armed := h.api.Fail(standin.Fault{API: standin.Apirone, Kind: standin.FaultDelay, Delay: time.Hour, Path: refreshPath(standin.Apirone), Times: 1})
			<-armed.Hit() // its intent is recorded
			go func() {
				for t.Context().Err() == nil && !traced(d.cmd.Process.Pid) {
					pause(t.Context(), 5*time.Millisecond)
				}
				armed.Release()
			}()
			whole := h.fails(d, fault)
			h.stuck()
			d.kill()
			whole()
			d = h.start("--log-level", "warn")
			h.refreshed(2)
			h.until("everything to be ready", func(context.Context) string {
				out, status := h.tokend("", "status")
				if status != 0 {
					return out
				}
				return ""
			})
			c := h.api.Counts(standin.Apirone)
			if c.Reuses != 0 || c.Grants > 2 {
				t.Errorf("%d grants and %d reuses, want one grant more at most, and no reuse", c.Grants, c.Reuses)
			}
			r, err := h.ask().StateShow(t.Context(), "credential.apirone.account")
			if err != nil {
				t.Fatal(err)
			}
			// What a failed sync was to write may be on the disk all the same.
			if lost := c.Grants - 1; fault == "pwrite64:error=EIO" && lost != 1 || fmt.Sprint(r.Contents["orphans"]) != fmt.Sprint(lost) && lost > 0 {
				t.Errorf("%d grants, and %v orphans are counted", c.Grants, r.Contents["orphans"])
			}
			d.stop()
		})
	}
}

var tracer = regexp.MustCompile(`(?m)^TracerPid:\t[1-9]`)

// traced says that something follows every thread of a process.
func traced(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, path := range threads {
		if b, rerr := os.ReadFile(path); rerr != nil || !tracer.Match(b) {
			return false
		}
	}
	return err == nil && len(threads) > 0
}
