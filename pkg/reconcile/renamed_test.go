package reconcile

import (
	"fmt"
	"strings"
	"testing"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// What the state says of moves is said of the configuration that it was recorded for
// alone: an older program, which knows nothing of it, may have recorded another since.
func TestRenamedOfAnotherConfiguration(t *testing.T) {
	s := state.NewMemory(state.MemoryOptions{})
	put := func(key, value string) {
		t.Helper()
		if err := s.Commit(t.Context(), state.Change{MetaKey: key, Meta: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	put(metaAccepted, "one")
	put(metaLeaving, `{"one":["sink.mem.a","sink.mem.z"]}`)
	if err := movedIn(t, s, rename{"sink.mem.a", "sink.mem.b"}); err != nil {
		t.Fatal(err)
	}
	r, err := readRenamed(t.Context(), s)
	if err != nil || steps(r.accepted("one")) != "[map[sink.mem.a:sink.mem.b]]" || r.accepted("two") != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if b, _ := s.Meta(t.Context(), metaLeaving); string(b) != `{"one":["sink.mem.b","sink.mem.z"]}` {
		t.Errorf("leaving is %s", b)
	}
	put(metaAccepted, "two")
	put(metaLeaving, `{"two":["sink.mem.z"]}`)
	if err := movedIn(t, s, rename{"sink.mem.b", "sink.mem.c"}); err != nil {
		t.Fatal(err)
	}
	r, err = readRenamed(t.Context(), s)
	if err != nil || steps(r.accepted("two")) != "[map[sink.mem.b:sink.mem.c]]" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, g := range r.Leaving {
		if g.Blob != "two" || strings.Contains(steps(g.Steps), "sink.mem.a") {
			t.Errorf("leaving by %+v", g)
		}
	}
}

func steps(all []spec.Renames) string { return fmt.Sprint(all) }

// What an older program has recorded is the first step of those that come since.
func TestRenamedByAnOlderProgram(t *testing.T) {
	s := state.NewMemory(state.MemoryOptions{})
	for key, value := range map[string]string{
		metaAccepted: "one",
		metaLeaving:  `{"one":["sink.mem.b"],"two":["sink.mem.z"]}`,
		metaRenamed:  `{"accepted":{"blob":"one","names":{"sink.mem.a":"sink.mem.b"}},"leaving":[{"blob":"one","names":{"sink.mem.a":"sink.mem.b"},"addresses":["sink.mem.b"]}]}`,
	} {
		if err := s.Commit(t.Context(), state.Change{MetaKey: key, Meta: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := movedIn(t, s, rename{"sink.mem.b", "sink.mem.c"}); err != nil {
		t.Fatal(err)
	}
	const both, last = "[map[sink.mem.a:sink.mem.b] map[sink.mem.b:sink.mem.c]]", "[map[sink.mem.b:sink.mem.c]]"
	r, err := readRenamed(t.Context(), s)
	if err != nil || steps(r.accepted("one")) != both || len(r.Leaving) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, g := range r.Leaving {
		want := map[string]string{"one": both, "two": last}[g.Blob]
		if len(g.Names) > 0 || steps(g.Steps) != want || len(g.Of) != 1 {
			t.Errorf("leaving by %+v", g)
		}
	}
}

// A single step is written as an older program reads it.
func TestASingleStepIsReadByOlderPrograms(t *testing.T) {
	s := state.NewMemory(state.MemoryOptions{})
	for key, value := range map[string]string{metaAccepted: "one", metaLeaving: `{"one":["sink.mem.z"]}`} {
		if err := s.Commit(t.Context(), state.Change{MetaKey: key, Meta: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		`{"accepted":{"blob":"one","names":{"sink.mem.a":"sink.mem.b"}},"leaving":[{"blob":"one","addresses":["sink.mem.z"],"names":{"sink.mem.a":"sink.mem.b"}}]}`,
		`{"accepted":{"blob":"one","steps":[{"sink.mem.a":"sink.mem.b"},{"sink.mem.a":"sink.mem.b"}]},"leaving":[{"blob":"one","steps":[{"sink.mem.a":"sink.mem.b"},{"sink.mem.a":"sink.mem.b"}],"addresses":["sink.mem.z"]}]}`,
	} {
		if err := movedIn(t, s, rename{"sink.mem.a", "sink.mem.b"}); err != nil {
			t.Fatal(err)
		}
		if b, err := s.Meta(t.Context(), metaRenamed); err != nil || string(b) != want {
			t.Errorf("%s, %v; want %s", b, err, want)
		}
	}
}

func movedIn(t *testing.T, s state.Store, m rename) error {
	changes, err := movedNames(t.Context(), s, []rename{m})
	if err != nil {
		return err
	}
	return s.Commit(t.Context(), changes...)
}
