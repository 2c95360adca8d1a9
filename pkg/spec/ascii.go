package spec

import "strings"

// LowerASCII makes the letters of ASCII in a host's name or an origin small, and no
// others: what Unicode has as the capital of one of them ("İ") is of another domain
// in DNS, so that strings.ToLower would make one origin of two.
func LowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, s)
}
