package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

func setSchema(v uint32) func(tx *bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketHouse)).Put([]byte(houseSchema), binary.BigEndian.AppendUint32(nil, v))
	}
}

func TestANewerSchemaIsRefused(t *testing.T) {
	dir, want := seed(t, 5)
	edit(t, dir, setSchema(Schema+1))
	before := load(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir})
	if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), fmt.Sprintf("schema is %d and this tokend knows %d", Schema+1, Schema)) || !strings.Contains(err.Error(), "install the newer tokend again") || !strings.Contains(err.Error(), FileName) {
		t.Errorf("Open = %v, want ErrSchema with both schemas and the file", err)
	}
	if string(load(t, dir)) != string(before) {
		t.Error("a state of a newer tokend was changed")
	}
	edit(t, dir, setSchema(0))
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "no tokend wrote") {
		t.Errorf("Open of a schema that never was = %v, want ErrDamaged", err)
	}
	edit(t, dir, setSchema(Schema))
	if n := examine(t, dir, want); n != 0 {
		t.Errorf("%d records are refused, want none", n)
	}
}

func TestAnOlderSchemaIsMigrated(t *testing.T) {
	dir, want := seed(t, 5)
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ran := 0
	failing := errors.New("a step failed")
	if err := s.migrate(Schema-1, map[int]migration{Schema - 1: func(tx *bbolt.Tx, _ *sealer) error {
		ran++
		_ = tx.Bucket([]byte(bucketRecords)).Delete(binary.BigEndian.AppendUint64(nil, 1))
		return failing
	}}); !errors.Is(err, failing) {
		t.Errorf("migrate = %v, want its step's error", err)
	}
	if err := s.migrate(Schema-1, map[int]migration{Schema - 1: func(tx *bbolt.Tx, _ *sealer) error {
		ran++
		return tx.Bucket([]byte(bucketHouse)).Put([]byte("migrated"), []byte("yes"))
	}}); err != nil || ran != 2 {
		t.Errorf("migrate = %v after %d steps, want nil after 2", err, ran)
	}
	house, err := readHouse(s.db)
	if err != nil || string(house["migrated"]) != "yes" {
		t.Errorf("the migration's write is %q (%v), want yes", house["migrated"], err)
	}
	c := want["credential.a.b[1]"]
	if err := s.Commit(t.Context(), Change{Credential: &c}); err != nil {
		t.Errorf("Commit after the migration = %v", err)
	}
	if got := s.Info().Records; got != 5 {
		t.Errorf("there are %d records, want 5: a failed step must leave nothing", got)
	}
}

// A crash while a state is made leaves none, or the leavings of one, and the
// next start makes it.
func TestMakingAStateCanBeInterrupted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{FileName + ".new", GeneratedName + ".new"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatalf("Open = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("the directory has %v (%v), want the state, its lock and its key", entries, err)
	}
}

func TestOpenSaysWhyItCannotMakeAState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: filepath.Join(file, "dir")}); err == nil || !strings.Contains(err.Error(), "making the state's directory") {
		t.Errorf("Open below a file = %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, FileName), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), FileName) {
		t.Errorf("Open of a directory in the file's place = %v", err)
	}
}

func TestManyEpochsStayReadable(t *testing.T) {
	s, err := newSealer(make([]byte, keySize))
	if err != nil {
		t.Fatal(err)
	}
	var sealed [][]byte
	for range 3 * epochsKept {
		sealed = append(sealed, s.seal(sealMeta, "k", []byte("v")))
		if err := s.turn(); err != nil {
			t.Fatal(err)
		}
	}
	next, err := newSealer(make([]byte, keySize)) // another process
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range sealed {
		for _, s := range []*sealer{s, next} {
			if got, err := s.unseal(sealMeta, "k", b); err != nil || string(got) != "v" {
				t.Fatalf("unsealing epoch %d = %q, %v", i, got, err)
			}
			if _, err := s.unseal(sealMeta, "l", b); !errors.Is(err, errSeal) {
				t.Errorf("unsealing under another name = %v, want a broken seal", err)
			}
			if _, err := s.unseal(sealBlob, "k", b); !errors.Is(err, errSeal) {
				t.Errorf("unsealing for another purpose = %v, want a broken seal", err)
			}
		}
	}
	if len(next.epochs) > epochsKept+1 {
		t.Errorf("%d epochs are kept, want about %d", len(next.epochs), epochsKept)
	}
	e := s.current.Load()
	e.used.Store(sealsPerEpoch - 1)
	_ = s.seal(sealMeta, "k", nil)
	if s.current.Load() == e {
		t.Error("an epoch that has sealed as much as it may goes on")
	}
}

func TestBlobsArePacked(t *testing.T) {
	if n := len(pack([]byte(strings.Repeat("provider_type ", 10_000)))); n > 2000 {
		t.Errorf("140,000 bytes of a pattern are packed into %d", n)
	}
	for _, b := range [][]byte{{}, {7}, {blobDeflate, 1, 2, 3}} {
		if _, err := unpack(b); err == nil {
			t.Errorf("unpack(%v) = nil, want an error", b)
		}
	}
}
