package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/providers/catalog"
	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// lab is one tokend of a test's own: a directory of configuration, a state, a
// control socket, and stand-ins of the APIs, which the built-in provider types
// of this tokend have for their addresses.
type lab struct {
	t       *testing.T
	config  string // directory of the configuration
	state   string
	out     string // for what sinks write
	catalog fs.FS
	flags   []string // of every command
	env     map[string]string
	api     *standin.Server
	urls    standin.URLs
	daemon  *background
}

// background is a `tokend run` under way.
type background struct {
	log    *record
	cancel context.CancelFunc
	status chan int
}

// patience is how long something may take that should come soon: tests run
// beside others on two cores.
const patience = 60 * time.Second

func newLab(t *testing.T, rules standin.Rules) *lab {
	t.Helper()
	l := &lab{t: t, config: t.TempDir(), state: t.TempDir(), out: t.TempDir(), env: map[string]string{}}
	if rules.ExpiresIn == "" {
		rules.ExpiresIn = standin.ExpiryNumber
	}
	l.api = standin.New(standin.Options{AnyAccount: true, AutoApprove: true, Rules: rules})
	started, err := standin.Start(t.Context(), l.api, standin.Listen{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(started.Close)
	l.urls = started.URLs
	types := t.TempDir()
	p := playground{urls: l.urls}
	if err := copyTree(types, catalog.FS, p.pointAtStandins); err != nil {
		t.Fatal(err)
	}
	l.catalog = os.DirFS(types)
	// Short, since the path of a Unix socket has at most 107 bytes.
	runtime, err := os.MkdirTemp("", "tokend")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(runtime) })
	for name, value := range map[string]string{
		"CONFIGURATION_DIRECTORY": l.config, "STATE_DIRECTORY": l.state, "RUNTIME_DIRECTORY": runtime, "PATH": os.Getenv("PATH"),
		"TOKEND_VAR_out": l.out,
	} {
		l.env[name] = value
	}
	t.Cleanup(l.stop)
	return l
}

// write writes a file of the configuration, as an editor does: whole.
func (l *lab) write(name, content string) {
	l.t.Helper()
	path := filepath.Join(l.config, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(path+"~", []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		l.t.Fatal(err)
	}
}

// edit replaces texts in a file of the configuration, each by the one after it,
// in one change.
func (l *lab) edit(name string, fromTo ...string) {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.config, name))
	if err != nil {
		l.t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(fromTo); i += 2 {
		if !strings.Contains(text, fromTo[i]) {
			l.t.Fatalf("%s has no %q", name, fromTo[i])
		}
		text = strings.Replace(text, fromTo[i], fromTo[i+1], 1)
	}
	l.write(name, text)
}

func (l *lab) remove(names ...string) {
	l.t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(l.config, name)); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lab) globals(in io.Reader, out, err io.Writer, args []string) *globals {
	p := process{args: append(append([]string(nil), args...), l.flags...), in: in, out: out, err: err}
	for name, value := range l.env {
		p.environ = append(p.environ, name+"="+value)
	}
	return &globals{process: p, catalog: l.catalog}
}

// tokend runs a command line to its end.
func (l *lab) tokend(args ...string) (said string, status int) {
	l.t.Helper()
	var out record // a command's log and its own words come from several goroutines
	status = l.globals(strings.NewReader(""), &out, &out, args).run(l.t.Context())
	return out.String(), status
}

// must is tokend for a command line that has to succeed.
func (l *lab) must(args ...string) string {
	l.t.Helper()
	said, status := l.tokend(args...)
	if status != 0 {
		l.t.Fatalf("tokend %s: exit status %d\n%s", strings.Join(args, " "), status, said)
	}
	return said
}

// start starts the daemon and waits until it answers.
func (l *lab) start() {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	d := &background{log: &record{}, cancel: cancel, status: make(chan int, 1)}
	l.daemon = d
	go func() {
		d.status <- l.globals(strings.NewReader(""), d.log, d.log, []string{"run", "--log-level", "debug"}).run(ctx)
	}()
	l.until("the daemon answers", func() (bool, string) {
		select {
		case status := <-d.status:
			d.status <- status
			l.t.Fatalf("the daemon ended with %d:\n%s", status, d.log)
		default:
		}
		// Not by a command, which would work on the state itself while it is free.
		c, err := net.Dial("unix", filepath.Join(l.env["RUNTIME_DIRECTORY"], "tokend.sock"))
		if err != nil {
			return false, err.Error()
		}
		return true, fmt.Sprint(c.Close())
	})
}

// stop ends the daemon, if one runs, and looks at how it ended.
func (l *lab) stop() {
	l.t.Helper()
	d := l.daemon
	if d == nil {
		return
	}
	l.daemon = nil
	d.cancel()
	if status := <-d.status; status != 0 {
		l.t.Errorf("the daemon ended with %d", status)
	}
	if l.t.Failed() {
		l.t.Logf("the daemon said:\n%s", d.log)
	}
}

// status asks how everything does.
func (l *lab) status() statusReply {
	l.t.Helper()
	said, _ := l.tokend("status", "--json")
	var r statusReply
	if err := json.Unmarshal([]byte(said), &r); err != nil {
		l.t.Fatalf("reading the status: %v\n%s", err, said)
	}
	return r
}

// line is how one address does; its State is empty when nobody knows it.
func (l *lab) line(addr string) reconcile.Line {
	l.t.Helper()
	r := l.status()
	for _, lines := range [][]reconcile.Line{r.Credentials, r.Sinks, r.Hooks} {
		for _, x := range lines {
			if x.Address == addr {
				return x
			}
		}
	}
	return reconcile.Line{}
}

// until asks until it is so, and ends the test when that takes too long.
func (l *lab) until(what string, so func() (bool, string)) {
	l.t.Helper()
	l.within(patience, what, so)
}

func (l *lab) within(limit time.Duration, what string, so func() (bool, string)) {
	l.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, said := so()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			l.t.Fatalf("it did not come true within %v that %s; last: %s", limit, what, said)
		}
	}
}

// untilReady waits until every address is ready, n of them.
func (l *lab) untilReady(n int) {
	l.t.Helper()
	l.until("everything is ready", func() (bool, string) {
		r := l.status()
		said, _ := l.tokend("status")
		return r.FirstPass && r.Counts[reconcile.Ready] == n && len(r.Credentials)+len(r.Sinks) == n, said
	})
}

// untilState waits until an address has a standing.
func (l *lab) untilState(addr string, want reconcile.State) reconcile.Line {
	l.t.Helper()
	var got reconcile.Line
	l.until(addr+" is "+string(want), func() (bool, string) {
		got = l.line(addr)
		return got.State == want, string(got.State) + ": " + got.Why
	})
	return got
}

// untilFile waits until a file holds something other than before, and returns
// it.
func (l *lab) untilFile(path, before string) string {
	l.t.Helper()
	var got string
	l.until(path+" changes", func() (bool, string) {
		b, err := os.ReadFile(path)
		got = string(b)
		return err == nil && got != before && got != "", got
	})
	return got
}

// login logs in by --paste, as somebody whom the stand-in lets in at once.
func (l *lab) login(addr string) {
	l.t.Helper()
	l.until(addr+" can be logged in to", func() (bool, string) {
		got := l.line("credential." + addr).State
		return got == reconcile.NeedsLogin || got == reconcile.Ready, string(got)
	})
	in, paste := io.Pipe()
	urls := &record{}
	var said record
	ended := make(chan int, 1)
	go func() { ended <- l.globals(in, urls, &said, []string{"login", "--paste", addr}).run(l.t.Context()) }()
	redirect := approve(l, urls.String)
	if _, err := io.WriteString(paste, redirect+"\n"); err != nil {
		l.t.Fatal(err)
	}
	if status := <-ended; status != 0 {
		l.t.Fatalf("logging in to %s: exit status %d\n%s", addr, status, said.String())
	}
}

// approve waits for the address that a login printed, goes there as a browser
// does, and returns where the stand-in sends it.
func approve(l *lab, printed func() string) string {
	l.t.Helper()
	var url string
	l.until("login prints an address", func() (bool, string) {
		var whole bool
		url, _, whole = strings.Cut(printed(), "\n")
		return whole, url
	})
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(url)
	if err != nil {
		l.t.Fatal(err)
	}
	res.Body.Close()
	return res.Header.Get("Location")
}

// record keeps what is written to it. It is safe for concurrent use.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}
