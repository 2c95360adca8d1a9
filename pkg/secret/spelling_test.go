package secret_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"tokend/pkg/secret"
)

// What the libraries of other languages make of a secret, once and twice.
func TestScrubKnowsHowOthersEscape(t *testing.T) {
	s := secret.New(`Tr0ub&dor!3/x'Q <"é+`)
	for form, text := range map[string]string{
		"Python's html.escape":             `Tr0ub&amp;dor!3/x&#x27;Q &lt;&quot;é+`,
		"Go's html.EscapeString":           `Tr0ub&amp;dor!3/x&#39;Q &lt;&#34;é+`,
		"decimal, with zeros":              `Tr0ub&#038;dor!3/x&#0039;Q &#0060;&#0034;é+`,
		"XML":                              `Tr0ub&amp;dor!3/x&apos;Q &lt;&quot;é+`,
		"PHP's htmlentities":               `Tr0ub&amp;dor!3/x&#039;Q &lt;&quot;&eacute;+`,
		"no semicolons":                    `Tr0ub&ampdor!3/x&#39Q &lt&quoté+`,
		"encodeURIComponent":               `Tr0ub%26dor!3%2Fx'Q%20%3C%22%C3%A9%2B`,
		"encodeURI":                        `Tr0ub&dor!3/x'Q%20%3C%22%C3%A9+`,
		"JavaScript's escape":              `Tr0ub%26dor%213/x%27Q%20%3C%22%E9+`,
		"%u":                               `Tr0ub%u0026dor!3/x'Q%20%3C%22%u00E9+`,
		".NET":                             `Tr0ub%26dor!3%2fx%27Q+%3c%22%c3%a9%2b`,
		"a form":                           `Tr0ub%26dor%213%2Fx%27Q+%3C%22%C3%A9%2B`,
		"PHP's JSON":                       `Tr0ub&dor!3\/x'Q <\"\u00e9+`,
		"Java's JSON":                      `Tr0ub\u0026dor!3\/x\u0027Q \u003C\"\u00E9+`,
		"Python's repr":                    `Tr0ub&dor!3/x\'Q <"\xe9+`,
		"Python's repr of bytes":           `Tr0ub&dor!3/x\'Q <"\xc3\xa9+`,
		"C":                                `Tr0ub&dor!3/x\047Q\040<\"\303\251+`,
		"ECMAScript":                       `Tr0ub\u{26}dor!3/x\x27Q <\"\u{e9}+`,
		"SQL":                              `Tr0ub&dor!3/x''Q <"é+`,
		"CSV":                              `Tr0ub&dor!3/x'Q <""é+`,
		"a shell":                          `Tr0ub\&dor\!3/x\'Q\ \<\"é+`,
		"a shell, quoted":                  `Tr0ub&dor!3/x'"'"'Q <"é+`,
		"JSON in JSON":                     `Tr0ub\\u0026dor!3\\/x'Q \\u003c\\\"é+`,
		"JSON in JSON in JSON":             `Tr0ub\\\\u0026dor!3\\\\\\/x'Q \\\\u003c\\\\\\\"é+`,
		"HTML in HTML":                     `Tr0ub&amp;amp;dor!3/x&amp;#x27;Q &amp;lt;&amp;quot;&amp;#233;+`,
		"HTML in JSON":                     `Tr0ub\u0026amp;dor!3\/x\u0026#x27;Q \u0026lt;\u0026quot;é+`,
		"HTML in a URL":                    `Tr0ub%26amp%3Bdor!3%2Fx%26%23x27%3BQ%20%26lt%3B%26quot%3B%C3%A9%2B`,
		"a URL in HTML":                    `Tr0ub%26dor!3%2Fx&#x27;Q&#x25;20%3C%22%C3%A9&#43;`,
		"a URL in a URL":                   `Tr0ub%2526dor!3%252Fx'Q%2520%253C%2522%25C3%25A9%252B`,
		"a URL in a URL in a URL":          `Tr0ub%252526dor!3%25252Fx'Q%252520%25253C%252522%2525C3%2525A9%25252B`,
		"base64 in a URL":                  url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s.Reveal()))),
		"base64 in a URL, half of it":      strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(s.Reveal())), "=", "%3d"),
		"base64 in PHP's JSON in a string": strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(s.Reveal())), "/", `\\/`),
	} {
		if got := secret.Scrub("wrong: "+text+"| no", s); got != "wrong: [secret]| no" {
			t.Errorf("%s: %s gives %s", form, text, got)
		}
	}
}

// ways to write one character, beside as it is.
var ways = []func(r rune) string{
	func(r rune) string { return percent(r, "%%%02X") },
	func(r rune) string { return percent(r, "%%%02x") },
	func(r rune) string { return percent(r, `\x%02x`) },
	func(r rune) string { return percent(r, `\%03o`) },
	func(r rune) string { return fmt.Sprintf("&#%d;", r) },
	func(r rune) string { return fmt.Sprintf("&#%03d;", r) },
	func(r rune) string { return fmt.Sprintf("&#x%x;", r) },
	func(r rune) string { return fmt.Sprintf("&#X%X;", r) },
	func(r rune) string { return fmt.Sprintf(`\u{%x}`, r) },
	func(r rune) string { return fmt.Sprintf(`\U%08x`, r) },
	func(r rune) string { return units(r, `\u%04x`) },
	func(r rune) string { return units(r, `%%u%04X`) },
	func(r rune) string { return html.EscapeString(string(r)) },
	func(r rune) string {
		b, _ := json.Marshal(string(r))
		return string(b[1 : len(b)-1])
	},
	func(r rune) string { return url.QueryEscape(string(r)) },
	func(r rune) string { return url.PathEscape(string(r)) },
	func(r rune) string {
		if strings.ContainsRune(`/\"'!$&%<> `, r) {
			return `\` + string(r)
		}
		return string(r)
	},
	func(r rune) string {
		if r == '\'' || r == '"' {
			return strings.Repeat(string(r), 2)
		}
		return string(r)
	},
	func(r rune) string {
		if r == '\'' {
			return `'\''`
		}
		return string(r)
	},
}

func percent(r rune, format string) string {
	out := ""
	for _, b := range []byte(string(r)) {
		out += fmt.Sprintf(format, b)
	}
	return out
}

func units(r rune, format string) string {
	out := ""
	for _, u := range utf16.Encode([]rune{r}) {
		out += fmt.Sprintf(format, u)
	}
	return out
}

// character draws those that are escaped, or look like a part of an escape, often.
func character() *rapid.Generator[rune] {
	return rapid.OneOf(rapid.SampledFrom([]rune(`%&\'"+ /;#xu{}<>=!0123456789abcdefABCDEFntUé€😀`+"\n\t\x00")), rapid.Rune().Filter(func(r rune) bool { return r != '|' && r != '\uFFFD' }))
}

// However each character of a secret is written, by itself and even where it is a
// part of what stands for another, nothing of the secret stays.
func TestScrubTakesOutEverySpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := string(rapid.SliceOfN(character(), 4, 40).Draw(t, "secret"))
		if len(v) < 4 {
			t.Skip()
		}
		text := v
		for range rapid.IntRange(1, 2).Draw(t, "times") {
			// Most of what escapes does it in one way.
			usual := rapid.SampledFrom(ways).Draw(t, "way")
			mixed := rapid.IntRange(0, 10).Draw(t, "mixed")
			var out strings.Builder
			for _, r := range text {
				switch n := rapid.IntRange(0, 9).Draw(t, "as"); {
				case n >= mixed:
					out.WriteString(usual(r))
				case n%2 == 0:
					out.WriteRune(r)
				default:
					out.WriteString(rapid.SampledFrom(ways).Draw(t, "other")(r))
				}
			}
			text = out.String()
		}
		if got := secret.Scrub("|"+text+"|", secret.New("another"), secret.New(v)); got != "|[secret]|" {
			t.Fatalf("%q, written as %q, gives %q", v, text, got)
		}
	})
}

// A short secret is a word of its own also where the characters beside it are
// escaped, or it is itself.
func TestScrubTakesOutShortWordsInEscapes(t *testing.T) {
	for _, c := range []struct{ text, word, want string }{
		{"password=a&amp;b.", "a&b", "password=[secret]."},
		{"password%3Dabc%26x", "abc", "password%3D[secret]%26x"},
		{`"said\nabc\n"`, "abc", `"said\n[secret]\n"`},
		{"x%61bc", "abc", "x%61bc"},
		{"%41abc", "abc", "%41abc"},
	} {
		if got := secret.Scrub(c.text, secret.New(c.word)); got != c.want {
			t.Errorf("%q without %q is %q, want %q", c.text, c.word, got, c.want)
		}
	}
}

// Two overlapping occurrences leave nothing of either.
func TestScrubTakesOutOverlappingSecrets(t *testing.T) {
	if got := secret.Scrub("x abcabcabc y cdefgh", secret.New("abcabc"), secret.New("cdef"), secret.New("efgh")); got != "x [secret] y [secret]" {
		t.Errorf("got %q", got)
	}
}

// What is made to be hard to read is read in a bounded time, or not shown.
func TestScrubIsBounded(t *testing.T) {
	const size = 1 << 16
	for _, unit := range []string{"a", `\`, "'", `"`, "%", "%25", "&", "&amp;", "&#38;", `\x5c`, `\u005c`, `\\\u0026`, `\134`, `'\''`, `%5c%75%30%30%35%63`, "+"} {
		text := strings.Repeat(unit, size/len(unit))
		for _, want := range []string{strings.Repeat("a", 5000) + "b", strings.Repeat(`\`, 500) + "b", strings.Repeat(`'`, 5000) + "b", "&&&&b"} {
			got := secret.Scrub(text, secret.New(want))
			if got != text && !strings.Contains(got, secret.Redacted) {
				t.Errorf("%q repeated: without %q… it is %q…", unit, want[:4], got[:20])
			}
		}
	}
}

// A thousand credentials with three tokens each, and a page that names none.
func BenchmarkScrub(b *testing.B) {
	var all []secret.Text
	for i := range 3000 {
		all = append(all, secret.New(fmt.Sprintf("token-%d-%s", i, strings.Repeat("x9_Q", 16))))
	}
	page := strings.Repeat(`<p class="x">it's a <b>bad</b> day &amp; so on: %20 \"token\"</p>`+"\n", 250)
	for b.Loop() {
		if got := secret.Scrub(page, all...); got != page {
			b.Fatal(got)
		}
	}
}

func FuzzScrub(f *testing.F) {
	f.Add(`a&amp;%26\u0026''\\\"+`, `a&&&'\"+`)
	f.Add("aaaaaaaa", "aaaa")
	f.Fuzz(func(t *testing.T, text, want string) {
		got := secret.Scrub(text, secret.New(want))
		if len(want) < 4 {
			return
		}
		if !strings.Contains(text, secret.Redacted) && slices.ContainsFunc(strings.Split(got, secret.Redacted), func(part string) bool { return strings.Contains(part, want) }) {
			t.Errorf("%q without %q is %q", text, want, got)
		}
		if !strings.Contains(text, want) && got == text && strings.Contains(html.UnescapeString(text), want) && !strings.Contains(text, "\r") && !strings.Contains(text, "\x00") {
			t.Errorf("%q says %q", text, want)
		}
	})
}
