package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// minScrub is the length below which a secret is taken out only where it stands
// as a word of its own: taking every "a" out of a message hides nothing and
// destroys the message.
const minScrub = 4

// Scrub returns s with every occurrence of the secrets replaced by [Redacted]:
// in clear, as base64 (both alphabets, with and without padding), as
// hexadecimal, URL-encoded (query and path), JSON-escaped, and quoted as in
// environment files. Secrets of two or three bytes are replaced where they
// stand as words of their own; one of a single byte is left alone.
func Scrub(s string, secrets ...Text) string {
	forms := make([]string, 0, 8*len(secrets))
	for _, t := range secrets {
		if t.Len() >= minScrub {
			forms = appendForms(forms, t.Reveal())
		}
	}
	// Longest first, so that a form that contains another goes whole.
	sort.Slice(forms, func(i, j int) bool { return len(forms[i]) > len(forms[j]) })
	for _, f := range forms {
		s = strings.ReplaceAll(s, f, Redacted)
	}
	// The words last: taken out of a longer secret, they would hide it from us.
	for _, t := range secrets {
		if t.Len() < minScrub {
			s = scrubWord(s, t.Reveal())
		}
	}
	return s
}

// scrubWord replaces word where no letter or digit stands right beside it.
func scrubWord(s, word string) string {
	if len(word) < 2 || !strings.Contains(s, word) {
		return s
	}
	var out strings.Builder
	for from := 0; ; {
		i := strings.Index(s[from:], word)
		if i < 0 {
			return out.String() + s[from:]
		}
		begin, end := from+i, from+i+len(word)
		before, _ := utf8.DecodeLastRuneInString(s[:begin])
		after, _ := utf8.DecodeRuneInString(s[end:])
		if wordRune(before) || wordRune(after) {
			out.WriteString(s[from:end])
		} else {
			out.WriteString(s[from:begin] + Redacted)
		}
		from = end
	}
}

func wordRune(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

func appendForms(forms []string, v string) []string {
	raw := []byte(v)
	forms = append(forms, v,
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
		url.QueryEscape(v), url.PathEscape(v))
	if j, err := json.Marshal(v); err == nil {
		forms = append(forms, string(j[1:len(j)-1]))
	}
	// As others write JSON, and as systemd, dotenv and C quote; then the shell.
	var plain strings.Builder
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	if e.Encode(v) == nil {
		forms = append(forms, strings.TrimSuffix(plain.String()[1:], "\"\n"))
	}
	return append(forms, strings.ReplaceAll(v, "'", `'\''`))
}
