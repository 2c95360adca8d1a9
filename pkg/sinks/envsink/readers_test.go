package envsink_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// readSystemd reads an env file as systemd 252 does: parse_env_file_internal and
// the checks of its callers (src/basic/env-file.c, env-util.c, utf8.c), state by
// state.
func readSystemd(content string) map[string]string {
	const (
		preKey = iota
		key
		preValue
		value
		valueEscape
		singleQuote
		doubleQuote
		doubleQuoteEscape
		comment
		commentEscape
	)
	const newline, whitespace = "\n\r", " \t\n\r"
	out := map[string]string{}
	var k, v []byte
	keySpace, valueSpace := -1, -1
	push := func(chomp bool) {
		if keySpace >= 0 {
			k = k[:keySpace]
		}
		if chomp && valueSpace >= 0 {
			v = v[:valueSpace]
		}
		if systemdAccepts(string(k), string(v)) {
			out[string(k)] = string(v)
		}
		k, v, keySpace, valueSpace = nil, nil, -1, -1
	}
	is := func(set string, c byte) bool { return strings.IndexByte(set, c) >= 0 }
	state := preKey
	for i := range len(content) {
		c := content[i]
		switch state {
		case preKey:
			if is("#;", c) {
				state = comment
			} else if !is(whitespace, c) {
				state, keySpace = key, -1
				k = append(k[:0], c)
			}
		case key:
			switch {
			case is(newline, c):
				state, k = preKey, nil
			case c == '=':
				state, valueSpace = preValue, -1
			default:
				if !is(whitespace, c) {
					keySpace = -1
				} else if keySpace < 0 {
					keySpace = len(k)
				}
				k = append(k, c)
			}
		case preValue:
			switch {
			case is(newline, c):
				state = preKey
				push(false)
			case c == '\'':
				state = singleQuote
			case c == '"':
				state = doubleQuote
			case c == '\\':
				state = valueEscape
			case !is(whitespace, c):
				state = value
				v = append(v, c)
			}
		case value:
			switch {
			case is(newline, c):
				state = preKey
				push(true)
			case c == '\\':
				state, valueSpace = valueEscape, -1
			default:
				if !is(whitespace, c) {
					valueSpace = -1
				} else if valueSpace < 0 {
					valueSpace = len(v)
				}
				v = append(v, c)
			}
		case valueEscape:
			state = value
			if !is(newline, c) {
				v = append(v, c)
			}
		case singleQuote:
			if c == '\'' {
				state = preValue
			} else {
				v = append(v, c)
			}
		case doubleQuote:
			switch c {
			case '"':
				state = preValue
			case '\\':
				state = doubleQuoteEscape
			default:
				v = append(v, c)
			}
		case doubleQuoteEscape:
			state = doubleQuote
			if is("\"\\`$", c) {
				v = append(v, c)
			} else if c != '\n' {
				v = append(v, '\\', c)
			}
		case comment:
			if c == '\\' {
				state = commentEscape
			} else if is(newline, c) {
				state = preKey
			}
		case commentEscape:
			state = comment
		}
	}
	if state >= preValue && state <= doubleQuoteEscape {
		push(state == value)
	}
	return out
}

// systemdAccepts is env_assignment_is_valid.
func systemdAccepts(k, v string) bool {
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(k) || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return false
	}
	for _, r := range v {
		if r >= 0xFDD0 && r <= 0xFDEF || r&0xFFFE == 0xFFFE {
			return false
		}
	}
	return len(v) <= 2<<20
}

// dotenvLine is LINE of Node's dotenv 16 and 17 (lib/main.js).
var dotenvLine = regexp.MustCompile("(?m)^[\\s\u00a0\ufeff\u2028\u2029]*(?:export\\s+)?([\\w.-]+)(?:\\s*=\\s*?|:\\s+?)(\\s*'(?:\\\\'|[^'])*'|\\s*\"(?:\\\\\"|[^\"])*\"|\\s*`(?:\\\\`|[^`])*`|[^#\\r\\n]+)?\\s*(?:#.*)?$")

// readDotenv reads an env file as dotenv's parse does.
func readDotenv(content string) map[string]string {
	content = regexp.MustCompile("\r\n?").ReplaceAllString(content, "\n")
	out := map[string]string{}
	for _, m := range dotenvLine.FindAllStringSubmatch(content, -1) {
		v := strings.TrimFunc(m[2], func(r rune) bool {
			return strings.ContainsRune(" \t\n\v\f\r\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff", r) || r >= 0x2000 && r <= 0x200a
		})
		double := strings.HasPrefix(v, `"`)
		if n := len(v); n > 1 && strings.IndexByte("'\"`", v[0]) >= 0 && v[n-1] == v[0] {
			v = v[1 : n-1]
		}
		if double {
			v = strings.ReplaceAll(v, `\n`, "\n")
			v = strings.ReplaceAll(v, `\r`, "\r")
		}
		out[m[1]] = v
	}
	return out
}

// readDocker reads an env file as docker's pkg/kvfile does.
func readDocker(content string) map[string]string {
	out := map[string]string{}
	for l := range strings.Lines(content) {
		l = strings.TrimSuffix(strings.TrimSuffix(l, "\n"), "\r")
		l = strings.TrimLeft(l, " \t\v\f")
		if l == "" || l[0] == '#' || len(l) > 64<<10 {
			continue
		}
		if k, v, ok := strings.Cut(l, "="); ok && !strings.ContainsAny(k, " \t") {
			out[k] = v
		}
	}
	return out
}

// TestReaderModels holds the models of readers above against what is known of
// the real ones, so that a model does not err in the same way as the writer.
func TestReaderModels(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(string) map[string]string
		file string
		want string
	}{
		{"systemd takes nothing from a raw word", readSystemd, `K=a"b c"d`, `a"b c"d`},
		{"systemd stays outside of quotes after an escaped one", readSystemd, `K='a'\''b'`, `a''b'`},
		{"systemd unescapes four characters", readSystemd, `K="\"\\\` + "`" + `\$\n"`, "\"\\`$\\n"},
		{"systemd goes on after a backslash", readSystemd, "K=a\\\nb", "ab"},
		{"systemd chomps blanks", readSystemd, " K = a b \t\n", "a b"},
		{"systemd keeps a # in a value", readSystemd, "K=a #b", "a #b"},
		{"systemd's comment goes on", readSystemd, "# c\\\nK=lost\nK=kept", "kept"},
		{"dotenv cuts at a #", readDotenv, "K=a #b", "a"},
		{"dotenv expands line breaks", readDotenv, `K="a\nb"`, "a\nb"},
		{"dotenv keeps other backslashes", readDotenv, `K="a\tb\\"`, `a\tb\\`},
		{"dotenv reads over lines", readDotenv, "K='a\nb'", "a\nb"},
		{"dotenv reads an escaped quote over lines", readDotenv, "K='a\\'\nL='#'", "a\\'\nL="},
		{"docker keeps quotes", readDocker, `K="a" `, `"a" `},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.read(c.file)["K"]; got != c.want {
				t.Errorf("reading %q: %q, want %q", c.file, got, c.want)
			}
		})
	}
}

func writeTemp(t testing.TB, dir, content string) string {
	t.Helper()
	f, err := os.CreateTemp(dir, "env-*")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}
