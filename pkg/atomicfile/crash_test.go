package atomicfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokend/pkg/atomicfile"
)

// wholeSize is large enough that a file is not written at one stroke.
const wholeSize = 3 << 20

// version is a large content of one letter.
func version(n int) []byte {
	return bytes.Repeat([]byte{'a' + byte(n%26)}, wholeSize-n%3)
}

// whole reports whether a file is one version from its beginning to its end.
func whole(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	n := int(b[0] - 'a')
	for v := n; v < n+78; v += 26 { // of 26 letters and 3 lengths
		if len(b) == wholeSize-v%3 {
			return bytes.Count(b, b[:1]) == len(b)
		}
	}
	return false
}

// TestKilledWriter kills a writer at any moment, many times. A reader finds the
// old or the new file, whole, all the time, and what is left behind is swept.
func TestKilledWriter(t *testing.T) {
	if isChild("writer") {
		writeForever(t, os.Getenv(childArg))
		return
	}
	const kills = 40
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	if err := atomicfile.WriteFile(path, version(0), atomicfile.Attr{}); err != nil {
		t.Fatal(err)
	}
	found := 0
	for kill := range kills {
		c := child(t, "writer", path, nil)
		if err := c.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitTemp(t, dir, c)
		watchUntil(t, path, time.Duration(kill)*211*time.Microsecond)
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.cmd.Wait()
		if got, err := os.ReadFile(path); err != nil || !whole(got) {
			t.Fatalf("after a kill the file is %d bytes, not one whole version (%v)", len(got), err)
		}
		left := leftovers(t, dir)
		found += len(left)
		var w atomicfile.Writer
		write(t, &w, path, string(version(kill)), atomicfile.Attr{})
		w.Close()
		if left := leftoversWithContent(t, dir); left != nil {
			t.Fatalf("the next write left %q unswept", left)
		}
	}
	if found == 0 {
		t.Error("no kill left an unfinished file: the test tests little")
	}
}

func writeForever(t *testing.T, path string) {
	var w atomicfile.Writer
	for n := 0; ; n++ {
		if _, err := w.Write(path, version(n), atomicfile.Attr{}); err != nil {
			t.Fatal(err)
		}
	}
}

// awaitTemp waits until the child is writing.
func awaitTemp(t *testing.T, dir string, c *childProcess) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		if len(leftovers(t, dir)) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("the child does not write:\n%s", c.out.Bytes())
		}
	}
}

// watchUntil reads for a while and wants whole versions.
func watchUntil(t *testing.T, path string, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		if got, err := os.ReadFile(path); err != nil || !whole(got) {
			t.Fatalf("a reader saw %d bytes that are no whole version (%v)", len(got), err)
		}
	}
}

// leftoversWithContent leaves out empty files, which hold no secret and are
// spared for a while.
func leftoversWithContent(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, name := range leftovers(t, dir) {
		if st := stat(t, filepath.Join(dir, name)); st.Size > 0 {
			out = append(out, name)
		}
	}
	return out
}

// TestSweepSparesTheLiving sweeps while another process writes, which must not
// notice, not even when it is stopped in the middle.
func TestSweepSparesTheLiving(t *testing.T) {
	if isChild("writer") {
		writeForever(t, os.Getenv(childArg))
		return
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	c := child(t, "writer", path, nil)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	awaitTemp(t, dir, c)
	for n := range 200 {
		if n%10 == 0 {
			if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
		swept, err := atomicfile.Sweep(dir)
		if err != nil || len(swept) > 0 {
			t.Fatalf("Sweep took %q from under a writer: %v", swept, err)
		}
		if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.cmd.Process.Kill()
	if err := <-done; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the writer ended by itself: %v\n%s", err, c.out.Bytes())
	}
	left := leftoversWithContent(t, dir)
	swept, err := atomicfile.Sweep(dir)
	if err != nil || len(swept) < len(left) {
		t.Errorf("Sweep took %q of the dead writer's %q: %v", swept, left, err)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour)
	for name, content := range map[string]string{
		".tokend-token.0123456789ab": "secret", ".tokend-": "secret", ".tokend": "theirs", "token": "theirs", "x.tokend-y": "theirs", ".tokend-young.1": "",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, ".tokend-dir"), 0o700), os.Symlink("token", filepath.Join(dir, ".tokend-link"))); err != nil {
		t.Fatal(err)
	}
	swept, err := atomicfile.Sweep(dir)
	if err != nil || len(swept) != 2 {
		t.Errorf("Sweep took %q, %v; want the two that hold something and are named as ours", swept, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{".tokend", ".tokend-dir", ".tokend-link", ".tokend-young.1", "token", "x.tokend-y"}; fmt.Sprint(names(entries)) != fmt.Sprint(want) {
		t.Errorf("left are %q, want %q", names(entries), want)
	}
	if swept, err := atomicfile.Sweep(filepath.Join(dir, "missing")); swept != nil || err != nil {
		t.Errorf("Sweep of a missing directory: %q, %v", swept, err)
	}
}

func names(entries []os.DirEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
