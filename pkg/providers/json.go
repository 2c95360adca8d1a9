package providers

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth of nested arrays and objects in a reply.
const maxDepth = 128

// jsonValue is a value inside a JSON text that has been checked by [scanJSON]:
// the text of the value and nothing else. Members are looked up in the text
// itself, because a token's reply has few and each is read once.
type jsonValue string

// scanJSON checks that s is one JSON value in UTF-8 and returns it without the
// white space around it.
func scanJSON(s string) (jsonValue, bool) {
	s = strings.TrimPrefix(s, "\ufeff")
	if !utf8.ValidString(s) {
		return "", false
	}
	start := skipSpace(s, 0)
	end, ok := skipValue(s, start, 0)
	if !ok || skipSpace(s, end) != len(s) {
		return "", false
	}
	return jsonValue(s[start:end]), true
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t') {
		i++
	}
	return i
}

// skipValue returns the index behind the value that begins at i.
func skipValue(s string, i, depth int) (int, bool) {
	if i >= len(s) || depth > maxDepth {
		return i, false
	}
	switch c := s[i]; {
	case c == '"':
		return skipString(s, i)
	case c == '{':
		return skipObject(s, i, depth)
	case c == '[':
		return skipArray(s, i, depth)
	case c == '-' || '0' <= c && c <= '9':
		return skipNumber(s, i)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(s[i:], word) {
			return i + len(word), true
		}
	}
	return i, false
}

func skipString(s string, i int) (int, bool) {
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1, true
		case c < 0x20:
			return i, false
		case c == '\\':
			i++
			if i >= len(s) {
				return i, false
			}
			if s[i] != 'u' {
				if strings.IndexByte(`"\/bfnrt`, s[i]) < 0 {
					return i, false
				}
				continue
			}
			for n := 0; n < 4; n++ {
				i++
				if i >= len(s) || !isHex(s[i]) {
					return i, false
				}
			}
		}
	}
	return i, false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func skipNumber(s string, i int) (int, bool) {
	digits := func() bool {
		from := i
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if s[i] == '-' {
		i++
	}
	zero := i < len(s) && s[i] == '0'
	from := i
	if !digits() || zero && i-from > 1 {
		return i, false
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return i, false
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return i, false
		}
	}
	return i, true
}

func skipObject(s string, i, depth int) (int, bool) {
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		return i + 1, true
	}
	for {
		if i >= len(s) || s[i] != '"' {
			return i, false
		}
		var ok bool
		if i, ok = skipString(s, i); !ok {
			return i, false
		}
		if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
			return i, false
		}
		if i, ok = skipValue(s, skipSpace(s, i+1), depth+1); !ok {
			return i, false
		}
		i = skipSpace(s, i)
		switch {
		case i < len(s) && s[i] == ',':
			i = skipSpace(s, i+1)
		case i < len(s) && s[i] == '}':
			return i + 1, true
		default:
			return i, false
		}
	}
}

func skipArray(s string, i, depth int) (int, bool) {
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == ']' {
		return i + 1, true
	}
	for {
		var ok bool
		if i, ok = skipValue(s, i, depth+1); !ok {
			return i, false
		}
		i = skipSpace(s, i)
		switch {
		case i < len(s) && s[i] == ',':
			i = skipSpace(s, i+1)
		case i < len(s) && s[i] == ']':
			return i + 1, true
		default:
			return i, false
		}
	}
}

// each calls f with the members of an object; the walk ends when f returns
// false. For anything but an object it does nothing.
func (v jsonValue) each(f func(key string, member jsonValue) bool) {
	s := string(v)
	if len(s) == 0 || s[0] != '{' {
		return
	}
	for i := skipSpace(s, 1); s[i] == '"'; {
		end, _ := skipString(s, i)
		key := jsonValue(s[i:end])
		i = skipSpace(s, skipSpace(s, end)+1) // over the colon
		end, _ = skipValue(s, i, 0)
		if !f(key.text(), jsonValue(s[i:end])) {
			return
		}
		i = skipSpace(s, end)
		if s[i] != ',' {
			return
		}
		i = skipSpace(s, i+1)
	}
}

// member returns a member of an object; of two with one name the last, as
// encoding/json has it. "" is a member that is absent.
func (v jsonValue) member(name string) jsonValue {
	var found jsonValue
	v.each(func(key string, m jsonValue) bool {
		if key == name {
			found = m
		}
		return true
	})
	return found
}

// element returns an element of an array, "" when there is none.
func (v jsonValue) element(n int) jsonValue {
	s := string(v)
	if len(s) == 0 || s[0] != '[' || n < 0 {
		return ""
	}
	for i := skipSpace(s, 1); s[i] != ']'; n-- {
		end, _ := skipValue(s, i, 0)
		if n == 0 {
			return jsonValue(s[i:end])
		}
		if i = skipSpace(s, end); s[i] == ',' {
			i = skipSpace(s, i+1)
		}
	}
	return ""
}

// isNull is true for null and for what is absent.
func (v jsonValue) isNull() bool { return v == "" || v[0] == 'n' }

func (v jsonValue) isObject() bool { return v != "" && v[0] == '{' }

// isEmpty is true for an object or an array with nothing in it.
func (v jsonValue) isEmpty() bool {
	if v == "" || v[0] != '{' && v[0] != '[' {
		return false
	}
	return strings.TrimSpace(string(v[1:len(v)-1])) == ""
}

func (v jsonValue) isString() bool { return v != "" && v[0] == '"' }

func (v jsonValue) isNumber() bool { return v != "" && (v[0] == '-' || '0' <= v[0] && v[0] <= '9') }

func (v jsonValue) isBool() bool { return v != "" && (v[0] == 't' || v[0] == 'f') }

// text is a string's content, and the text itself of anything else. Without
// escapes it is a part of the document and costs nothing.
func (v jsonValue) text() string {
	if !v.isString() {
		return string(v)
	}
	inner := string(v[1 : len(v)-1])
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var out string
	if json.Unmarshal([]byte(v), &out) != nil {
		return inner // cannot be: the text was checked
	}
	return out
}

// halved says that a text has half of a character in it: one of the two escapes of a pair
// (RFC 8259 section 8.2). No string is what it says.
func (v jsonValue) halved() bool {
	s := string(v)
	for {
		i := strings.IndexByte(s, '\\')
		switch {
		case i < 0:
			return false
		case s[i+1] != 'u':
			s = s[i+2:]
			continue
		}
		first, second := escaped(s[i:]), rune(-1)
		if s = s[i+6:]; strings.HasPrefix(s, `\u`) {
			second = escaped(s)
		}
		switch {
		case !utf16.IsSurrogate(first):
		case utf16.DecodeRune(first, second) == utf8.RuneError:
			return true
		default:
			s = s[6:]
		}
	}
}

// escaped is what the escape says that a checked text begins with: \uXXXX.
func escaped(s string) rune {
	n, _ := strconv.ParseUint(s[2:6], 16, 32)
	return rune(n)
}

// appendJSONString appends s as a JSON string. Only what JSON demands is
// escaped, so that the bytes are those which an API's page shows.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}
