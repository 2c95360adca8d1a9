package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"tokend/pkg/secret"
)

// seed makes a state with a few hundred records and returns their directory and
// content; it is closed.
func seed(t *testing.T, n int) (dir string, want map[string]Credential) {
	t.Helper()
	dir, want = t.TempDir(), make(map[string]Credential)
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	for i := range n {
		c := Credential{Head: Head{Address: fmt.Sprintf("credential.a.b[%d]", i)}, Note: "note",
			Grant: &Grant{Generation: 1, AccessToken: secret.New(strings.Repeat("t", 50+i%300))}}
		change := Change{Credential: &c}
		if i%10 == 0 {
			change.Intent = &Intent{Op: "refresh", Attempt: i}
		}
		if i == n-1 {
			err = s.Commit(t.Context(), change)
		} else {
			s.Later(nil, change)
		}
		if err != nil {
			t.Fatalf("Commit = %v", err)
		}
		want[c.Head.Address] = c
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	return dir, want
}

func load(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func store(t *testing.T, dir string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, FileName), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// examine opens the state and checks that every record is as it was or is
// refused as damaged; it returns how many are refused, or -1 when the whole
// state is.
func examine(t *testing.T, dir string, want map[string]Credential) int {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrKey) && !errors.Is(err, ErrSchema) {
			t.Errorf("Open = %v, want ErrDamaged", err)
		}
		return -1
	}
	defer s.Close()
	damaged := 0
	for address, w := range want {
		got, intent, err := s.Credential(t.Context(), address)
		switch {
		case errors.Is(err, ErrDamaged):
			damaged++
			if !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "tokend state restore") {
				t.Errorf("the error %q does not name the address and what to do", err)
			}
		case err != nil:
			t.Errorf("Credential(%s) = %v, want the record or ErrDamaged", address, err)
		default:
			if d := cmp.Diff(w, got); d != "" || (intent != nil) != w.Head.Intent {
				t.Errorf("%s came back changed (intent %v, want %v):\n%s", address, intent, w.Head.Intent, d)
			}
		}
	}
	seen := 0
	err = s.Heads(t.Context(), func(h Head) error {
		if w, ok := want[h.Address]; !ok || w.Head != h {
			t.Errorf("Heads gave %+v, want %+v", h, w.Head)
		}
		seen++
		return nil
	})
	if seen != len(want) && !errors.Is(err, ErrDamaged) {
		t.Errorf("Heads gave %d of %d heads and %v", seen, len(want), err)
	}
	return damaged
}

// No single flipped bit may lose, change or invent a record without a word, end
// the process, or keep the records that it does not touch from being read.
func TestAFlippedBitIsNoticed(t *testing.T) {
	const records = 150
	dir, want := seed(t, records)
	content := load(t, dir)
	if n := examine(t, dir, want); n != 0 {
		t.Fatalf("before any damage %d records are refused", n)
	}
	rounds := 400
	if testing.Short() {
		rounds = 100
	}
	random := rand.New(rand.NewPCG(1, 2))
	// The file's tail is set aside and not in use.
	used := len(strings.TrimRight(string(content), "\x00"))
	content = content[:(used+pageBytes-1)/pageBytes*pageBytes]
	outcomes := map[string]int{}
	for range rounds {
		at, bit := random.IntN(used), random.IntN(8)
		flipped := append([]byte(nil), content...)
		flipped[at] ^= 1 << bit
		store(t, dir, flipped)
		switch n := examine(t, dir, want); {
		case n < 0:
			outcomes["refused"]++
		case n == 0:
			outcomes["harmless"]++
		case n == 1 || n == 2: // an index entry that leads astray concerns two
			outcomes["one record"]++
		default:
			t.Errorf("bit %d of byte %d (page %d) made %d records unreadable", bit, at, at/pageBytes, n)
		}
		if t.Failed() {
			t.Fatalf("after flipping bit %d of byte %d (page %d)", bit, at, at/pageBytes)
		}
	}
	t.Logf("outcomes of %d flipped bits: %v", rounds, outcomes)
	if outcomes["one record"] == 0 || outcomes["refused"] == 0 || outcomes["harmless"] == 0 {
		t.Errorf("the flips did not reach records, structure and free space alike: %v", outcomes)
	}
}

func TestADamagedFileIsRefusedAndLeftAlone(t *testing.T) {
	dir, _ := seed(t, 150)
	content := load(t, dir)
	used := len(strings.TrimRight(string(content), "\x00"))
	zeroed := func(from, to int) []byte {
		b := append([]byte(nil), content...)
		clear(b[from:to])
		return b
	}
	for _, test := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "neither of the file's two headers"},
		{"a text", []byte("this is not a state\n"), "neither of the file's two headers"},
		{"another program's file", append([]byte("SQLite format 3\x00"), make([]byte, 20_000)...), "begins with"},
		{"cut in the first header", content[:50], "cut short"},
		{"cut after the headers", content[:2*pageBytes], "cut short"},
		{"cut in the middle", content[:used/2/pageBytes*pageBytes], "cut short"},
		{"cut by a page", content[:(used-1)/pageBytes*pageBytes], "cut short"},
		{"both headers zeroed", zeroed(0, 2*pageBytes), "neither of the file's two headers"},
		{"all but the headers zeroed", zeroed(2*pageBytes, len(content)), "says that it is page 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			store(t, dir, test.b)
			_, err := Open(t.Context(), Options{Dir: dir})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), FileName) ||
				!strings.Contains(err.Error(), "tokend state restore") {
				t.Errorf("Open = %v, want ErrDamaged with %q, the file's name and what to do", err, test.want)
			}
			if after := load(t, dir); string(after) != string(test.b) {
				t.Errorf("opening the damaged file changed it")
			}
		})
	}
	t.Run("whole again", func(t *testing.T) {
		store(t, dir, content)
		s, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatalf("Open = %v", err)
		}
		_ = s.Close()
	})
}

func TestAFileWithoutOurBucketsIsRefused(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, FileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err }); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "no state of tokend") {
		t.Errorf("Open = %v, want ErrDamaged that says that it is no state of tokend", err)
	}
}

func TestOneHeaderIsEnough(t *testing.T) {
	for page := range 2 {
		dir, want := seed(t, 20)
		content := load(t, dir)
		clear(content[page*pageBytes : (page+1)*pageBytes])
		store(t, dir, content)
		if n := examine(t, dir, want); n != 0 {
			t.Errorf("without header %d, %d records are refused, want none", page, n)
		}
	}
}

// edit changes the closed file through bbolt, as someone with another program
// and no key would.
func edit(t *testing.T, dir string, f func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := openBolt(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(f); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTamperingWithARecordIsNoticed(t *testing.T) {
	id := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	for _, test := range []struct {
		name string
		edit func(tx *bbolt.Tx) error
		bad  []string // the addresses that must be refused
	}{
		{"two records exchanged", func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketRecords))
			one, two := append([]byte(nil), b.Get(id(1))...), append([]byte(nil), b.Get(id(2))...)
			return errors.Join(b.Put(id(1), two), b.Put(id(2), one))
		}, []string{"credential.a.b[0]", "credential.a.b[1]"}},
		{"two intents exchanged", func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketIntents))
			one, two := append([]byte(nil), b.Get(id(1))...), append([]byte(nil), b.Get(id(11))...)
			return errors.Join(b.Put(id(1), two), b.Put(id(11), one))
		}, []string{"credential.a.b[0]", "credential.a.b[10]"}},
		{"a head put before another record's rest", func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketRecords))
			one, two := b.Get(id(1)), b.Get(id(2))
			h1, t1, _, _ := splitRecord(one)
			_, _, r2, _ := splitRecord(two)
			v := append(append([]byte(nil), one[:prefixSize]...), appendBytes(nil, h1)...)
			return b.Put(id(1), append(append(v, t1...), r2...))
		}, []string{"credential.a.b[0]"}},
		{"a record cut short", func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketRecords))
			return b.Put(id(3), append([]byte(nil), b.Get(id(3))[:40]...))
		}, []string{"credential.a.b[2]"}},
		{"an empty record", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketRecords)).Put(id(3), nil) }, []string{"credential.a.b[2]"}},
		{"a record removed behind the index", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketRecords)).Delete(id(3)) }, []string{"credential.a.b[2]"}},
		{"an address removed from the index", func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucketIndex)).Delete([]byte("credential.a.b[2]")) }, []string{"credential.a.b[2]"}},
		{"an address that leads to another's record", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte(bucketIndex)).Put([]byte("credential.a.b[2]"), id(5))
		}, []string{"credential.a.b[2]"}},
		{"a record of a later format", func(tx *bbolt.Tx) error {
			b := tx.Bucket([]byte(bucketRecords))
			v := append([]byte(nil), b.Get(id(3))...)
			v[0] = sealFormat + 1
			return b.Put(id(3), v)
		}, []string{"credential.a.b[2]"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, want := seed(t, 30)
			edit(t, dir, test.edit)
			if n := examine(t, dir, want); n != len(test.bad) {
				t.Errorf("%d records are refused, want %d", n, len(test.bad))
			}
			s, err := Open(t.Context(), Options{Dir: dir})
			if err != nil {
				t.Fatalf("Open = %v", err)
			}
			defer s.Close()
			for _, address := range test.bad {
				if _, _, err := s.Credential(t.Context(), address); !errors.Is(err, ErrDamaged) {
					t.Errorf("Credential(%s) = %v, want ErrDamaged", address, err)
				}
			}
			good := want["credential.a.b[20]"]
			good.Note = "written beside the damage"
			if err := s.Commit(t.Context(), Change{Credential: &good}); err != nil {
				t.Errorf("writing an undamaged record = %v, want nil", err)
			}
		})
	}
}

func TestADamagedRecordIsNotWrittenOverButCanBeGivenUp(t *testing.T) {
	dir, want := seed(t, 30)
	edit(t, dir, func(tx *bbolt.Tx) error {
		key := binary.BigEndian.AppendUint64(nil, 3)
		b := tx.Bucket([]byte(bucketRecords))
		v := append([]byte(nil), b.Get(key)...)
		v[prefixSize+4] ^= 1
		return b.Put(key, v)
	})
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	defer s.Close()
	const address = "credential.a.b[2]"
	for name, change := range map[string]Change{
		"a new record":    {Credential: &Credential{Head: Head{Address: address}}},
		"the next":        {Credential: &Credential{Head: Head{Address: address, Version: 1}}},
		"an intent":       {Intent: &Intent{}, IntentFor: address},
		"its version":     {Delete: address, DeleteVersion: 1},
		"a sink's record": {Sink: &Sink{Head: Head{Address: address}}},
	} {
		if err := s.Commit(t.Context(), change); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), address) {
			t.Errorf("committing %s = %v, want ErrDamaged that names it", name, err)
		}
	}
	if err := s.Commit(t.Context(), Change{Delete: address}); err != nil {
		t.Fatalf("giving it up = %v, want nil", err)
	}
	if _, _, err := s.Credential(t.Context(), address); !errors.Is(err, ErrNotFound) {
		t.Errorf("Credential of what was given up = %v, want ErrNotFound", err)
	}
	if err := s.Commit(t.Context(), Change{Credential: &Credential{Head: Head{Address: address}}}); err != nil {
		t.Errorf("committing it anew = %v, want nil", err)
	}
	if got := s.Info().Records; got != len(want) {
		t.Errorf("there are %d records, want %d", got, len(want))
	}
}

// TestAScanOfSinksLeavesDamagedOnesOut: the others come, and reading the damaged
// one by itself says what is wrong.
func TestAScanOfSinksLeavesDamagedOnesOut(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	for _, a := range []string{"sink.file.a", "sink.file.b", "sink.file.c"} {
		if err := s.Commit(t.Context(), Change{Sink: &Sink{Head: Head{Address: a}, Written: []byte("account")}}); err != nil {
			t.Fatalf("Commit = %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close = %v", err)
	}
	edit(t, dir, func(tx *bbolt.Tx) error {
		key := binary.BigEndian.AppendUint64(nil, 2)
		b := tx.Bucket([]byte(bucketRecords))
		v := append([]byte(nil), b.Get(key)...)
		v[len(v)-1] ^= 1
		return b.Put(key, v)
	})
	if s, err = Open(t.Context(), Options{Dir: dir}); err != nil {
		t.Fatalf("Open = %v", err)
	}
	defer s.Close()
	var mu sync.Mutex
	got := map[string]bool{}
	err = s.Sinks(t.Context(), func(k Sink) error {
		mu.Lock()
		defer mu.Unlock()
		got[k.Head.Address] = true
		return nil
	})
	if diff := cmp.Diff(map[string]bool{"sink.file.a": true, "sink.file.c": true}, got); err != nil || diff != "" {
		t.Errorf("Sinks = %v (-want +got):\n%s", err, diff)
	}
	if _, err := s.Sink(t.Context(), "sink.file.b"); !errors.Is(err, ErrDamaged) {
		t.Errorf("Sink of the damaged record = %v, want ErrDamaged", err)
	}
}
