package secret

import (
	"html"
	"strings"
	"unicode/utf8"
)

const (
	// introducers begin all that stands for other characters.
	introducers = "%&\\'\"+"
	// maxReadings bounds what the characters from one place on are read as: more
	// than three encodings, one around the other, give.
	maxReadings = 64
	// maxWork bounds what reading a text and looking for secrets in it may take, a
	// few tenths of a second, counted in bytes compared.
	maxWork  = 1 << 27
	charWork = 32  // of reading a byte in all ways
	forkWork = 128 // of comparing it in all ways
	keptWork = 512 // of keeping what may be escaped at a place
)

// spelling is a text with every way of reading it. Where a stretch of it can be
// an escape (URL, HTML, JSON, a shell, SQL and so on) it may be read as such or as
// it stands, each by itself: who echoes a secret escapes what of it he likes, and a
// secret may look like an escape.
type spelling struct {
	text     string
	escapes  map[int][]escape // by where they begin
	starts   [256][]int       // where escapes begin, by the first byte that they stand for
	boundary map[int]bool     // ends of escapes that stand for no letter or digit
	left     int              // of maxWork; below zero nothing that was found can be relied on
}

// escape is a stretch of a text that stands for something else.
type escape struct {
	is  string
	end int
}

// spell reads a text from its end, so that what follows an escape is read when it
// is: an escaped introducer begins an escape itself.
func spell(text string) *spelling {
	s := &spelling{text: text, left: maxWork}
	for i := strings.LastIndexAny(text, introducers); i >= 0 && s.left >= 0; i = strings.LastIndexAny(text[:i], introducers) {
		s.read(i)
	}
	return s
}

func (s *spelling) read(i int) {
	all := []escape{{s.text[i : i+1], i + 1}}
	for k := 0; k < len(all); k++ {
		s.standsFor(all[k], func(is string, end int) {
			for _, e := range all {
				if e.end == end && e.is == is {
					return
				}
			}
			if len(all) < maxReadings {
				all = append(all, escape{is, end})
			}
		})
	}
	if len(all) == 1 {
		return
	}
	if s.escapes == nil {
		s.escapes, s.boundary = map[int][]escape{}, map[int]bool{}
	}
	s.escapes[i] = all[1:]
	s.left -= keptWork
	var seen [256]bool
	for _, e := range all[1:] {
		if b := e.is[0]; !seen[b] {
			seen[b] = true
			s.starts[b] = append(s.starts[b], i)
		}
		if r, _ := utf8.DecodeLastRuneInString(e.is); !wordRune(r) {
			s.boundary[e.end] = true
		}
	}
}

// chars gives every way of reading one byte at a place.
func (s *spelling) chars(at int, f func(c byte, end int)) {
	s.left -= charWork * (1 + len(s.escapes[at]))
	if at >= len(s.text) || s.left < 0 {
		return
	}
	f(s.text[at], at+1)
	for _, e := range s.escapes[at] {
		if len(e.is) == 1 {
			f(e.is[0], e.end)
		}
	}
}

// fixed gives the ends of a certain text at a place.
func (s *spelling) fixed(at int, want string, f func(end int)) {
	if want == "" {
		f(at)
		return
	}
	s.chars(at, func(c byte, end int) {
		if c == want[0] {
			s.fixed(end, want[1:], f)
		}
	})
}

// digits gives the number at a place, after each of its digits.
func (s *spelling) digits(at int, base, most int, f func(v rune, n, end int)) {
	var next func(at, n int, v rune)
	next = func(at, n int, v rune) {
		s.chars(at, func(c byte, end int) {
			if d := digit(c); d < base && n < most {
				v := v*rune(base) + rune(d)
				if v > utf8.MaxRune {
					return
				}
				f(v, n+1, end)
				next(end, n+1, v)
			}
		})
	}
	next(at, 0, 0)
}

func digit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return 16
}

// standsFor gives what may be meant by a character and what follows it.
func (s *spelling) standsFor(e escape, emit func(is string, end int)) {
	switch e.is {
	case "+":
		emit(" ", e.end)
	case "%":
		s.hex(e.end, 2, emit)
		s.unit(e.end, "%", emit)
	case "&":
		s.entity(e.end, emit)
	case `\`:
		s.backslash(e.end, emit)
	case "'": // of SQL and YAML, then of shells
		for _, rest := range []string{`'`, `\''`, `"'"'`} {
			s.fixed(e.end, rest, func(end int) { emit("'", end) })
		}
	case `"`:
		s.fixed(e.end, `"`, func(end int) { emit(`"`, end) })
		s.fixed(e.end, `'"'"`, func(end int) { emit(`"`, end) })
	}
}

// value gives the character of a number, and the byte where that is another.
func value(v rune, end int, emit func(string, int)) {
	if utf8.ValidRune(v) {
		emit(string(v), end)
	}
	if v >= utf8.RuneSelf && v <= 0xFF {
		emit(string([]byte{byte(v)}), end)
	}
}

// hex is a number of so many digits.
func (s *spelling) hex(at, digits int, emit func(string, int)) {
	s.digits(at, 16, digits, func(v rune, n, end int) {
		if n == digits {
			value(v, end, emit)
		}
	})
}

// unit is u and a unit of UTF-16, or two that make one character.
func (s *spelling) unit(at int, introducer string, emit func(string, int)) {
	s.fixed(at, "u", func(at int) {
		s.digits(at, 16, 4, func(hi rune, n, end int) {
			switch {
			case n != 4:
			case hi < 0xD800 || hi > 0xDBFF:
				value(hi, end, emit)
			default:
				s.fixed(end, introducer+"u", func(at int) {
					s.digits(at, 16, 4, func(lo rune, n, end int) {
						if n == 4 && lo >= 0xDC00 && lo <= 0xDFFF {
							emit(string((hi-0xD800)<<10+(lo-0xDC00)+0x10000), end)
						}
					})
				})
			}
		})
	})
}

// entity is a character of HTML or XML, by name or number.
func (s *spelling) entity(at int, emit func(string, int)) {
	number := func(base int) func(at int) {
		return func(at int) {
			s.digits(at, base, 10, func(v rune, _, end int) {
				if end == len(s.text) || digit(s.text[end]) >= base {
					value(v, end, emit) // browsers take it without the semicolon, too
				}
				s.fixed(end, ";", func(end int) { value(v, end, emit) })
			})
		}
	}
	s.fixed(at, "#", number(10))
	s.fixed(at, "#x", number(16))
	s.fixed(at, "#X", number(16))

	s.name(at, "", emit)
}

// name is the name of a character of HTML, with its semicolon but for the oldest.
func (s *spelling) name(at int, name string, emit func(string, int)) {
	const shortest, old, longest = 2, 6, 32
	if n := len(name); n >= shortest && n <= old {
		if is := html.UnescapeString("&" + name); utf8.RuneCountInString(is) == 1 {
			emit(is, at)
		}
	}
	s.chars(at, func(c byte, end int) {
		switch {
		case c == ';' && name != "":
			if is := html.UnescapeString("&" + name + ";"); !strings.HasSuffix(is, ";") || name == "semi" {
				emit(is, end)
			}
		case c < utf8.RuneSelf && wordRune(rune(c)) && len(name) < longest:
			s.name(end, name+string(rune(c)), emit)
		}
	})
}

// controls are what letters behind a backslash stand for.
var controls = map[byte]string{'a': "\a", 'b': "\b", 'e': "\x1b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v"}

// backslash is an escape of JSON, of most languages, or of a shell.
func (s *spelling) backslash(at int, emit func(string, int)) {
	s.chars(at, func(c byte, end int) {
		emit(string([]byte{c}), end)
		if is, ok := controls[c]; ok {
			emit(is, end)
		}
		switch c {
		case 'x':
			s.hex(end, 2, emit)
		case 'U':
			s.hex(end, 8, emit)
		}
		if c == 'x' || c == 'u' {
			s.fixed(end, "{", func(at int) {
				s.digits(at, 16, 8, func(v rune, _, end int) {
					s.fixed(end, "}", func(end int) { value(v, end, emit) })
				})
			})
		}
	})
	s.unit(at, `\`, emit)
	s.digits(at, 8, 3, func(v rune, _, end int) { value(v, end, emit) })
}
