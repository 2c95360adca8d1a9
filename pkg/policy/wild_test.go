package policy

import (
	"strings"
	"testing"
)

func TestWild(t *testing.T) {
	for _, test := range []struct {
		pattern, text, not string
		want               bool
	}{
		{"a", "a", "", true}, {"a", "b", "", false}, {"", "", "", true}, {"*", "", "", true}, {"*", "a:b", ":", false}, {"*", "ab", ":", true},
		{"a*", "ab", "", true}, {"a*", "ba", "", false}, {"*a", "ba", "", true}, {"*a", "ab", "", false}, {"a*a", "a", "", false}, {"a*a", "aa", "", true},
		{"*ab*ab", "abab", "", true}, {"*ab*ab", "ab", "", false}, {"a**b", "ab", "", true}, {"*x*", "axb", "", true}, {"*x*", "ab", "", false},
		{"https://*.example.com:443", "https://a.example.com:443", ":/", true}, {"https://*.example.com:443", "https://evil:1.example.com:443", ":/", false},
		{"https://*:443", "https://a:1/x:443", ":/", false}, {"*:*", "a:b", ":", true}, {"*:*", "a:b:c", ":", false}, {"*a*b", "aab", "", true},
	} {
		if got := wild(test.pattern, test.text, test.not); got != test.want {
			t.Errorf("%q of %q without %q: %v", test.text, test.pattern, test.not, got)
		}
	}
	// A pattern with many stars and a text that nearly fits it ends at once.
	if wild(strings.Repeat("*a", 40)+"b", strings.Repeat("a", 1<<20), "") {
		t.Error("it ends in b")
	}
}
