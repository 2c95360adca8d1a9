package watch_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/watch"
)

// Some things can only be had for a whole process: another user, limits of
// inotify, a mount, being stopped. For these the test binary runs itself, in
// the mode that the environment names.
const modeEnv = "TOKEND_WATCH_TEST_MODE"

func TestMain(m *testing.M) {
	fail := func(format string, args ...any) {
		fmt.Printf("FAIL "+format+"\n", args...)
		os.Exit(1)
	}
	dir := os.Getenv("TOKEND_WATCH_TEST_DIR")
	switch os.Getenv(modeEnv) {
	case "":
		os.Exit(m.Run())
	case "unreadable":
		unreadable(dir, fail)
	case "limits":
		limits(dir, fail)
	case "instances":
		instances(dir, fail)
	case "mounted":
		mounted(dir, 200*time.Millisecond, func(*watch.Watcher, watch.Group) {}, fail)
	case "mounted and set":
		mounted(dir, time.Hour, func(w *watch.Watcher, g watch.Group) { w.Set(g) }, fail)
	case "overlay":
		silent(dir, overlay, fail)
	case "remote":
		silent(dir, elsewhere, fail)
	case "report":
		report(dir)
	}
}

// child prepares a run of this binary in a mode. /proc/self/exe is reachable
// for every user, wherever the binary is.
func child(t *testing.T, mode, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), modeEnv+"="+mode, "TOKEND_WATCH_TEST_DIR="+dir)
	cmd.Dir = "/"
	return cmd
}

// runAs runs a mode as an ordinary user, or as attr says, in a directory that
// belongs to that user.
func runAs(t *testing.T, mode string, attr *syscall.SysProcAttr) {
	t.Helper()
	dir := t.TempDir()
	for d := dir; strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
		check(t, os.Chmod(d, 0o755))
	}
	if attr == nil {
		attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		check(t, os.Chown(dir, 65534, 65534))
	}
	cmd := child(t, mode, dir)
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if strings.HasPrefix(string(out), "SKIP ") {
		t.Skipf("watch: %s", strings.TrimPrefix(strings.TrimSpace(string(out)), "SKIP "))
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", mode, err, out)
	}
}

// namespace is a user namespace in which the limits of inotify are our own and
// mounting is allowed.
func namespace(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	attr := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	probe := exec.Command("true")
	probe.SysProcAttr = attr
	if err := probe.Run(); err != nil {
		t.Skipf("watch: no user namespace can be made here, so limits and mounts are not tried: %v", err)
	}
	return attr
}

func TestLimitOfWatchesIsSurvived(t *testing.T)   { t.Parallel(); runAs(t, "limits", namespace(t)) }
func TestLimitOfInstancesIsSurvived(t *testing.T) { t.Parallel(); runAs(t, "instances", namespace(t)) }
func TestMountIsFoundByTheRescan(t *testing.T)    { t.Parallel(); runAs(t, "mounted", namespace(t)) }
func TestMountIsFoundBySet(t *testing.T)          { t.Parallel(); runAs(t, "mounted and set", namespace(t)) }

func setLimit(name string, n int, fail func(string, ...any)) {
	if err := os.WriteFile("/proc/sys/user/"+name, []byte(fmt.Sprint(n)), 0); err != nil {
		fmt.Printf("SKIP the limits cannot be set here: %v\n", err)
		os.Exit(0)
	}
}

func must(err error, fail func(string, ...any)) {
	if err != nil {
		fail("%v", err)
	}
}

func expect(w *watch.Watcher, path, what string, fail func(string, ...any)) {
	deadline := time.After(patience)
	for {
		select {
		case tick := <-w.C():
			for _, p := range tick.Paths {
				if p == path {
					return
				}
			}
		case <-deadline:
			fail("%s: no tick for %s; degraded: %q", what, path, w.Degraded())
		}
	}
}

func untilDegraded(w *watch.Watcher, ok func(string) bool, fail func(string, ...any)) {
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok(w.Degraded()) {
		select {
		case <-w.C():
		case <-tick.C:
		case <-deadline:
			fail("Degraded() stays %q", w.Degraded())
		}
	}
}

// limits: there are watches for some directories and not for others.
func limits(dir string, fail func(string, ...any)) {
	seen, unseen := filepath.Join(dir, "a"), filepath.Join(dir, "x", "y", "z")
	must(os.MkdirAll(unseen, 0o755), fail)
	setLimit("max_inotify_watches", strings.Count(seen, "/"), fail) // one for each directory on the way to seen
	w := watch.New(watch.Options{Poll: 20 * time.Millisecond, Rescan: 400 * time.Millisecond})
	w.Set(files(seen))
	if why := w.Degraded(); why != "" {
		fail("Degraded() = %q before the limit is reached", why)
	}
	path := filepath.Join(unseen, "token")
	w.Add("sinks", path)
	if why := w.Degraded(); !strings.Contains(why, unseen) || !strings.Contains(why, "max_user_watches") {
		fail("Degraded() = %q, want the directory and the limit's name", why)
	}
	must(os.WriteFile(path, []byte("1"), 0o600), fail)
	expect(w, path, "created in a directory without a watch", fail)
	must(os.Chmod(path, 0o644), fail)
	expect(w, path, "chmod in a directory without a watch", fail)
	must(os.WriteFile(seen, []byte("1"), 0o600), fail)
	expect(w, seen, "created in a directory with a watch", fail)
	setLimit("max_inotify_watches", 1000, fail)
	untilDegraded(w, func(s string) bool { return s == "" }, fail)
	must(os.WriteFile(path, []byte("2"), 0o600), fail)
	expect(w, path, "by an event again", fail)
	w.Close()
}

// instances: there is no inotify at all.
func instances(dir string, fail func(string, ...any)) {
	path, conf := filepath.Join(dir, "token"), filepath.Join(dir, "conf")
	must(os.MkdirAll(conf, 0o755), fail)
	setLimit("max_inotify_instances", 0, fail)
	w := watch.New(watch.Options{Poll: 20 * time.Millisecond, Rescan: 400 * time.Millisecond})
	w.Set(files(path), config(conf))
	if why := w.Degraded(); !strings.Contains(why, "max_user_instances") {
		fail("Degraded() = %q, want the limit's name", why)
	}
	must(os.WriteFile(path, []byte("1"), 0o600), fail)
	expect(w, path, "created", fail)
	must(os.WriteFile(filepath.Join(conf, "a.hcl"), []byte("1"), 0o600), fail)
	expect(w, conf, "created in the directory", fail)
	must(os.RemoveAll(conf), fail)
	expect(w, conf, "the directory is removed", fail)
	setLimit("max_inotify_instances", 10, fail)
	untilDegraded(w, func(s string) bool { return s == "" }, fail)
	must(os.WriteFile(path, []byte("2"), 0o600), fail)
	expect(w, path, "by an event again", fail)
	w.Close()
}

// mounted: a file system is mounted over a watched directory, of which inotify
// says nothing, but the rescan, or another Set, finds out.
func mounted(dir string, rescan time.Duration, again func(*watch.Watcher, watch.Group), fail func(string, ...any)) {
	conf := filepath.Join(dir, "conf")
	must(os.MkdirAll(conf, 0o755), fail)
	w := watch.New(watch.Options{Rescan: rescan})
	w.Set(config(conf))
	if err := unix.Mount("tmpfs", conf, "tmpfs", 0, ""); err != nil {
		fmt.Printf("SKIP nothing can be mounted here: %v\n", err)
		os.Exit(0)
	}
	again(w, config(conf))
	expect(w, conf, "mounted over", fail)
	must(os.WriteFile(filepath.Join(conf, "a.hcl"), []byte("1"), 0o600), fail)
	expect(w, conf, "created in what was mounted", fail)
	must(unix.Unmount(conf, 0), fail)
	again(w, config(conf))
	expect(w, conf, "unmounted", fail)
	must(os.WriteFile(filepath.Join(conf, "b.hcl"), []byte("1"), 0o600), fail)
	expect(w, conf, "created in what was there before", fail)
	w.Close()
}

// report prints every tick, for a parent that stops this process.
func report(dir string) {
	w := watch.New(watch.Options{Rescan: time.Hour})
	w.Set(config(dir), files(filepath.Join(dir, "sub", "token")))
	fmt.Println("ready")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends with the parent
		os.Exit(0)
	}()
	for tick := range w.C() {
		if tick.Paths == nil {
			fmt.Println(tick.Group, "all")
			continue
		}
		fmt.Println(tick.Group, strings.Join(tick.Paths, " "))
	}
}

// A process that is stopped for a while, or starved, finds inotify's queue
// overflown: the event that mattered is not in it.
func TestOverflowMakesEverythingWorthALook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := filepath.Join(mkdir(t, dir, "sub"), "token")
	queue := 16384
	if b, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events"); err == nil {
		_, _ = fmt.Sscan(string(b), &queue)
	}
	if queue > 200_000 {
		t.Skipf("watch: inotify's queue holds %d events here, too many to overflow", queue)
	}
	cmd := child(t, "report", dir)
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	wantLine := func(want string) {
		t.Helper()
		deadline := time.After(patience)
		for {
			select {
			case l := <-lines:
				if l == want {
					return
				}
			case <-deadline:
				t.Fatalf("the watcher did not say %q within %s", want, patience)
			}
		}
	}
	wantLine("ready")
	check(t, cmd.Process.Signal(syscall.SIGSTOP))
	noise := [2]string{filepath.Join(dir, "noise1"), filepath.Join(dir, "noise2")}
	put(t, noise[0], "")
	for i := range queue + 2*4096 + 2048 { // the queue, and what the process has read of it
		check(t, os.Rename(noise[i%2], noise[(i+1)%2]))
	}
	// Of this nobody hears: the directory is another one from now on.
	check(t, os.RemoveAll(filepath.Dir(token)))
	mkdir(t, filepath.Dir(token))
	put(t, token, "1")
	check(t, cmd.Process.Signal(syscall.SIGCONT))
	wantLine("sinks all")
	put(t, token, "2")
	wantLine("sinks " + token)
}
