package state

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/secret"
)

// older puts the state of an older schema from testdata into a directory.
func older(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range []string{FileName, GeneratedName} {
		b, err := os.ReadFile(filepath.Join("testdata", name, f))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	alice = `credential.example.trader["alice"]`
	bob   = `credential.example.trader["bob"]`
	carol = `credential.example.trader["carol"]`
	dave  = `credential.example.trader["dave"]`
)

// checkOlder reads all that the states under testdata were made with.
func checkOlder(t *testing.T, dir string) {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	heads := map[string]Head{}
	if err := s.Heads(t.Context(), func(h Head) error { heads[h.Address] = h; return nil }); err != nil {
		t.Fatal(err)
	}
	for address, orphans := range map[string]int{alice: 3, bob: 0, carol: 1, dave: 0} {
		if got := heads[address].Orphans.Count; got != orphans {
			t.Errorf("the head of %s says %d orphans, want %d", address, got, orphans)
		}
	}
	if len(heads) != 5 {
		t.Errorf("there are %d heads, want 5", len(heads))
	}
	c, intent, err := s.Credential(t.Context(), alice)
	if err != nil || intent != nil {
		t.Fatalf("Credential = %v, intent %v", err, intent)
	}
	want := Head{Address: alice, Kind: KindCredential, Version: 1, Generation: 7, Due: at.Add(40 * time.Minute), ExpiresAt: at.Add(time.Hour), Digest: [16]byte{1, 2, 3}, Flags: FlagRetiring, Orphans: Orphan{Count: 3}}
	if d := cmp.Diff(want, c.Head); d != "" {
		t.Errorf("the head of alice changed:\n%s", d)
	}
	if !c.Grant.AccessToken.Equal(secret.New("access-alice-7")) || !c.Grant.RefreshToken.Equal(secret.New("refresh-alice-7")) || len(c.Retiring) != 1 ||
		c.Retiring[0].Retired.Message != "status 503" || c.Orphans.Total() != 3 || c.Note != "refreshed" || !c.Restored.IsZero() {
		t.Errorf("the record of alice changed: %+v", c)
	}
	if _, intent, err = s.Credential(t.Context(), bob); err != nil || intent == nil || intent.TokenHash != "h3" || intent.Boot != "boot-1" {
		t.Errorf("the intent of bob is %+v (%v)", intent, err)
	}
	if c, _, err = s.Credential(t.Context(), carol); err != nil || c.Raw == nil || !c.Raw.Body.Equal(secret.New("<html>token</html>")) || !c.Failure.Stopped {
		t.Errorf("the record of carol changed: %+v (%v)", c, err)
	}
	if k, err := s.Sink(t.Context(), `sink.file.trader["alice"]`); err != nil || k.Delivered[alice] != 7 || len(k.Notify) != 1 {
		t.Errorf("the sink changed: %+v (%v)", k, err)
	}
	if b, err := s.Meta(t.Context(), "guard"); err != nil || string(b) != "guard log" {
		t.Errorf("the named value is %q (%v)", b, err)
	}
	if b, err := s.Blob(t.Context(), c.Grant.Endpoint); err != nil || !strings.Contains(string(b), "api.example.com") {
		t.Errorf("the blob is %q (%v)", b, err)
	}
	if got := s.Info().Schema; got != Schema {
		t.Errorf("the schema is %d, want %d", got, Schema)
	}
	c.Note = "written after the migration"
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Errorf("Commit = %v", err)
	}
}

// Every older schema opens, with all that was in it, and leaves a copy of what
// there was.
func TestStatesOfOlderSchemas(t *testing.T) {
	entries, err := filepath.Glob("testdata/schema-*")
	if err != nil || len(entries) != Schema-1 {
		t.Fatalf("testdata has %q (%v), and there are %d older schemas", entries, err, Schema-1)
	}
	for _, e := range entries {
		t.Run(filepath.Base(e), func(t *testing.T) {
			dir := older(t, filepath.Base(e))
			checkOlder(t, dir)
			checkOlder(t, dir) // and once more: a migrated state is one like any other
			c, err := CheckCopy(filepath.Join(dir, FileName+"."+filepath.Base(e)))
			if err != nil || c.Records != 5 || "schema-"+string(rune('0'+c.Schema)) != filepath.Base(e) {
				t.Errorf("the copy of the old state is %+v (%v)", c, err)
			}
		})
	}
}

// A migration is killed at whatever moment: the next start finds the old state or
// the new one, whole.
func TestAMigrationThatIsKilled(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for round := range 12 {
		dir := older(t, "schema-1")
		cmd := exec.Command(binary)
		cmd.Env = append(os.Environ(), "TOKEND_STATE_TEST_CHILD="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The moments are those at which the migration's own files come to be.
		waitFor(t, func() bool { return reached(dir, round%4) })
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		if _, err := os.Stat(filepath.Join(dir, FileName+".schema-1")); err != nil {
			killed++
		}
		checkMigrated(t, dir)
	}
	t.Logf("%d of 12 were killed before the copy was there", killed)
}

func reached(dir string, stage int) bool {
	file := []string{LockName, FileName + ".schema-1.new", FileName + ".schema-1", MarkName}[stage]
	if _, err := os.Lstat(filepath.Join(dir, file)); err == nil {
		return true
	}
	_, err := os.Lstat(filepath.Join(dir, FileName+".schema-1")) // it was too quick to be seen
	return err == nil
}

// checkMigrated is checkOlder for a state that a child may have written to.
func checkMigrated(t *testing.T, dir string) {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	orphans := 0
	if err := s.Heads(t.Context(), func(h Head) error { orphans += h.Orphans.Count; return nil }); err != nil || orphans != 4 {
		t.Errorf("the heads say %d orphans (%v), want 4", orphans, err)
	}
	if c, _, err := s.Credential(t.Context(), alice); err != nil || !c.Grant.RefreshToken.Equal(secret.New("refresh-alice-7")) {
		t.Errorf("alice: %v", err)
	}
}

// A migration that fails leaves the file as it was, and says which step it was.
func TestAMigrationThatFails(t *testing.T) {
	dir := older(t, "schema-1")
	before := load(t, dir)
	if err := os.Mkdir(filepath.Join(dir, FileName+".schema-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "before it is migrated from schema 1") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("Open = %v, want that the copy could not be made", err)
	}
	if string(load(t, dir)) != string(before) {
		t.Error("a state that could not be copied first was changed")
	}
}
