package secret

import (
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minScrub is the length below which a secret is taken out only where it stands
// as a word of its own: taking every "a" out of a message hides nothing and
// destroys the message.
const minScrub = 4

// Scrub returns s with every occurrence of the secrets replaced by [Redacted]:
// in clear, as base64 (both alphabets, with and without padding) and as
// hexadecimal, each of them however it is escaped, wholly or in part, and also
// several times over: for URLs, HTML and XML, JSON and the strings of programming
// languages, and as shells, SQL, YAML and environment files quote. Secrets of two or
// three bytes are replaced where they stand as words of their own; one of a single
// byte is left alone. A text that is made to cost too much to read is [Redacted] as
// a whole.
func Scrub(s string, secrets ...Text) string {
	read := spell(s)
	var found []span
	short := false
	for _, t := range secrets {
		if t.Len() < minScrub {
			short = short || t.Len() > 1
			continue
		}
		for _, f := range forms(t.Reveal()) {
			found = read.find(f, found)
		}
	}
	// The words last: taken out of a longer secret, they would hide it from us.
	cleared := read.without(found)
	if !short {
		return cleared
	}
	if cleared != s {
		read = spell(cleared)
	}
	found = found[:0]
	for _, t := range secrets {
		if t.Len() > 1 && t.Len() < minScrub {
			found = read.words(t.Reveal(), found)
		}
	}
	return read.without(found)
}

// without is the text with Redacted in place of what was found in it.
func (s *spelling) without(found []span) string {
	if s.left < 0 {
		return Redacted
	}
	if len(found) == 0 {
		return s.text
	}
	slices.SortFunc(found, func(a, b span) int { return a.begin - b.begin })
	var out strings.Builder
	end := 0 // of what is hidden
	for _, f := range found {
		if f.begin >= end {
			out.WriteString(s.text[end:f.begin] + Redacted)
		}
		end = max(end, f.end)
	}
	return out.String() + s.text[end:]
}

// words finds a word where no letter or digit stands right beside it.
func (s *spelling) words(word string, found []span) []span {
	for _, f := range s.find(word, nil) {
		before, _ := utf8.DecodeLastRuneInString(s.text[:f.begin])
		after, _ := utf8.DecodeRuneInString(s.text[f.end:])
		if (!wordRune(before) || s.boundary[f.begin]) && !wordRune(after) {
			found = append(found, f)
		}
	}
	return found
}

func wordRune(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

// forms are a secret in clear, and where it is encoded as a whole.
func forms(v string) []string {
	raw := []byte(v)
	lower, std, unpadded := hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw)
	all := []string{v, lower, strings.ToUpper(lower), std, unpadded, base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw)}
	if !utf8.ValidString(v) {
		all = append(all, string([]rune(v))) // as JSON has it
	}
	slices.Sort(all)
	return slices.Compact(all)
}
