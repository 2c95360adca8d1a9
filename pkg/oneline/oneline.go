// Package oneline shows what somebody else wrote, an API's error message say, as part
// of one line of ours: in a page, a report, an error. [Of] is all there is. What it
// returns cannot look like a line of its own, drive a terminal, or turn the reading
// direction of what follows; it is not escaped for any format.
package oneline

import (
	"strings"
	"unicode"
)

// Of is s with a space in the place of each control character, each separator of
// lines and each sign that changes the reading direction (Unicode's Bidi_Control).
func Of(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}
