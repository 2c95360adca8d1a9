package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// brokenJSON says where a JSON document stops being one, in one diagnostic: what
// a reader makes of the rest only follows. Nil: it is JSON.
func brokenJSON(src []byte, fileName string) *hcl.Diagnostic {
	var v json.RawMessage
	err := json.Unmarshal(src, &v)
	var bad *json.SyntaxError
	if !errors.As(err, &bad) {
		return nil
	}
	at := int(bad.Offset) - 1 // the offset counts the byte that is wrong
	if strings.HasPrefix(bad.Error(), "unexpected end") {
		return unfinishedJSON(src, fileName)
	}
	at = min(max(at, 0), len(src))
	says := bad.Error()
	switch _, where, _ := strings.Cut(says, "' "); {
	case strings.HasPrefix(where, "in string literal"):
		from := stringStart(src, at)
		return problem(bytesRange(src, fileName, from, at), "Invalid JSON", `This string does not end on its line: its closing quote is missing, or stands one string further up. A line break inside a string is written \n.`)
	case strings.HasPrefix(where, "in string escape"), strings.HasPrefix(where, `in \u`):
		return jsonProblem(src, fileName, at, `A backslash in a JSON string begins one of \" \\ \/ \b \f \n \r \t \uXXXX; a backslash itself is written \\.`)
	case strings.HasPrefix(where, "after object key:value pair"):
		return jsonProblem(src, fileName, at, "Here a comma is expected, before another member, or the closing brace.")
	case strings.HasPrefix(where, "after object key"):
		return jsonProblem(src, fileName, at, "Here a colon is expected, between a member's name and its value.")
	case strings.HasPrefix(where, "after array element"):
		return jsonProblem(src, fileName, at, "Here a comma is expected, before another element, or the closing bracket.")
	case strings.HasPrefix(where, "after top-level value"):
		return jsonProblem(src, fileName, at, "The document has ended before this: a brace closes too early, or this does not belong here.")
	case strings.HasPrefix(where, "looking for beginning of object key"):
		return jsonProblem(src, fileName, at, jsonKeyAdvice(src[at:]))
	}
	return jsonProblem(src, fileName, at, jsonValueAdvice(src[at:]))
}

func jsonProblem(src []byte, fileName string, at int, detail string) *hcl.Diagnostic {
	_, size := utf8.DecodeRune(src[at:])
	return problem(bytesRange(src, fileName, at, at+size), "Invalid JSON", detail)
}

func jsonKeyAdvice(rest []byte) string {
	switch {
	case rest[0] == '}':
		return "No comma may stand after the last member: take out the one before this brace."
	case isJSONComment(rest):
		return `JSON has no comments. Write a member named "//", which is not read.`
	}
	return "Here the name of a member is expected, in double quotes."
}

func jsonValueAdvice(rest []byte) string {
	switch {
	case rest[0] == ']':
		return "No comma may stand after the last element: take out the one before this bracket."
	case rest[0] == '}' || rest[0] == ',':
		return "Here a value is expected."
	case rest[0] == '\'':
		return "Strings stand in double quotes."
	case isJSONComment(rest):
		return `JSON has no comments. Write a member named "//", which is not read.`
	}
	return "This is not a JSON value. Strings and references stand in double quotes; other values are numbers, true, false, null, […] and {…}."
}

func isJSONComment(rest []byte) bool {
	return rest[0] == '#' || bytes.HasPrefix(rest, []byte("//")) || bytes.HasPrefix(rest, []byte("/*"))
}

// unfinishedJSON is about a document that ends too early: at the innermost
// bracket, or the string, that is still open.
func unfinishedJSON(src []byte, fileName string) *hcl.Diagnostic {
	var open []int
	text := -1
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case text >= 0 && c == '\\':
			i++
		case c == '"' && text >= 0:
			text = -1
		case c == '"':
			text = i
		case text >= 0:
		case c == '{' || c == '[':
			open = append(open, i)
		case (c == '}' || c == ']') && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	switch {
	case text >= 0:
		return problem(bytesRange(src, fileName, text, len(src)), "Invalid JSON", "The file ends inside this string: its closing quote is missing.")
	case len(open) > 0:
		return jsonProblem(src, fileName, open[len(open)-1], "The file ends before this bracket is closed.")
	}
	return problem(bytesRange(src, fileName, len(src), len(src)), "Invalid JSON", "The file ends before its document does: write at least {}.")
}

// stringStart is where the string begins that goes on at a place.
func stringStart(src []byte, at int) int {
	for i := at - 1; i >= 0; i-- {
		if src[i] == '"' {
			return i
		}
	}
	return at
}

// bytesRange is a range of a text, in the lines and columns of people.
func bytesRange(src []byte, fileName string, from, to int) hcl.Range {
	pos := func(at int) hcl.Pos {
		before := src[:at]
		begin := bytes.LastIndexByte(before, '\n') + 1
		return hcl.Pos{Line: bytes.Count(before, []byte("\n")) + 1, Column: columns(string(before[begin:])) + 1, Byte: at}
	}
	from = min(from, len(src))
	return hcl.Range{Filename: fileName, Start: pos(from), End: pos(min(max(from, to), len(src)))}
}
