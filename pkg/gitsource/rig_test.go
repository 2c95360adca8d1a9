package gitsource_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/gitsource"
)

// upstream is a real repository with a work tree, as somebody pushes to it.
type upstream struct {
	t    *testing.T
	dir  string
	key  string // of signatures; empty: none
	date time.Time
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{t: t, dir: filepath.Join(t.TempDir(), "repo"), date: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}
	check(t, os.Mkdir(u.dir, 0o755))
	u.git("init", "--quiet", "--initial-branch=main")
	return u
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (u *upstream) git(args ...string) string {
	u.t.Helper()
	return runGit(u.t, u.dir, u.date, args...)
}

func runGit(t *testing.T, dir string, at time.Time, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	stamp := at.Format(time.RFC3339)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_AUTHOR_DATE=" + stamp,
		"GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.com", "GIT_COMMITTER_DATE=" + stamp,
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// write puts a file into the work tree.
func (u *upstream) write(name, content string) {
	u.t.Helper()
	path := filepath.Join(u.dir, name)
	check(u.t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(u.t, os.WriteFile(path, []byte(content), 0o644))
}

// commit commits all that is in the work tree and returns its id.
func (u *upstream) commit(message string) string {
	u.t.Helper()
	u.date = u.date.Add(time.Minute)
	u.git("add", "--all")
	args := []string{"commit", "--quiet", "--allow-empty", "--message", message}
	if u.key != "" {
		args = append([]string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + u.key}, append(args, "--gpg-sign")...)
	}
	u.git(args...)
	return u.git("rev-parse", "HEAD")
}

// push is write and commit.
func (u *upstream) push(name, content string) string {
	u.t.Helper()
	u.write(name, content)
	return u.commit("change " + name)
}

// keyPair makes an SSH key and returns its file and its line for a file of
// allowed signers.
func keyPair(t *testing.T, principal string) (file, line string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "key")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", principal, "-f", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(file + ".pub")
	check(t, err)
	return file, principal + " " + string(public)
}

// signedUpstream is a repository whose first commit Alice signed, as she does those
// that follow.
type signedUpstream struct {
	*upstream
	first string
	line  string // Alice's, in the file of allowed signers
	o     gitsource.Options
}

func newSignedUpstream(t *testing.T) *signedUpstream {
	t.Helper()
	u := &signedUpstream{upstream: newUpstream(t)}
	u.key, u.line = keyPair(t, "alice@example.com")
	u.first = u.push("main.hcl", "one")
	u.o = gitsource.Options{URL: u.dir, Ref: "main", AllowedSigners: filepath.Join(t.TempDir(), "allowed_signers"), Dir: filepath.Join(t.TempDir(), "git")}
	u.allow(u.line)
	return u
}

// startedSigned is a repository of one signed commit, and who has started on it.
func startedSigned(t *testing.T) (u *signedUpstream, f *follower) {
	t.Helper()
	u = newSignedUpstream(t)
	f = open(t, u.o)
	f.start()
	return u, f
}

// allow has these sign, and nobody else.
func (u *signedUpstream) allow(lines ...string) {
	u.t.Helper()
	check(u.t, os.WriteFile(u.o.AllowedSigners, []byte(strings.Join(lines, "")), 0o600))
}

// followed is a repository of one commit, good, and who follows it.
func followed(t *testing.T, dir string) (u *upstream, good string, f *follower) {
	t.Helper()
	u = newUpstream(t)
	good = u.push("main.hcl", "one")
	f = open(t, gitsource.Options{URL: u.dir, Ref: "main", Dir: dir})
	f.start()
	f.follow()
	return u, good, f
}

// serve serves the directories below base with git daemon, one for each
// connection, until the test ends or stop is called.
func serve(t *testing.T, base string) (url string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	home := t.TempDir()
	var running sync.WaitGroup
	one := func(c *net.TCPConn) {
		defer running.Done()
		defer func() { _ = c.Close() }()
		f, err := c.File()
		if err != nil {
			return
		}
		defer func() { _ = f.Close() }()
		cmd := exec.Command("git", "daemon", "--inetd", "--export-all", "--base-path="+base)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
		cmd.Stdin, cmd.Stdout = f, f
		_ = cmd.Run() // a client that goes away is none of its failures
	}
	running.Add(1)
	go func() {
		defer running.Done()
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Add(1)
			go one(c.(*net.TCPConn))
		}
	}()
	stop = func() {
		_ = ln.Close()
		running.Wait()
	}
	t.Cleanup(stop)
	return "git://" + ln.Addr().String(), stop
}

const patience = 60 * time.Second

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("it did not come true within %s that %s", patience, what)
		}
	}
}

// follower is a source under test with what it logged.
type follower struct {
	*gitsource.Source
	t    *testing.T
	dir  string
	logs *logs
}

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t *testing.T, o gitsource.Options) *follower {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "git")
	}
	if o.Environ == nil {
		o.Environ = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	}
	if o.Interval == 0 {
		o.Interval = time.Hour
	}
	said := &logs{}
	o.Logger = slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := gitsource.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &follower{s, t, o.Dir, said}
}

// follow runs a source in the background.
func (f *follower) follow() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); f.Run(ctx) }()
	f.t.Cleanup(func() { cancel(); <-ended })
}

func (f *follower) start() {
	f.t.Helper()
	if err := f.Start(f.t.Context()); err != nil {
		f.t.Fatalf("%v\n%s", err, f.logs)
	}
}

// wantFile looks at a file of the checkout; "" where there must be none.
func (f *follower) wantFile(name, want string) {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.Dir(), name))
	switch {
	case want == "" && err == nil:
		f.t.Errorf("%s is there, with %q", name, b)
	case want != "" && (err != nil || string(b) != want):
		f.t.Errorf("%s = %q, %v, want %q", name, b, err, want)
	}
}

// becomes waits until the checkout is of a commit.
func (f *follower) becomes(commit string) {
	f.t.Helper()
	until(f.t, "commit "+commit+" is checked out; the log says:\n"+f.logs.String(), func() bool { return f.Commit() == commit && f.Status().Commit == commit })
}

// fails waits until the status has an error with a text in it.
func (f *follower) fails(text string) {
	f.t.Helper()
	until(f.t, "the status says "+text, func() bool { return strings.Contains(f.Status().Error, text) })
}
