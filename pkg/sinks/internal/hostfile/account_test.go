package hostfile

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tokend/pkg/atomicfile"
)

// Reading an account the short way gives what a parser gives, or leaves it to
// one; and plain ones it reads itself.
func TestReadAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := account{
			Path:    "/" + rapid.String().Draw(t, "path"),
			Size:    rapid.Int64().Draw(t, "size"),
			SHA256:  rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "sha256"),
			Inode:   rapid.Uint64().Draw(t, "inode"),
			Changed: rapid.Int64().Draw(t, "changed"),
			Mode:    rapid.SampledFrom([]string{"0600", "0640", "4755"}).Draw(t, "mode"),
			UID:     rapid.IntRange(0, 1<<31).Draw(t, "uid"),
			GID:     rapid.IntRange(0, 1<<31).Draw(t, "gid"),
		}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var parsed account
		if err := json.Unmarshal(b, &parsed); err != nil {
			t.Fatal(err)
		}
		got, ok := readAccount(b)
		if ok && got != parsed {
			t.Fatalf("read %+v, a parser reads %+v", got, parsed)
		}
		if plain := !strings.Contains(string(b), `\`); ok != plain {
			t.Fatalf("read by itself: %v, of %s", ok, b)
		}
		if cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut"); cut > 0 {
			if _, ok := readAccount(b[:cut]); ok {
				t.Fatalf("half an account was read: %s", b[:cut])
			}
		}
		if _, ok := readAccount(append(b, 'x')); ok {
			t.Fatal("more than an account was read")
		}
	})
}

// So does writing what is known before.
func TestIntendedAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := atomicfile.Sum(rapid.SliceOf(rapid.Byte()).Draw(t, "content"))
		path := "/" + rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z./<>&"-]*`)).Draw(t, "path")
		got, err := intendedAccount(path, f)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(account{Path: path, Size: f.Size, SHA256: f.Hex()})
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("wrote %s\nwant  %s", got, want)
		}
	})
}

// Writing an account the short way gives what encoding/json writes.
func TestWriteAccount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := atomicfile.Written{
			Fingerprint: atomicfile.Fingerprint{
				Size: rapid.Int64().Draw(t, "size"), Inode: rapid.SampledFrom([]uint64{0, 1, 1 << 63}).Draw(t, "inode"), Changed: rapid.SampledFrom([]int64{0, -1, 1 << 60}).Draw(t, "changed"),
			},
			Mode: fs.FileMode(rapid.Uint32Range(0, 0o777).Draw(t, "mode")),
			UID:  rapid.IntRange(0, 1<<31).Draw(t, "uid"), GID: rapid.IntRange(0, 1<<31).Draw(t, "gid"),
		}
		copy(w.Fingerprint.SHA256[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "sum"))
		path := "/" + rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z./<>&"-]*`)).Draw(t, "path")
		got, err := writeAccount(path, w)
		if err != nil {
			t.Fatal(err)
		}
		f := w.Fingerprint
		want, err := json.Marshal(account{
			Path: path, Size: f.Size, SHA256: f.Hex(), Inode: f.Inode, Changed: f.Changed, Mode: fmt.Sprintf("%04o", w.Mode), UID: w.UID, GID: w.GID,
		})
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("wrote %s\nwant  %s", got, want)
		}
	})
}
