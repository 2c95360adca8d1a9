// Package packaging_test runs what is packaged where it is meant to run.
package packaging_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/test/parts"
	"tokend/test/rig"
)

// soon is how long anything may take that should happen at once, on a machine
// that has other things to do.
const soon = 60 * time.Second

const (
	service = "tokend.service"
	envFile = "/run/tokend/trader.env"
	seen    = "/run/trader.seen"
)

// The trader lives on the token: it is ordered behind tokend, as its user would
// do it, and tokend's hook restarts it. So at the first start the hook's job waits
// for tokend to be ready, while tokend is not ready before the hook was told.
const traderUnit = `[Unit]
Description=A service that uses a token
After=tokend.service
Wants=tokend.service

[Service]
EnvironmentFile=` + envFile + `
ExecStart=/bin/sh -c 'echo "$TOKEN $SCOPE" > ` + seen + `; exec sleep infinity'
`

const configuration = `
provider "coinify" { base_url = %q }

secret "file" "password" { path = "/etc/tokend-secrets/password" }

credential "coinify" "trader" {
  grant      = "password"
  email      = "trader@example.com"
  partner_id = "5f51bfe2-d08a-4b43-9d5c-405fd2f2ede6"
  password   = secret.file.password.value
}

sink "env" "trader" {
  path = "` + envFile + `"
  vars = {
    TOKEN = credential.coinify.trader.access_token
    SCOPE = "%s"
  }
  notify = [hook.systemd.trader]
}

hook "systemd" "trader" {
  unit     = "trader.service"
  action   = "reload-or-restart"
  timeout  = "120s"
  debounce = "50ms"
}
`

const extraSink = `
sink "file" "extra" {
  path    = "/run/tokend/extra/token"
  content = credential.coinify.trader.access_token
  mode    = "0640"
  group   = "daemon"
}
`

// host is a machine with tokend on it, and the API that it logs in to.
type host struct {
	*rig.Machine
	t   *testing.T
	api *standin.Server
	url string
}

func newHost(t *testing.T) *host {
	t.Helper()
	m := rig.Nspawn(t) // first, because it skips where there is no systemd
	h := &host{Machine: m, t: t}
	const password = "correct horse battery staple"
	h.api = standin.New(standin.Options{Accounts: []standin.Account{{API: standin.Coinify, Login: "trader@example.com", Password: password}}})
	running, err := standin.Start(t.Context(), h.api, standin.Listen{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Close)
	h.url = running.URLs.Coinify

	m.CopyFile("/usr/bin/tokend", build(t), 0o755)
	m.CopyFile("/usr/lib/systemd/system/"+service, service, 0o644)
	m.WriteFile("/etc/systemd/system/trader.service", traderUnit, 0o644)
	m.WriteFile("/etc/tokend-secrets/password", password+"\n", 0o600)
	h.configure("main.hcl", fmt.Sprintf(configuration, h.url, "one"))
	m.Boot()
	return h
}

// build makes the binary as it is shipped: static.
func build(t *testing.T) string {
	t.Helper()
	root, err := parts.Root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokend")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./cmd/tokend")
	cmd.Dir = root
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building tokend: %v\n%s", err, out)
	}
	return path
}

func (h *host) configure(name, text string) {
	h.t.Helper()
	h.WriteFile("/etc/tokend/"+name, text, 0o644)
}

// eventually polls what the machine says.
func (h *host) eventually(what string, ok func() (done bool, state string)) {
	h.t.Helper()
	deadline := time.After(soon)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		done, state := ok()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("after %s still not: %s; it is %s", soon, what, state)
		}
	}
}

// file waits for a file with the content, or with any if want is empty.
func (h *host) file(path, want string) (content string) {
	h.t.Helper()
	h.eventually(path+" holds "+want, func() (bool, string) {
		got, err := h.ReadFile(path)
		content = strings.TrimSpace(got)
		return err == nil && content != "" && (want == "" || content == want), fmt.Sprintf("%d bytes, %v", len(content), err)
	})
	return content
}

// token is the one in the env file, as systemd reads it, alive at the API.
func (h *host) token() string {
	h.t.Helper()
	token := h.Environ(envFile)["TOKEN"]
	if tok, ok := h.api.Lookup(standin.Coinify, token); !ok || !tok.Alive {
		h.t.Fatalf("the token in %s is not one that is alive at the API (known: %t)", envFile, ok)
	}
	return token
}

// wantCounts compares what the API has seen.
func (h *host) wantCounts(grants, refreshes, revocations int) {
	h.t.Helper()
	c := h.api.Counts(standin.Coinify)
	if c.Grants != grants || c.Refreshes != refreshes || c.Revocations != revocations {
		h.t.Errorf("the API has seen %d grants, %d refreshes and %d revocations, want %d, %d and %d", c.Grants, c.Refreshes, c.Revocations, grants, refreshes, revocations)
	}
}

func TestTokendUnderSystemd(t *testing.T) {
	h := newHost(t)

	if out, code := h.Run("systemd-analyze", "verify", "/usr/lib/systemd/system/"+service); code != 0 || strings.Contains(out, service) {
		t.Errorf("systemd-analyze verify: exit status %d\n%s", code, out)
	}

	// The trader pulls tokend in, and is started when its token is there.
	begin := time.Now()
	h.MustRun("systemctl", "start", "trader.service")
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("the start took %s: tokend waited for the trader, which waits for tokend", took)
	}
	h.WaitUnit(service, "ActiveState", "active", soon)
	h.WaitUnit("trader.service", "ActiveState", "active", soon)
	token := h.token()
	h.file(seen, token+" one")
	h.wantCounts(1, 0, 0)
	h.eventually("STATUS= says that all is ready", func() (bool, string) {
		s := h.Unit(service, "StatusText")
		return regexp.MustCompile(`^(\d+) of (\d+) ready$`).MatchString(s) && !strings.HasPrefix(s, "0"), s
	})
	if out, code := h.Run("tokend", "status"); code != 0 {
		t.Errorf("tokend status: exit status %d\n%s", code, out)
	}
	for path, want := range map[string]string{
		"/var/lib/tokend": "700 root", "/run/tokend": "755 root", "/run/tokend/tokend.sock": "600 root", envFile: "600 root",
	} {
		if got := strings.TrimSpace(h.MustRun("stat", "-c", "%a %U", path)); got != want {
			t.Errorf("%s has mode and owner %q, want %q", path, got, want)
		}
	}
	if core := h.MustRun("grep", "Max core file size", "/proc/"+h.Unit(service, "MainPID")+"/limits"); strings.Fields(core)[4] != "0" {
		t.Errorf("core dumps are not off: %s", core)
	}

	t.Run("confined", func(t *testing.T) { h.testConfined(t) })
	t.Run("change", func(t *testing.T) { h.testChange(t, token) })
	t.Run("ordered", func(t *testing.T) { h.testOrdered(t, token) })
	t.Run("reload", func(t *testing.T) { h.testReload(t) })
	t.Run("starved", func(t *testing.T) { h.testStarved(t, token) })
	t.Run("killed", func(t *testing.T) { h.testKilled(t, token) })
	t.Run("sealed", func(t *testing.T) { h.testSealed(t, token) })
	t.Run("stop", func(t *testing.T) { h.testStop(t, token) })

	if journal := h.Journal(service); strings.Contains(journal, token) || strings.Contains(journal, "correct horse") {
		t.Error("the journal shows a secret")
	}
}

// on lets a subtest fail by its own name.
func (h *host) on(t *testing.T) *host {
	c := *h
	c.t = t
	return &c
}

// testChange: a changed value reaches the trader, by the hook, without a new token.
func (h *host) testChange(t *testing.T, token string) {
	h = h.on(t)
	h.configure("main.hcl", fmt.Sprintf(configuration, h.url, "two"))
	h.file(seen, token+" two")
	h.wantCounts(1, 0, 0)
}

// testOrdered: a hook's job that systemd holds back, because it is ordered behind
// one that takes its time, holds up no worker of tokend's and is not lost.
func (h *host) testOrdered(t *testing.T, token string) {
	h = h.on(t)
	h.WriteFile("/etc/systemd/system/slow.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'until test -e /run/go; do sleep 0.1; done'\n", 0o644)
	h.WriteFile("/etc/systemd/system/trader.service.d/after.conf", "[Unit]\nAfter=slow.service\n", 0o644)
	h.MustRun("systemctl", "daemon-reload")
	h.MustRun("systemctl", "start", "--no-block", "slow.service")
	h.configure("main.hcl", fmt.Sprintf(configuration, h.url, "three"))
	h.eventually("the trader's restart is queued, and nobody waits for it", func() (bool, string) {
		jobs := h.MustRun("systemctl", "list-jobs", "--no-legend", "--plain", "trader.service")
		waiting, _ := h.Run("sh", "-c", "grep -lx systemctl /proc/[0-9]*/comm")
		return strings.Contains(jobs, "waiting") && waiting == "", jobs + waiting
	})
	if s := h.Unit("slow.service", "ActiveState"); s != "activating" {
		t.Fatalf("what the trader is ordered behind is %s already", s)
	}
	h.WriteFile("/run/go", "", 0o644)
	h.file(seen, token+" three")
}

// testReload: what reload reads is delivered; a broken directory breaks nothing.
func (h *host) testReload(t *testing.T) {
	h = h.on(t)
	// inotify says nothing of a mount: this is seen because reload was asked for.
	h.MustRun("cp", "-r", "/etc/tokend", "/etc/tokend-beside")
	h.MustRun("mount", "--bind", "/etc/tokend-beside", "/etc/tokend")
	h.configure("extra.hcl", extraSink)
	h.MustRun("systemctl", "reload", service)
	if h.file("/run/tokend/extra/token", "") != h.token() {
		t.Error("the new sink has another token")
	}
	if got := strings.TrimSpace(h.MustRun("stat", "-c", "%a %U %G", "/run/tokend/extra/token")); got != "640 root daemon" {
		t.Errorf("the new sink's file has mode and owners %q", got)
	}

	// From then on its files are watched as those before were.
	h.configure("extra.hcl", "sink \"file\" {")
	h.eventually("STATUS= says that the configuration is broken", func() (bool, string) {
		s := h.Unit(service, "StatusText")
		return strings.Contains(s, "broken"), s
	})
	if s := h.Unit(service, "ActiveState"); s != "active" {
		t.Errorf("with a broken configuration the unit is %s", s)
	}
	h.file("/run/tokend/extra/token", "")
	h.configure("extra.hcl", extraSink)
	h.eventually("STATUS= says that it is mended", func() (bool, string) {
		s := h.Unit(service, "StatusText")
		return !strings.Contains(s, "broken"), s
	})
	h.wantCounts(1, 0, 0)
}

// restarted waits until systemd has replaced the process.
func (h *host) restarted(pid string, restarts int) {
	h.t.Helper()
	h.eventually("it was restarted", func() (bool, string) {
		now, n, state := h.Unit(service, "MainPID"), h.Unit(service, "NRestarts"), h.Unit(service, "ActiveState")
		return now != "0" && now != pid && n == strconv.Itoa(restarts) && state == "active", fmt.Sprintf("%s, process %s, restarted %s times", state, now, n)
	})
}

// testStarved: a process that does not get on is replaced, and its successor goes
// on from the state.
func (h *host) testStarved(t *testing.T, token string) {
	h = h.on(t)
	h.WriteFile("/etc/systemd/system/"+service+".d/test.conf", "[Service]\nWatchdogSec=6s\nTimeoutAbortSec=1s\nRestartSec=100ms\n", 0o644)
	h.MustRun("systemctl", "daemon-reload")
	h.MustRun("systemctl", "restart", service) // the watchdog's time is that of the start
	h.file(envFile, "")
	// The watchdog is fed: it lives on for longer than the watchdog waits.
	pid := h.Unit(service, "MainPID")
	fed := time.Now().Add(10 * time.Second)
	h.eventually("the watchdog's time has passed", func() (bool, string) { return time.Now().After(fed), "not yet" })
	if now := h.Unit(service, "MainPID"); now != pid {
		t.Fatalf("the process was replaced although it got on: %s", h.Unit(service, "Result"))
	}

	h.MustRun("kill", "-STOP", pid)
	h.restarted(pid, 1)
	if journal := h.Journal(service); !strings.Contains(journal, "Watchdog timeout") {
		t.Error("it was not the watchdog that replaced it")
	}
	if got := h.token(); got != token {
		t.Error("the token is another one after the restart")
	}
	h.wantCounts(1, 0, 0)
}

// testKilled: kill -9 loses nothing.
func (h *host) testKilled(t *testing.T, token string) {
	h = h.on(t)
	pid := h.Unit(service, "MainPID")
	h.MustRun("kill", "-KILL", pid)
	h.restarted(pid, 2)
	if got := h.token(); got != token {
		t.Error("the token is another one after the restart")
	}
	h.wantCounts(1, 0, 0)
}

// testStop: a clean end, and the tokens stay where others need them.
func (h *host) testStop(t *testing.T, token string) {
	h = h.on(t)
	h.MustRun("systemctl", "stop", service)
	for property, want := range map[string]string{"ActiveState": "inactive", "Result": "success", "ExecMainCode": "1", "ExecMainStatus": "0"} {
		if got := h.Unit(service, property); got != want {
			t.Errorf("after a stop, %s is %q, want %q", property, got, want)
		}
	}
	if got := h.token(); got != token {
		t.Error("the token is gone, or another one, after a stop")
	}
	if out, code := h.Run("test", "-e", "/run/tokend/tokend.sock"); code == 0 {
		t.Errorf("the control socket is still there %s", out)
	}
	h.wantCounts(1, 0, 0)
}
