package reconcile

import (
	"slices"
	"testing"
)

// What was struck off a record since it was read is not put back; what is told of a newer
// write stays, and so does what was never on disk.
func TestNotStruck(t *testing.T) {
	for name, c := range map[string]struct{ hooks, was, is, told, want []string }{
		"nothing was struck off":                 {[]string{"a"}, []string{"a"}, []string{"a"}, nil, []string{"a"}},
		"one was":                                {[]string{"a", "b"}, []string{"a", "b"}, []string{"b"}, nil, []string{"b"}},
		"and has to run for a newer write":       {[]string{"a", "b"}, []string{"a", "b"}, nil, []string{"a"}, []string{"a"}},
		"it was never on disk":                   {[]string{"a"}, nil, nil, nil, []string{"a"}},
		"it is told of a newer write, and alone": {[]string{"a"}, nil, nil, []string{"a"}, []string{"a"}},
	} {
		if got := notStruck(c.hooks, c.was, c.is, c.told); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
