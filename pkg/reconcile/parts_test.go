package reconcile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// partLine is a line of a configuration that is kept as a part of its own.
var partLine = regexp.MustCompile(`(?m)^# part .*$`)

func partsByLine(c *spec.Config) []reconcile.Part {
	var out []reconcile.Part
	for _, line := range partLine.FindAll(c.Sources()["main.hcl"], -1) {
		out = append(out, reconcile.Part{Sum: sha256.Sum256(line), Pack: func() ([]byte, error) { return line, nil }})
	}
	return out
}

// partCounter notes which parts are recorded.
type partCounter struct {
	mu  sync.Mutex
	put []string
}

// countedStore is one that it is told of; a process has one of its own.
type countedStore struct {
	state.Store
	*partCounter
}

func (s countedStore) PutBlob(ctx context.Context, content []byte) (string, error) {
	if partLine.Match(content) && bytes.HasPrefix(content, []byte("# part")) {
		s.mu.Lock()
		s.put = append(s.put, string(content))
		s.mu.Unlock()
	}
	return s.Store.PutBlob(ctx, content)
}

// taken are the parts that were recorded since it was last asked.
func (s *partCounter) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.put
	s.put = nil
	slices.Sort(out)
	return out
}

// TestOnlyChangedPartsOfAConfigurationAreRecorded: after a change, after a
// restart, and where the state lost one.
func TestOnlyChangedPartsOfAConfigurationAreRecorded(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		counter := &partCounter{}
		w.wrap = func(s state.Store) state.Store { return countedStore{s, counter} }
		w.parts = partsByLine
		restart := func() { w.halt(); w.start() }
		restart()
		expect := func(when string, parts ...string) {
			t.Helper()
			if diff := cmp.Diff(parts, counter.taken()); diff != "" {
				t.Errorf("%s these parts were recorded (-want +got):\n%s", when, diff)
			}
		}
		text := "locals { a = 1 }\n# part a1\n# part b1\n# part c1\n"
		w.set(text)
		expect("at first", "# part a1", "# part b1", "# part c1")
		text = strings.Replace(text, "a1", "a2", 1)
		w.set(text)
		expect("after a change", "# part a2")
		names, err := w.store.Blobs(t.Context())
		if err != nil || len(names) != 4 {
			t.Errorf("the state has %d contents (%v), want the configuration and its three parts", len(names), err)
		}
		restart()
		w.set(text)
		expect("after a restart")
		for _, n := range names {
			if b, err := w.store.Blob(t.Context(), n); err != nil {
				t.Fatal(err)
			} else if string(b) == "# part b1" {
				err = w.store.DropBlobs(t.Context(), []string{n})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		restart()
		if _, err := w.loop.Accepted(t.Context()); err == nil {
			t.Error("a configuration that lacks a part was read back")
		}
		w.set(text)
		expect("after one was lost", "# part b1")
		restart()
		c, err := w.loop.Accepted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := string(c.Sources()["main.hcl"]); got != text+"\n# part a2\n# part b1\n# part c1" {
			t.Errorf("read back: %q", got)
		}
	})
}
