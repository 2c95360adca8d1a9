package state

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tokend/pkg/secret"
)

func backupOf(t *testing.T, s *Bolt) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "backup")
	var b bytes.Buffer
	if err := s.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t *testing.T, dir string) *Bolt {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// grown is a credential with a single-use refresh token at a generation.
func grown(address string, generation uint64, rotation Rotation) Credential {
	return Credential{Head: Head{Address: address, Generation: generation, Due: time.Now().Add(time.Hour)},
		Grant: &Grant{Generation: generation, AccessToken: secret.New("access"), RefreshToken: secret.New(fmt.Sprint("refresh-", generation)), Rotation: rotation}}
}

func put(t *testing.T, s *Bolt, c *Credential) {
	t.Helper()
	if err := s.Commit(t.Context(), Change{Credential: c}); err != nil {
		t.Fatal(err)
	}
}

// A backup made while others write is one moment's state: two records that are
// always written together are alike in it.
func TestABackupIsOneMoment(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	a, b := grown("credential.a.a", 1, RotationRotated), grown("credential.a.b", 1, RotationRotated)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			a.Note, b.Note = fmt.Sprint(n), fmt.Sprint(n)
			if err := s.Commit(t.Context(), Change{Credential: &a}, Change{Credential: &b}); err != nil {
				stopped <- err
				return
			}
		}
	}()
	waitFor(t, func() bool { return s.Info().Records == 2 })
	var files []string
	for range 5 {
		files = append(files, backupOf(t, s))
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(filepath.Dir(s.path), GeneratedName)
	for _, f := range files {
		if c, err := CheckCopy(f); err != nil || c.Records != 2 || c.Lineage != s.Info().Lineage || c.Schema != Schema {
			t.Fatalf("CheckCopy = %+v, %v", c, err)
		}
		dir := t.TempDir()
		r, err := Restore(t.Context(), Options{Dir: dir, Key: KeyFile(key)}, f, false)
		if err != nil {
			t.Fatal(err)
		}
		if r.Records != 2 || r.Doubtful != 2 || r.Replaced != "" {
			t.Errorf("Restore = %+v", r)
		}
		o, err := Open(t.Context(), Options{Dir: dir, Key: KeyFile(key)})
		if err != nil {
			t.Fatal(err)
		}
		if x, y := note(t, o, "credential.a.a"), note(t, o, "credential.a.b"); x != y {
			t.Errorf("the backup holds %q and %q, which were never there together", x, y)
		}
		if o.Info().Lineage != s.Info().Lineage {
			t.Error("a restored copy is of another lineage")
		}
		o.Close()
	}
}

func TestARestoredCopyDoubtsWhatMayHaveBeenSpent(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	spent, kept, fresh := grown("credential.a.spent", 3, RotationRotated), grown("credential.a.kept", 3, RotationKept), grown("credential.a.new", 1, RotationUnknown)
	static := Credential{Head: Head{Address: "credential.a.static"}, Grant: &Grant{Generation: 1, AccessToken: secret.New("t")}}
	for _, c := range []*Credential{&spent, &kept, &fresh, &static} {
		put(t, s, c)
	}
	if err := s.Commit(t.Context(), Change{IntentFor: "credential.a.new", Intent: &Intent{Op: "refresh", Boot: "b", Monotonic: time.Minute, Generation: 1}}); err != nil {
		t.Fatal(err)
	}
	file := backupOf(t, s)
	for range 5 {
		spent.Head.Generation++
		put(t, s, &spent)
	}
	was := s.Info().Serial
	if _, err := Restore(t.Context(), Options{Dir: dir}, file, true); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("Restore while it is open = %v, want ErrLocked with the holder's pid", err)
	}
	s.Close()
	if err := os.Remove(filepath.Join(dir, MarkName)); err != nil { // after a kill it may be behind: the state says itself how far it came
		t.Fatal(err)
	}
	before := load(t, dir)
	if _, err := Restore(t.Context(), Options{Dir: dir}, file, false); !errors.Is(err, ErrExists) {
		t.Errorf("Restore over a state = %v, want ErrExists", err)
	}
	if !bytes.Equal(load(t, dir), before) {
		t.Error("a refused restore changed the state")
	}
	r, err := Restore(t.Context(), Options{Dir: dir}, file, true)
	if err != nil {
		t.Fatal(err)
	}
	if r.Doubtful != 2 || r.Records != 4 || r.Lost != 5 {
		t.Errorf("Restore = %+v, want 2 in doubt of 4, and 5 commits behind", r)
	}
	if b, err := os.ReadFile(r.Replaced); err != nil || !bytes.Equal(b, before) {
		t.Errorf("the replaced state is not kept: %v", err)
	}
	o := mustOpen(t, dir)
	if o.Info().Serial <= was {
		t.Errorf("the serial is %d, and the state had come to %d", o.Info().Serial, was)
	}
	for address, want := range map[string]RefreshState{"credential.a.spent": RefreshIndeterminate, "credential.a.new": RefreshIndeterminate, "credential.a.kept": RefreshUsable, "credential.a.static": RefreshUsable} {
		c, _, err := o.Credential(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		doubted := want == RefreshIndeterminate
		if c.Grant.RefreshState != want || c.Restored.IsZero() == doubted || (c.Orphans.Total() == 1) != doubted || c.Head.Orphans != c.Orphans.head() || c.Head.Due.IsZero() != doubted && address != "credential.a.static" {
			t.Errorf("%s: refresh state %d, restored %v, orphans %v, due %v", address, c.Grant.RefreshState, c.Restored, c.Orphans, c.Head.Due)
		}
	}
	if _, i, err := o.Credential(t.Context(), "credential.a.new"); err != nil || i == nil || i.Boot != "" || i.Monotonic != 0 {
		t.Errorf("the open intent is %+v (%v), want one that says nothing of the time since", i, err)
	}
}

// A copy that was put back by hand is noticed by the mark beside it.
func TestAnOldFileIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	c := grown("credential.a.b", 1, RotationRotated)
	put(t, s, &c)
	s.Close()
	old := load(t, dir)
	s = mustOpen(t, dir)
	put(t, s, &c)
	was := s.Info().Serial
	s.Close()
	store(t, dir, old)
	s = mustOpen(t, dir)
	if got, _, err := s.Credential(t.Context(), "credential.a.b"); err != nil || got.Grant.RefreshState != RefreshIndeterminate || got.Restored.IsZero() {
		t.Errorf("the old file's record is %+v (%v), want one in doubt", got, err)
	}
	if s.Info().Serial <= was {
		t.Errorf("the serial went back to %d from %d", s.Info().Serial, was)
	}
	got, _, _ := s.Credential(t.Context(), "credential.a.b")
	got.Grant.RefreshState = RefreshUsable
	put(t, s, &got)
	s.Close()
	s = mustOpen(t, dir) // nothing was put back this time
	if got, _, err := s.Credential(t.Context(), "credential.a.b"); err != nil || got.Grant.RefreshState != RefreshUsable {
		t.Errorf("a state that is as it was left is doubted: %v", err)
	}
}

func TestABackupReplacesNothingButAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := SaveBackup(path, true, func(io.Writer) error { return errors.New("it is written") }); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("SaveBackup = %v", err)
	}
}

// What lies beside a copy, or comes to its place while it is written, is somebody's.
func TestABackupDeletesNothing(t *testing.T) {
	dir, _ := seed(t, 3)
	whole := load(t, dir)
	to := t.TempDir()
	path := filepath.Join(to, "backup")
	const theirs = "somebody's"
	put := func(path string) {
		if err := os.WriteFile(path, []byte(theirs), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(path, want string) {
		t.Helper()
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s holds %d bytes: %v", path, len(b), err)
		}
	}
	write := func(w io.Writer) error { _, err := w.Write(whole); return err }
	put(path + ".new")
	if _, err := SaveBackup(path, false, write); err != nil {
		t.Error(err)
	}
	holds(path, string(whole))
	meanwhile := filepath.Join(to, "meanwhile")
	_, err := SaveBackup(meanwhile, false, func(w io.Writer) error { put(meanwhile); return write(w) })
	if !errors.Is(err, ErrExists) {
		t.Errorf("onto a file that came meanwhile: %v", err)
	}
	holds(meanwhile, theirs)
	if _, err := SaveBackup(meanwhile, true, func(io.Writer) error { return errors.New("it failed") }); err == nil {
		t.Error("what failed is no error")
	}
	holds(meanwhile, theirs)
	long := filepath.Join(to, strings.Repeat("n", 255))
	if _, err := SaveBackup(long, false, write); err != nil {
		t.Error(err)
	}
	if _, err := SaveBackup(long, true, write); err != nil {
		t.Error(err)
	}
	if _, err := SaveBackup(filepath.Join(dir, FileName), true, write); err == nil || !strings.Contains(err.Error(), "is a state itself") {
		t.Errorf("onto the state: %v", err)
	}
	holds(path+".new", theirs)
	if left, err := filepath.Glob(filepath.Join(to, "*")); err != nil || len(left) != 4 {
		t.Errorf("there are %q (%v)", left, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v (%v)", info.Mode(), err)
	}
}

func TestRestoreRefusesWhatIsNoCopy(t *testing.T) {
	dir, _ := seed(t, 20)
	whole := load(t, dir)
	put := func(b []byte) string {
		path := filepath.Join(t.TempDir(), "copy")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other, _ := seed(t, 3)
	for what, c := range map[string]struct {
		file string
		want error
	}{
		"cut short":     {put(whole[:5*4096]), ErrDamaged},
		"no state":      {put([]byte(strings.Repeat("x", 9000))), ErrDamaged},
		"of other keys": {filepath.Join(other, FileName), ErrKey},
	} {
		if _, err := Restore(t.Context(), Options{Dir: dir}, c.file, true); !errors.Is(err, c.want) {
			t.Errorf("Restore of a copy that is %s = %v, want %v", what, err, c.want)
		}
		if !bytes.Equal(load(t, dir), whole) {
			t.Fatalf("a copy that is %s changed the state", what)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "*restore*"))
	if err != nil || len(left) != 0 {
		t.Errorf("there are left-overs: %q (%v)", left, err)
	}
}

// A file that is mostly free gives its space back at the next start, and nothing
// is lost by it.
func TestAStateIsMadeSmaller(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	c := grown("credential.a.b", 1, RotationRotated)
	put(t, s, &c)
	name, err := s.PutBlob(t.Context(), []byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	big := Credential{Head: Head{Address: "credential.a.big"}, Note: strings.Repeat("n", 48<<20)}
	put(t, s, &big)
	if err := s.Commit(t.Context(), Change{Delete: "credential.a.big"}); err != nil {
		t.Fatal(err)
	}
	serial := s.Info().Serial
	s.Close()
	before := len(load(t, dir))
	s, err = Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if now := s.Info().Bytes; now > int64(before)/2 {
		t.Errorf("the file has %d bytes, it had %d", now, before)
	}
	if i := s.Info(); i.Serial != serial || i.Records != 1 {
		t.Errorf("Info = %+v, want serial %d and one record", i, serial)
	}
	if _, err := s.Blob(t.Context(), name); err != nil {
		t.Error(err)
	}
	again := grown("credential.a.c", 1, RotationRotated)
	put(t, s, &again)
	if got := note(t, s, "credential.a.b"); got != "" {
		t.Errorf("the record says %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.compact")); len(left) != 0 {
		t.Errorf("there are left-overs: %q", left)
	}
}
