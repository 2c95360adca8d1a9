package state

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/secret"
)

// TestATornCommitIsNoCommit cuts the last commit short as a crash does that comes
// while the disk writes it: some of its sectors are on disk, in whatever order, and
// others are not; its header is the last, and may be there in part. What the next
// process finds is the commit before, all of it, or this one, all of it.
func TestATornCommitIsNoCommit(t *testing.T) {
	const sector, header, rounds = 512, 2, 90
	dir, _ := seed(t, 120)
	was := everything(t, dir)
	s := mustOpen(t, dir)
	before := load(t, dir) // as it is once it was opened: what is torn is one commit
	if err := s.Commit(t.Context(),
		Change{Credential: &Credential{Head: Head{Address: "credential.a.new"}, Grant: &Grant{Generation: 1, AccessToken: secret.New("the new one")}}},
		Change{Delete: "credential.a.b[7]"}, Change{IntentFor: "credential.a.b[3]", Intent: &Intent{Op: "refresh"}}); err != nil {
		t.Fatal(err)
	}
	after := load(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	store(t, dir, after)
	is := everything(t, dir)
	if cmp.Equal(was, is) {
		t.Fatal("the commit changed nothing")
	}
	page := os.Getpagesize()
	draw := rand.New(rand.NewPCG(1, 2))
	var old, whole int
	for round := range rounds {
		// Sectors of data, or all of them and a part of a header, which is written only then.
		data := append(bytes.Clone(before), make([]byte, max(0, len(after)-len(before)))...)
		share := draw.Float64()
		for at := header * page; at < len(after); at += sector {
			if end := min(at+sector, len(after)); round%3 == 0 || draw.Float64() < share {
				copy(data[at:end], after[at:end])
			}
		}
		if round%3 == 0 {
			from, to := 0, header*page
			for from < to && before[from] == after[from] {
				from++
			}
			for to > from && before[to-1] == after[to-1] {
				to--
			}
			cut := to
			if draw.IntN(3) > 0 {
				cut = from + draw.IntN(to-from)
			}
			copy(data[from:cut], after[from:cut])
		} else if len(after) > len(before) && draw.IntN(2) == 0 {
			data = data[:len(before)+draw.IntN(len(after)-len(before))]
		}
		store(t, dir, data)
		switch got := everything(t, dir); {
		case cmp.Equal(got, was):
			old++
		case cmp.Equal(got, is) && round%3 == 0:
			whole++
		default:
			t.Fatalf("round %d: neither the commit before nor the last is there: %s", round, cmp.Diff(was, got))
		}
	}
	if old < rounds/2 || whole == 0 {
		t.Errorf("the commit before was found %d times of %d, the last %d times", old, rounds, whole)
	}
}

// contents are what a state holds: how each record was written, and the intents.
type contents struct {
	Tokens  map[string]string
	Intents map[string]string
}

func everything(t *testing.T, dir string) contents {
	t.Helper()
	s := mustOpen(t, dir)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := contents{Tokens: map[string]string{}, Intents: map[string]string{}}
	err := s.Heads(t.Context(), func(h Head) error {
		rec, intent, err := s.Credential(context.Background(), h.Address)
		if err != nil {
			return err
		}
		if c.Tokens[h.Address] = ""; rec.Grant != nil {
			c.Tokens[h.Address] = rec.Grant.AccessToken.Reveal()
		}
		if intent != nil {
			c.Intents[h.Address] = intent.Op
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
