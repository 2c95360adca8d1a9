package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"tokend/pkg/standin"
)

// A machine whose watches are used up: the daemon follows its directory all the
// same, by looking again and again, and says so in the log and in the status.
func TestUsedUpWatchesAreSaidAndPolled(t *testing.T) {
	t.Parallel()
	h := newHost(t, build(t), standin.Options{AnyAccount: true})
	// A user namespace of its own has limits of its own.
	const alone = "#!/bin/sh\nexec unshare --user --map-root-user sh -c 'echo 2 >/proc/sys/user/max_inotify_watches && exec \"$@\"' sh %s \"$@\"\n"
	real, limited := h.binary, h.path("limited")
	if err := os.WriteFile(limited, fmt.Appendf(nil, alone, real), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(limited, "version").CombinedOutput(); err != nil {
		t.Skipf("watch: no user namespace can be made here, so that its limits could be set: %v\n%s", err, out)
	}
	h.write("main.hcl", settleBase)
	h.write("s.hcl", sinkFile("s", "one"))
	h.extra = append(h.extra, "KEY=k")
	h.binary = limited
	d := h.start()
	h.binary = real
	holds := func(want string) {
		t.Helper()
		h.until("the sink to hold "+want, func(context.Context) string {
			b, err := os.ReadFile(h.path("out", "s"))
			if err != nil {
				return err.Error()
			}
			if string(b) != want {
				return string(b)
			}
			return ""
		})
	}
	holds("one")
	h.write("s.hcl", sinkFile("s", "two"))
	holds("two")
	h.until("the status to say that changes are polled for", func(context.Context) string {
		out, _ := h.tokend("", "status")
		if !strings.Contains(out, "Changes are polled for: ") || !strings.Contains(out, "max_user_watches") {
			return out
		}
		return ""
	})
	if log := h.log.String(); !strings.Contains(log, `"msg":"watching without events"`) || !strings.Contains(log, "max_user_watches") {
		t.Errorf("the log does not say it:\n%s", log)
	}
	d.stop()
}
