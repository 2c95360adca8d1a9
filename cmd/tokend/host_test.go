package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tokend/pkg/control"
	"tokend/pkg/standin"
)

// host is where one daemon runs: its directories, the stand-ins of the APIs, and
// the binary. The stand-ins live in the test's process, so that they outlive
// the daemon however it ends.
type host struct {
	t      *testing.T
	binary string
	dir    string // config/, state/, out/
	run    string // the control socket; a short path
	api    *standin.Server
	urls   standin.URLs
	log    *record  // all that daemons wrote
	extra  []string // environment
}

// newHost makes one. An empty binary means the one of the test itself, which
// testscript puts into the PATH.
func newHost(t *testing.T, binary string, o standin.Options) *host {
	t.Helper()
	r := &host{t: t, binary: binary, dir: t.TempDir(), api: standin.New(o), log: &record{}}
	if binary == "" {
		r.binary = "tokend"
	}
	for _, d := range []string{"config", "state", "out"} {
		if err := os.Mkdir(filepath.Join(r.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if r.run, err = os.MkdirTemp("", "tokend"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(r.run) })
	served, err := standin.Start(t.Context(), r.api, standin.Listen{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(served.Close)
	r.urls = served.URLs
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last of the daemon's log:\n%s", r.log.tail(4000))
		}
	})
	return r
}

// buildDir is where build puts the binary: TestMain's.
var buildDir string

var built = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(buildDir, "tokend")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building tokend: %w\n%s", err, out)
	}
	return binary, nil
})

// build makes the binary as it is shipped, static, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// allTests are the tests of this package, with what they share.
type allTests struct{ *testing.M }

func (m allTests) Run() int {
	var err error
	if buildDir, err = os.MkdirTemp("", "tokend-built"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(buildDir) }()
	return m.M.Run()
}

// path is a path below the host's directory.
func (r *host) path(parts ...string) string {
	return filepath.Join(append([]string{r.dir}, parts...)...)
}

// write writes a file of the configuration as an editor does: whole.
func (r *host) write(name, text string) {
	r.t.Helper()
	p := r.path("config", name)
	if err := os.WriteFile(p+"~", []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(p+"~", p); err != nil {
		r.t.Fatal(err)
	}
}

func (r *host) environ() []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + os.TempDir(), "GORACE=" + os.Getenv("GORACE"),
		"CONFIGURATION_DIRECTORY=" + r.path("config"), "STATE_DIRECTORY=" + r.path("state"), "RUNTIME_DIRECTORY=" + r.run,
		"TOKEND_VAR_out=" + r.path("out"), "TOKEND_VAR_coinify_url=" + r.urls.Coinify, "TOKEND_VAR_coinify_user_url=" + r.urls.CoinifyUser,
		"TOKEND_VAR_apirone_url=" + r.urls.Apirone, "TOKEND_VAR_coinsph_url=" + r.urls.CoinsPh,
		"TOKEND_VAR_cryptohopper_url=" + r.urls.Cryptohopper, "TOKEND_VAR_oauth2_url=" + r.urls.OAuth2,
	}, r.extra...)
}

// running is a daemon of the binary.
type running struct {
	r    *host
	cmd  *exec.Cmd
	done chan error
}

// start runs the daemon.
func (r *host) start(args ...string) *running {
	r.t.Helper()
	d := &running{r: r, cmd: exec.Command(r.binary, append([]string{"run"}, args...)...), done: make(chan error, 1)}
	d.cmd.Env, d.cmd.Stdout, d.cmd.Stderr = r.environ(), r.log, r.log
	if err := d.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { d.done <- d.cmd.Wait() }()
	r.t.Cleanup(d.kill)
	return d
}

// kill ends the daemon as a crash does, and returns once it is gone.
func (d *running) kill() {
	if d.done == nil {
		return
	}
	_ = d.cmd.Process.Signal(syscall.SIGKILL)
	<-d.done
	d.done = nil
}

// stop ends the daemon as a service manager does; it has to end well.
func (d *running) stop() {
	d.r.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.r.t.Fatal(err)
	}
	err := <-d.done
	d.done = nil
	if err != nil {
		d.r.t.Fatalf("the daemon did not stop cleanly: %v", err)
	}
}

// pages waits until the daemon that was started last, the nth of this host, says
// where it serves its pages.
func (r *host) pages(nth int) string {
	r.t.Helper()
	var at [][]string
	r.until("the daemon to say where its pages are", func(context.Context) string {
		if at = servedAt.FindAllStringSubmatch(r.log.String(), -1); len(at) < nth {
			return "it has not"
		}
		return ""
	})
	return at[len(at)-1][1]
}

var servedAt = regexp.MustCompile(`"serving health and metrics","listen":"([^"]+)"`)

// died reports whether the daemon ended by itself.
func (d *running) died() bool {
	select {
	case err := <-d.done:
		d.done <- err
		return true
	default:
		return false
	}
}

// ask is the daemon's answers.
func (r *host) ask() *remote { return &remote{control.Dial(filepath.Join(r.run, "tokend.sock"))} }

// tokend runs a command and gives what it printed and its status.
func (r *host) tokend(stdin string, args ...string) (out string, status int) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), r.binary, args...)
	var both bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = r.environ(), strings.NewReader(stdin), &both, &both
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		r.t.Fatal(err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}

// hostPatience is how long something may take that should come soon: a busy
// machine takes many times what a quiet one does.
const hostPatience = 3 * time.Minute

// until waits until check says nothing is wrong any more.
func (r *host) until(what string, check func(context.Context) string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), hostPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	wrong := "it was never looked at"
	for {
		if now := check(ctx); now == "" {
			return
		} else if ctx.Err() == nil {
			wrong = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatalf("%s did not come true: %s", what, wrong)
		}
	}
}

// tail is the end of it.
func (r *record) tail(n int) string {
	s := r.String()
	return s[max(0, len(s)-n):]
}
