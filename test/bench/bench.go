package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tokend/pkg/standin"
)

// bench is one run of the program: its directories, the stand-in, and a state
// that has everything recorded.
type bench struct {
	o      options
	table  *table
	dir    string // on a disk; removed at the end
	shm    string // on a tmpfs; removed at the end
	inputs string // in dir, apart from the log and the state: what the configuration reads is watched with its directory
	tokend string

	standin *exec.Cmd
	hold    io.Closer // the stand-in's standard input: it ends with it
	urls    announcement

	conf, state string // the directory with all records, and its state
	filled      bool
	running     *daemon // on them; nil: none
	extra       int     // blocks of the obtain part in conf
	single      int     // credentials of the change part in conf
}

type announcement struct {
	standin.URLs
	CAFile string `json:"ca_file"`
}

// everlasting tokens need no refresh while anything is measured.
const everlasting = `{"access_lifetime":"720h","refresh_lifetime":"2400h"}`

func newBench(ctx context.Context, o options) (*bench, error) {
	b := &bench{o: o, tokend: o.binary}
	var err error
	if b.dir, err = os.MkdirTemp(o.dir, "tokend-bench-"); err != nil {
		return nil, err
	}
	b.inputs = filepath.Join(b.dir, "inputs")
	if err = os.Mkdir(b.inputs, 0o700); err != nil {
		b.close()
		return nil, err
	}
	if b.shm, err = os.MkdirTemp(o.shm, "tokend-bench-"); err != nil {
		b.close()
		return nil, err
	}
	if onTmpfs(b.dir) {
		b.say("%s is on a tmpfs, where a disk sync costs nothing: name a directory on a disk with -dir", o.dir)
	}
	b.conf, b.state = filepath.Join(b.dir, "conf"), filepath.Join(b.dir, "state")
	if err := b.build(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func onTmpfs(dir string) bool {
	var fs syscall.Statfs_t
	const tmpfs = 0x01021994
	return syscall.Statfs(dir, &fs) == nil && fs.Type == tmpfs
}

func (b *bench) close() {
	if b.running != nil {
		_ = b.running.cmd.Process.Kill()
		<-b.running.ended
	}
	b.silence()
	for _, dir := range []string{b.dir, b.shm} {
		if dir != "" {
			_ = os.RemoveAll(dir)
		}
	}
}

// silence ends the stand-in: nobody answers any more.
func (b *bench) silence() {
	if b.standin == nil {
		return
	}
	b.hold.Close()
	_ = b.standin.Wait()
	b.standin = nil
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (b *bench) detail(format string, args ...any) {
	if b.o.verbose {
		b.say("  "+format, args...)
	}
}

// build makes the binaries and starts the stand-in.
func (b *bench) build(ctx context.Context) error {
	server := filepath.Join(b.dir, "standin")
	targets := map[string]string{server: "tokend/test/standin"}
	if b.tokend == "" {
		b.tokend = filepath.Join(b.dir, "tokend")
		targets[b.tokend] = "tokend/cmd/tokend"
	}
	for out, pkg := range targets {
		cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", out, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", pkg, err, text)
		}
	}
	return b.serve(ctx, server)
}

func (b *bench) serve(ctx context.Context, server string) error {
	b.standin = exec.Command(server, "-with-stdin", "-tls", "-ca", filepath.Join(b.inputs, "ca.pem"), "-request-log", "-1", "-token-log", "1000", "-rules", everlasting)
	b.standin.Stderr = os.Stderr
	// Both clients speak HTTP/1.1, so that there are as many requests in flight
	// as connections.
	b.standin.Env = append(os.Environ(), "GODEBUG=http2server=0")
	b.standin.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := b.standin.StdinPipe()
	if err != nil {
		return err
	}
	out, err := b.standin.StdoutPipe()
	if err != nil {
		return err
	}
	if err := b.standin.Start(); err != nil {
		b.standin = nil
		return fmt.Errorf("starting the stand-in: %w", err)
	}
	b.hold = in
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading where the stand-in is: %w", err)
	}
	return json.Unmarshal(line, &b.urls)
}

// counts is what the stand-in was asked so far.
func (b *bench) counts(ctx context.Context) (c standin.Counts, err error) {
	err = b.tell(ctx, "GET", "/counts?api=coinify", "", &c)
	return c, err
}

// latency makes the stand-in wait before each answer.
func (b *bench) latency(ctx context.Context, d time.Duration) error {
	return b.tell(ctx, "PATCH", "/rules?api=coinify", fmt.Sprintf(`{"latency":%q}`, d), nil)
}

func (b *bench) tell(ctx context.Context, method, path, body string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, b.urls.Control+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking the stand-in %s %s: %s: %s", method, path, resp.Status, reply)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(reply, out)
}
