package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// The times that are waited leave time for the reading.
func TestAdditionsAreInTime(t *testing.T) {
	const reading = 400 * time.Millisecond
	if configQuiet+lockQuiet+unlockedLook+reading > 2*time.Second {
		t.Error("an addition may act later than two seconds after the last event")
	}
	if configMaxDelay+lockPatient+unlockedLook+reading > 5*time.Second {
		t.Error("an addition may act later than five seconds after the first event")
	}
}

// A half of a commit is not read while git writes the other one; but whoever was
// killed at it holds nothing up for good: not for longer than a while after the last
// event, and a longer one after the first.
func TestChangeWaitsForGit(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }
	var s settling
	for _, c := range []struct {
		now, event int
		waits      bool
	}{
		{1050, 1000, true}, {1100, 1000, true}, {2499, 1000, true}, {2500, 1000, true}, {2550, 1000, false}, // since it was told, who was late
		{2600, 2500, true}, {3999, 2500, true}, {4000, 2500, false},
		{4001, 4000, true}, {4049, 4040, true}, {4050, 4040, false}, {4100, 4090, false},
	} {
		if s = s.told(at(c.now), at(c.event)); s.patient(at(c.now)) != c.waits {
			t.Errorf("at %d ms, the last event at %d: waits %v", c.now, c.event, !c.waits)
		}
	}
	if s = (settling{}).told(at(0), time.Time{}); !s.patient(at(1499)) || s.patient(at(1500)) {
		t.Error("where nobody saw an event, it is not waited as after one")
	}
}

const settleBase = `
tokend {
  guard {
    settle              = "300ms"
    max_revocations     = 1000
    max_revoked_percent = 100
  }
}
variable "out" { type = string }
credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.env.key.value
}
secret "env" "key" { name = "KEY" }
`

func settleLab(t *testing.T) *lab {
	l := newLab(t, standin.Rules{})
	l.env["KEY"] = "k"
	l.write("main.hcl", settleBase)
	return l
}

// sinkFile declares a sink, and is said by its content which version it is of.
func sinkFile(name, content string) string {
	return fmt.Sprintf("sink \"file\" %q {\n  path    = \"${var.out}/%s\"\n  content = %q\n}\n", name, name, content)
}

func (l *lab) untilContent(name, want string) {
	l.t.Helper()
	l.until(name+" holds "+want, func() (bool, string) {
		b, err := os.ReadFile(filepath.Join(l.out, name))
		if want == "" {
			return os.IsNotExist(err), string(b)
		}
		return string(b) == want, fmt.Sprint(string(b), err)
	})
}

func (l *lab) git(args ...string) {
	l.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = l.config
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.t.TempDir(), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.com"}
	if out, err := cmd.CombinedOutput(); err != nil {
		l.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// A git checkout, and a git pull, of hundreds of files: what it adds is written,
// what it takes away is removed, and no half of it is ever taken for a
// configuration: each file names what another one of the same commit declares.
func TestCheckoutOfHundredsOfFiles(t *testing.T) {
	for name, change := range map[string]func(l *lab, newest string){
		"checkout": func(l *lab, newest string) { l.git("checkout", "--quiet", newest) },
		"pull": func(l *lab, newest string) {
			origin := filepath.Join(t.TempDir(), "origin.git")
			l.git("init", "--quiet", "--bare", origin)
			l.git("push", "--quiet", origin, newest+":main")
			l.git("switch", "--quiet", "--force-create", "main")
			l.git("pull", "--quiet", "--ff-only", origin, "main")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkoutOfHundreds(t, change)
		})
	}
}

func checkoutOfHundreds(t *testing.T, change func(l *lab, newest string)) {
	const files = 200
	l := settleLab(t)
	l.git("init", "--quiet", "--initial-branch=main")
	write := func(version string, from, to int) {
		for i := from; i < to; i++ {
			other := from + (i-from+files/2)%(to-from)
			l.write(fmt.Sprintf("s%03d.hcl", i), fmt.Sprintf("locals { v%d = \"%s\" }\n", i, version)+
				strings.Replace(sinkFile(fmt.Sprintf("s%03d", i), "X"), `"X"`, fmt.Sprintf("local.v%d", other), 1))
		}
	}
	write("one", 0, files)
	l.git("add", ".")
	l.git("commit", "--quiet", "--message", "one")
	for i := range files / 2 {
		l.remove(fmt.Sprintf("s%03d.hcl", i))
	}
	write("two", files/2, files+files/2)
	l.git("add", ".")
	l.git("commit", "--quiet", "--message", "two")
	l.git("tag", "newest")
	l.git("checkout", "--quiet", "HEAD~1")
	l.start()
	l.untilContent("s199", "one")
	l.untilContent("s000", "one")

	change(l, "newest")
	l.untilContent("s299", "two")
	l.untilContent("s199", "two")
	l.untilContent("s000", "")
	l.untilContent("s099", "")
	if said := l.daemon.log.String(); strings.Contains(said, "not taken over") {
		t.Errorf("a half of a commit was read:\n%s", said)
	}
}

// While git's lock is there, also one that a killed git left, nothing is
// removed; what is added is, after a while.
func TestRemovalWaitsForGit(t *testing.T) {
	t.Parallel()
	l := settleLab(t)
	l.git("init", "--quiet")
	l.write("gone.hcl", sinkFile("gone", "here"))
	l.start()
	l.untilContent("gone", "here")
	lock := filepath.Join(l.config, ".git", "index.lock")
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l.remove("gone.hcl")
	l.write("added.hcl", sinkFile("added", "new"))
	l.untilContent("added", "new")
	l.until("the status says why the removal waits", func() (bool, string) {
		said, _ := l.tokend("status")
		return strings.Contains(said, "git is at work in the configuration's directory"), said
	})
	if b, err := os.ReadFile(filepath.Join(l.out, "gone")); string(b) != "here" {
		t.Errorf("it was removed in spite of the lock: %q, %v", b, err)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	l.untilContent("gone", "")
}

// Files that never hold still hold up neither an addition nor, in the end, a
// removal.
func TestAdditionActsInUnrest(t *testing.T) {
	t.Parallel()
	l := settleLab(t)
	l.start()
	l.untilReady(1)
	ended, stop := make(chan struct{}), make(chan struct{})
	restless := filepath.Join(l.config, "restless")
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
				_ = os.WriteFile(restless, fmt.Append(nil, i), 0o600)
			case <-stop:
				return
			}
		}
	}()
	l.write("added.hcl", sinkFile("added", "new"))
	l.untilContent("added", "new")
	close(stop)
	<-ended
}

// The ways in which a directory comes to hold something else, each as it
// happens, up to the sink.
func TestConfigurationChangesByEveryWay(t *testing.T) {
	t.Parallel()
	l := settleLab(t)
	root := t.TempDir()
	config := func(rev, content string) string {
		dir := filepath.Join(root, rev)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"main.hcl": settleBase, "s.hcl": sinkFile("s", content)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	swap := func(to, link string) {
		t.Helper()
		do(os.Symlink(to, link+".new"))
		do(os.Rename(link+".new", link))
	}
	config("rev-1", "1")
	link := filepath.Join(root, "current")
	swap("rev-1", link)
	l.config = link
	l.env["CONFIGURATION_DIRECTORY"] = link
	l.start()
	l.untilContent("s", "1")

	file := filepath.Join(root, "rev-1", "s.hcl")
	do(os.WriteFile(file, []byte(sinkFile("s", "in place")), 0o600))
	l.untilContent("s", "in place")
	do(os.WriteFile(file+"~", []byte(sinkFile("s", "renamed over")), 0o600))
	do(os.Rename(file+"~", file))
	l.untilContent("s", "renamed over")
	config("rev-2", "git-sync")
	swap("rev-2", link)
	l.untilContent("s", "git-sync")

	// Kubernetes: files are links through ..data, which is swapped.
	mount := filepath.Join(root, "mount")
	do(os.Mkdir(mount, 0o700))
	config("mount/..1", "configmap 1")
	swap("..1", filepath.Join(mount, "..data"))
	for _, name := range []string{"main.hcl", "s.hcl"} {
		do(os.Symlink(filepath.Join("..data", name), filepath.Join(mount, name)))
	}
	swap("mount", link)
	l.untilContent("s", "configmap 1")
	config("mount/..2", "configmap 2")
	swap("..2", filepath.Join(mount, "..data"))
	l.untilContent("s", "configmap 2")

	// Removed and made again: nothing is removed meanwhile, since what cannot be
	// read changes nothing.
	config("dir", "a directory")
	do(os.RemoveAll(link))
	do(os.Rename(filepath.Join(root, "dir"), link))
	l.untilContent("s", "a directory")
	do(os.RemoveAll(link))
	l.until("it is said that there is no directory", func() (bool, string) {
		said, _ := l.tokend("status")
		return strings.Contains(said, "is broken since"), said
	})
	do(os.Rename(config("made", "made again"), link))
	l.untilContent("s", "made again")
}
