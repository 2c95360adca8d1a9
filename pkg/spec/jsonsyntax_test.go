package spec

import (
	"fmt"
	"strings"
	"testing"
)

// A broken JSON file is one mistake, at the place where it begins.
func TestJSONSyntax(t *testing.T) {
	for _, test := range []struct{ text, marked, words string }{
		{"{\n  \"locals\": {\"a\": 1}\n  \"secret\": {}\n}", `3:3 "`, "a comma is expected"},
		{"{\"locals\": {\"a\": 1,},}", "1:20 }", "after the last member"},
		{"{\"locals\": {\"a\": [1, 2,]}}", "1:24 ]", "after the last element"},
		{"{\"locals\": {\"a\": [1 2]}}", "1:21 2", "the closing bracket"},
		{"{\"locals\": {\"a\" 1}}", "1:17 1", "a colon"},
		{"{\"locals\": {a: 1}}", "1:13 a", "in double quotes"},
		{"{\"locals\": {\"a\": 'x'}}", "1:18 '", "double quotes"},
		{"{\"locals\": {\"a\": var.x}}", "1:18 v", "references stand in double quotes"},
		{"{\"locals\": {\"a\": }}", "1:18 }", "a value is expected"},
		{"{\"locals\": {\"a\": tru}}", "1:21 }", "is expected"},
		{"{ # nothing\n}", "1:3 #", `named "//"`},
		{"{\"locals\": {\"a\": // nothing\n 1}}", "1:18 /", `named "//"`},
		{"{\"locals\": {\"a\": \"x}\n}}", "1:18 \"x}", "closing quote"},
		{"{\"locals\": {\"a\": \"\\x\"}}", "1:20 x", "A backslash"},
		{"{\"locals\": {}}}", "1:15 }", "has ended before this"},
		{"{\"locals\": {\n  \"größe\": {}\n", "1:12 {", "before this bracket is closed"},
		{"{\"locals\": {\"größe\": ü}}", "1:22 ü", "not a JSON value"},
		{"{\"locals\": \"x", "1:12 \"x", "inside this string"},
		{"", "1:1 ", "write at least {}"},
	} {
		_, diags := LoadFiles("/etc/tokend", map[string][]byte{"main.hcl.json": []byte(test.text), "more.hcl": []byte(`sink "file" "x" {
  path    = "x"
  content = local.a
}`)}, testOptions())
		if strings.Contains(test.text, `"a"`) && len(diags) != 1 {
			t.Errorf("%s: %d diagnostics: %v", test.text, len(diags), diags)
		}
		if len(diags) == 0 {
			t.Errorf("%s: nothing is wrong", test.text)
			continue
		}
		d := diags[0]
		got := fmt.Sprintf("%d:%d %s", d.Subject.Start.Line, d.Subject.Start.Column, test.text[d.Subject.Start.Byte:d.Subject.End.Byte])
		if d.Summary != "Invalid JSON" || got != test.marked || !strings.Contains(d.Detail, test.words) {
			t.Errorf("%s\nat %q: %s: %s; want at %q %q", test.text, got, d.Summary, d.Detail, test.marked, test.words)
		}
	}
}
