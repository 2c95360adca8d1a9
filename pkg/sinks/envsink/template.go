package envsink

import (
	"errors"
	"fmt"
	"strings"
)

// maxTemplate is a template's size in bytes, above which it is surely none;
// maxMistakes is how many of its lines are complained about.
const (
	maxTemplate = 1 << 20
	maxMistakes = 20
)

// line is one line of an env file: a variable, or what is kept as it is.
type line struct {
	number   int
	verbatim string // without name: a comment or an empty line
	prefix   string // "NAME=", perhaps with export before it
	name     string
	value    []segment
}

// segment is literal text, followed by the value of a variable if one is named.
type segment struct {
	literal  string
	variable string
}

// parseTemplate reads an env template, and collects all of its mistakes. None
// shows more of a line than its variable's name: people keep passwords in such
// files.
func parseTemplate(text string, d dialect) ([]line, error) {
	if len(text) > maxTemplate {
		return nil, errors.New("it is larger than 1 MiB")
	}
	text = strings.TrimPrefix(text, "\uFEFF")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.TrimSuffix(text, "\n")
	var out []line
	var errs []error
	seen := map[string]int{}
	for i, raw := range strings.Split(text, "\n") {
		l, err := parseLine(raw, d)
		l.number = i + 1
		if first, ok := seen[l.name]; err == nil && l.name != "" && ok {
			err = fmt.Errorf("%s is set in line %d already", l.name, first)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", l.number, err))
		}
		if len(errs) == maxMistakes {
			return nil, errors.Join(append(errs, errors.New("and perhaps more"))...)
		}
		seen[l.name] = l.number
		out = append(out, l)
	}
	delete(seen, "")
	if len(seen) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("it sets no variable"))
	}
	return out, errors.Join(errs...)
}

const blanks = " \t"

func parseLine(raw string, d dialect) (line, error) {
	trimmed := strings.TrimLeft(raw, blanks)
	switch {
	case strings.ContainsAny(raw, "\r\x00"):
		return line{}, errors.New("a carriage return or zero byte within a line")
	case trimmed == "":
		return line{}, nil
	case strings.IndexByte(d.comments, trimmed[0]) >= 0:
		if d.comment != nil {
			if err := d.comment(raw); err != nil {
				return line{}, err
			}
		}
		return line{verbatim: raw}, nil
	}
	return parseVariable(trimmed, d)
}

func parseVariable(text string, d dialect) (line, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return line{}, errors.New("neither KEY=value nor a comment")
	}
	var l line
	if rest, ok := strings.CutPrefix(name, "export"); ok && rest != strings.TrimLeft(rest, blanks) {
		if !d.export {
			return line{}, fmt.Errorf("the format %s has no export; write KEY=value", d.format)
		}
		l.prefix, name = "export ", strings.TrimLeft(rest, blanks)
	}
	if d.spaces {
		name = strings.TrimRight(name, blanks)
	} else if name != strings.TrimRight(name, blanks) {
		return line{}, fmt.Errorf("the format %s allows no blank before the =", d.format)
	}
	if err := d.checkName(name); err != nil {
		return line{}, err
	}
	l.name, l.prefix = name, l.prefix+name+"="
	var err error
	if l.value, err = d.parseValue(value); err != nil {
		return line{}, fmt.Errorf("%s: %w", name, err)
	}
	return l, nil
}

// parseValue reads what stands behind the "=".
func (d dialect) parseValue(text string) ([]segment, error) {
	if d.quotes == "" {
		return split(text, 0, d)
	}
	if !d.spaces && text != strings.TrimLeft(text, blanks) {
		return nil, fmt.Errorf("the format %s allows no blank after the =", d.format)
	}
	text = strings.Trim(text, blanks)
	if text == "" || strings.IndexByte(d.quotes, text[0]) < 0 {
		return split(text, 0, d)
	}
	quote, inner := text[0], text[1:]
	end := closing(inner, quote)
	switch {
	case end < 0:
		return nil, errors.New("the quote is not closed in this line")
	case end != len(inner)-1:
		return nil, errors.New("there is text behind the closing quote; quote the whole value, and give a comment a line of its own")
	}
	return split(inner[:end], quote, d)
}

// closing finds the quote that ends a text. Between double ones a backslash
// hides the next character; dotenv's, which knows no such thing, refuses the
// backslash later.
func closing(text string, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] == quote:
			return i
		}
	}
	return -1
}

// split takes a value's text apart at its ${name}.
func split(text string, quote byte, d dialect) ([]segment, error) {
	var out []segment
	var literal, given strings.Builder // given: what the reader itself would look at
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case quote == '"' && d.format != formatDotenv && len(rest) > 1 && rest[0] == '\\' && strings.IndexByte(shellSpecial, rest[1]) >= 0:
			literal.WriteByte(rest[1])
			i += 2
		case strings.HasPrefix(rest, "$${"):
			literal.WriteString("${")
			i += 3
		case strings.HasPrefix(rest, "${"):
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return nil, errors.New("a ${ is not closed; write $${ for a literal one")
			}
			if !validVariable(rest[2:end]) {
				return nil, errors.New("between ${ and } stands no name of vars; write $${ for a literal ${")
			}
			out = append(out, segment{literal: literal.String(), variable: rest[2:end]})
			literal.Reset()
			i += end + 1
		default:
			literal.WriteByte(rest[0])
			given.WriteByte(rest[0])
			i++
		}
	}
	if d.bare != nil {
		if err := d.bare(given.String(), quote); err != nil {
			return nil, err
		}
	}
	return append(out, segment{literal: literal.String()}), nil
}

// validVariable reports what can be a name in vars: an identifier as HCL has
// them, of ASCII letters.
func validVariable(name string) bool {
	return ValidName(strings.ReplaceAll(name, "-", "_")) && name[0] != '-'
}
