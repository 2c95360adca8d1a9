package hostfile

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
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
