package packaging_test

import (
	"strings"
	"testing"
)

const outsideSink = `
sink "file" "outside" {
  path    = "/srv/outside/token"
  content = credential.coinify.trader.access_token
  owner   = "daemon"
}
`

const allowOutside = "[Service]\nReadWritePaths=/srv/outside\n"

// testConfined: what the unit keeps tokend from, that it is said what to do about
// it, and that this helps. That hooks reach systemd all the same, and sinks give
// files away, the other parts show.
func (h *host) testConfined(t *testing.T) {
	h = h.on(t)
	if out, code := h.Run("systemd-analyze", "security", "--no-pager", "--threshold=30", service); code != 0 {
		t.Errorf("its exposure is above 3: exit status %d\n%s", code, out)
	}
	pid := h.Unit(service, "MainPID")
	status := h.MustRun("cat", "/proc/"+pid+"/status")
	// CHOWN 0, DAC_OVERRIDE 1, DAC_READ_SEARCH 2, FOWNER 3, KILL 5.
	for _, want := range []string{"CapBnd:\t000000000000002f\n", "CapEff:\t000000000000002f\n", "NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
		if !strings.Contains(status, want) {
			t.Errorf("the process is not confined: no %q in\n%s", want, status)
		}
	}
	inside := func(args ...string) (string, int) {
		return h.Run(append([]string{"nsenter", "--target", pid, "--mount"}, args...)...)
	}
	for _, path := range []string{"/etc/x", "/usr/bin/x", "/root/x", "/srv/x"} {
		if out, code := inside("touch", path); code == 0 || !strings.Contains(out, "Read-only file system") {
			t.Errorf("it may write %s: exit status %d\n%s", path, code, out)
		}
	}

	h.MustRun("mkdir", "/srv/outside")
	h.configure("outside.hcl", outsideSink)
	h.eventually("the sink outside says what it needs", func() (bool, string) {
		out, _ := h.Run("tokend", "status", "sink.file.outside")
		return strings.Contains(out, "ReadWritePaths="), out
	})
	h.WriteFile("/etc/systemd/system/"+service+".d/outside.conf", allowOutside, 0o644)
	h.MustRun("systemctl", "daemon-reload")
	h.MustRun("systemctl", "restart", service)
	h.file("/srv/outside/token", h.token())
	if got := strings.TrimSpace(h.MustRun("stat", "-c", "%a %U", "/srv/outside/token")); got != "600 daemon" {
		t.Errorf("its mode and owner are %q", got)
	}
	h.MustRun("rm", "/etc/tokend/outside.hcl")
	h.eventually("the sink outside is gone", func() (bool, string) {
		out, code := h.Run("test", "-e", "/srv/outside/token")
		return code != 0, out
	})
	h.MustRun("rm", "/etc/systemd/system/"+service+".d/outside.conf")
	h.MustRun("systemctl", "daemon-reload")
	h.wantCounts(1, 0, 0)
}
