package standin

import (
	"encoding/json"
	"testing"
)

func TestParseObject(t *testing.T) {
	for _, row := range []struct{ body, key, value, problem string }{
		{`{"a":"b"}`, "a", "b", ""},
		{" {\t\"a\" :\n\"b\" , \"c\":\"\" } \r\n", "c", "", ""},
		{`{"a":"\u00e9\"\\\n"}`, "a", "é\"\\\n", ""},
		{`{"\u0061":"b"}`, "a", "b", ""},
		{`{}`, "", "", ""},
		{`{"a":"b","\u0061":"c"}`, "", "", "the field `a` is repeated"},
		{`{"a":{"b":"c"}}`, "", "", "the field `a` must be a string"},
		{`{"a":tru}`, "", "", "the body is not one JSON object"},
		{`{"a":"b",}`, "", "", "the body is not one JSON object"},
		{`{"a":"b"`, "", "", "the body is not one JSON object"},
		{`{"a":"b`, "", "", "the body is not one JSON object"},
		{`{"a":"b\`, "", "", "the body is not one JSON object"},
		{`{"a"`, "", "", "the body is not one JSON object"},
		{`{"a":`, "", "", "the body is not one JSON object"},
		{`{"a":"\x"}`, "", "", "the body is not one JSON object"},
		{"{\"a\":\"\n\"}", "", "", "the body is not one JSON object"},
		{"{\"a\":\"\xff\"}", "", "", "the body is not one JSON object"},
		{`{"a":"b"} x`, "", "", "the body is not one JSON object"},
		{`"a"`, "", "", "the body is not one JSON object"},
	} {
		out, problem := parseObject([]byte(row.body))
		if problem != row.problem || out.get(row.key) != row.value || row.problem == "" && row.key != "" && !out.has(row.key) {
			t.Errorf("%q: %v, %q", row.body, out, problem)
		}
	}
}

func TestParsePairs(t *testing.T) {
	for _, row := range []struct{ body, key, value, problem string }{
		{"a=b", "a", "b", ""}, {"a=b+c%2B%3D&d", "a", "b c+=", ""}, {"a=b&d", "d", "", ""}, {"", "", "", ""},
		{"a=b&a=c", "", "", "the parameter `a` is repeated"}, {"a=b&%61=c", "", "", "the parameter `a` is repeated"},
		{"a=%zz", "", "", "the parameters are not well encoded"}, {"a=b;c=d", "", "", "the parameters are not well encoded"},
		{"=b", "", "", "a parameter has no name"}, {"a=b&", "", "", "a parameter has no name"}, {"a=%ff", "", "", "the parameters are not UTF-8"},
	} {
		out, problem := parsePairs(row.body)
		if problem != row.problem || out.get(row.key) != row.value {
			t.Errorf("%q: %v, %q", row.body, out, problem)
		}
	}
}

// What the parser takes, encoding/json takes with the same result; what it refuses, encoding/json refuses, but
// for members that are no strings, repeated members and bad UTF-8.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{`{"a":"b"}`, `{"a":"\u00e9","b":""}`, `{"a":1}`, `{`, `{"a":"b","a":"c"}`, `null`, `{"a":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, problem := parseObject(body)
		var want map[string]string
		err := json.Unmarshal(body, &want)
		if problem == "" {
			if err != nil || len(want) != len(got) {
				t.Fatalf("%q: took %v, encoding/json says %v, %v", body, got, want, err)
			}
			for _, x := range got {
				if want[x.key] != x.value {
					t.Fatalf("%q: %q is %q, want %q", body, x.key, x.value, want[x.key])
				}
			}
		}
		if problem == "the body is not one JSON object" && err == nil && want != nil {
			for _, c := range body {
				if c >= 0x80 {
					return
				}
			}
			t.Fatalf("%q: refused, encoding/json says %v", body, want)
		}
	})
}

// A refusal never repeats a value, and of a name only what cannot do harm.
func TestQuoteName(t *testing.T) {
	if got := quoteName("a<b>\"\n`é"); got != "`a?b?????`" {
		t.Errorf("%s", got)
	}
	if got := quoteName(string(make([]byte, 100))); len(got) != 45 {
		t.Errorf("%d bytes", len(got))
	}
}
