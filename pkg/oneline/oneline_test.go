package oneline_test

import (
	"testing"

	"tokend/pkg/oneline"
)

func TestOf(t *testing.T) {
	for name, c := range map[string]struct{ s, want string }{
		"plain":        {"no such user: é, 日本", "no such user: é, 日本"},
		"lines":        {"a\r\nb\tc", "a  b c"},
		"a terminal":   {"\x1b[2Jgone\u009b", " [2Jgone "},
		"separators":   {"a\u2028b\u2029c", "a b c"},
		"directions":   {"\u202eevil\u2066", " evil "},
		"nothing":      {"", ""},
		"broken UTF-8": {"a\xffb", "a\ufffdb"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := oneline.Of(c.s); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
