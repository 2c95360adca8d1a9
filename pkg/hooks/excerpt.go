package hooks

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"tokend/pkg/secret"
)

const (
	maxTail    = 16 << 10 // of a program's output that is kept while it runs
	maxExcerpt = 400      // of it that goes into an error
)

// tail keeps the end of what is written to it: programs say last what went
// wrong. os/exec writes from one goroutine, because both outputs are the same
// writer.
type tail struct {
	buf []byte
	cut bool // something went missing in front
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*maxTail {
		t.cut = true
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxTail:]...)
	}
	return n, nil
}

// excerpt is the end of the output on one line, without secrets. Words of
// harmless stay even where they look like one.
func (t *tail) excerpt(scrub func(string) string, harmless string) string {
	b := t.buf
	if t.cut {
		// The first word may be the rest of a secret, which nothing would
		// recognise any more.
		if i := bytes.IndexFunc(b, unicode.IsSpace); i >= 0 {
			b = b[i:]
		} else {
			b = nil
		}
	}
	s := string(b)
	if scrub != nil {
		s = scrub(s)
	}
	return lastLines(withoutTokens(s, longWord.FindAllString(harmless, -1)), maxExcerpt)
}

// Secrets are known by what stands before them …
var namedToken = regexp.MustCompile(`(?i)\b(bearer|basic)(\s+)[^\s"']+|(token|passw(?:or)?d|secret|api[-_]?key|authorization)(["']?\s*[=:]\s*["']?)[^\s"';,]+`)

// … or by how they look: long, without spaces, with letters and digits.
var longWord = regexp.MustCompile(`[A-Za-z0-9+=_~.\-]{16,}`)

// … or by a part of them that was known: what hangs together with that goes too.
var besideSecret = regexp.MustCompile(`[A-Za-z0-9+_~\-]*(?:` + regexp.QuoteMeta(secret.Redacted) + `[A-Za-z0-9+_~\-]*)+`)

// withoutTokens takes out what looks like a token. It is a net below
// [Options.Scrub], and errs on the side of taking out too much: an excerpt that
// lost a host name is still an excerpt.
func withoutTokens(s string, harmless []string) string {
	s = namedToken.ReplaceAllString(s, "${1}${2}${3}${4}"+secret.Redacted)
	s = besideSecret.ReplaceAllString(s, secret.Redacted)
	return longWord.ReplaceAllStringFunc(s, func(w string) string {
		if slices.Contains(harmless, strings.TrimRight(w, ".")) {
			return w
		}
		var letters, digits int
		for _, r := range w {
			switch {
			case r >= '0' && r <= '9':
				digits++
			case unicode.IsLetter(r):
				letters++
			}
		}
		if letters > 0 && digits > 1 {
			return secret.Redacted
		}
		return w
	})
}

// lastLines joins the last lines of s that fit into max bytes by "; ", control
// characters removed.
func lastLines(s string, max int) string {
	lines := strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool { return r == '\n' || r == '\r' })
	out := ""
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(strings.Map(printable, lines[i]))
		if line == "" {
			continue
		}
		if out != "" {
			line += "; "
		}
		if room := max - len(out); len(line) > room {
			if out == "" {
				out = strings.ToValidUTF8(line[:max], "") + "…"
			}
			break
		}
		out = line + out
	}
	return out
}

func printable(r rune) rune {
	if r == '\t' {
		return ' '
	}
	if unicode.IsControl(r) {
		return -1
	}
	return r
}
