package reconcile

import (
	"testing"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A table of names after moves, whatever moved before.
func TestRenamedBy(t *testing.T) {
	type table = map[spec.Address]spec.Address
	for name, c := range map[string]struct {
		names table
		moves []rename
		want  table
	}{
		"the first":                  {nil, []rename{{"a", "b"}}, table{"a": "b"}},
		"on":                         {table{"a": "b"}, []rename{{"b", "c"}}, table{"a": "c"}},
		"back":                       {table{"a": "b"}, []rename{{"b", "a"}}, table{}},
		"two that change places":     {nil, []rename{{"a", "b"}, {"b", "a"}}, table{"a": "b", "b": "a"}},
		"and back":                   {table{"a": "b", "b": "a"}, []rename{{"a", "b"}, {"b", "a"}}, table{}},
		"another at the old address": {table{"a": "b"}, []rename{{"a", "c"}}, table{"a": "b"}},
		"something else":             {table{"a": "b"}, []rename{{"c", "d"}}, table{"a": "b", "c": "d"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := renamedBy(c.names, c.moves)
			if len(got) != len(c.want) {
				t.Fatalf("%v, want %v", got, c.want)
			}
			for own, now := range c.want {
				if got[own] != now {
					t.Errorf("%v, want %v", got, c.want)
				}
			}
		})
	}
}

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
	if err != nil || r.accepted("one")["sink.mem.a"] != "sink.mem.b" || r.accepted("two") != nil {
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
	if err != nil || len(r.accepted("two")) != 1 || r.accepted("two")["sink.mem.b"] != "sink.mem.c" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, g := range r.Leaving {
		if g.Blob != "two" || g.Names["sink.mem.a"] != "" {
			t.Errorf("leaving by %+v", g)
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
