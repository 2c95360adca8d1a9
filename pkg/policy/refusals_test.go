package policy

import (
	"slices"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// What is forbidden of a block is said once, whatever its instances are called.
func TestRefusalsAreSaidOnceABlock(t *testing.T) {
	at := func(line int) *hcl.Range {
		return &hcl.Range{Filename: "main.hcl", Start: hcl.Pos{Line: line, Byte: 100 * line}, End: hcl.Pos{Line: line, Byte: 100*line + 5}}
	}
	type refused struct {
		at       *hcl.Range
		who, why string
	}
	for name, c := range map[string]struct {
		in   []refused
		want []string
	}{
		"one": {[]refused{{at(1), `sink.file.x`, "/a is not among them"}}, []string{"sink.file.x: /a is not among them."}},
		"instances, each with its own words": {[]refused{
			{at(1), `sink.file.x["a"]`, "/a is not"}, {at(1), `sink.file.x["b"]`, "/b is not"}, {at(1), `sink.file.x["c"]`, "/c is not"},
			{at(1), `sink.file.x["d"]`, "/d is not"}, {at(1), `sink.file.x["e"]`, "/e is not"}, {at(1), `sink.file.x["f"]`, "/f is not"},
		}, []string{`sink.file.x["a"]: /a is not. Likewise sink.file.x["b"], sink.file.x["c"], sink.file.x["d"] and 2 more.`}},
		"another block": {[]refused{{at(1), `sink.file.x[0]`, "/a is not"}, {at(2), `sink.file.y[0]`, "/a is not"}},
			[]string{"sink.file.x[0]: /a is not.", "sink.file.y[0]: /a is not."}},
		"another argument": {[]refused{{at(1), `sink.file.x[0]`, "/a is not"}, {at(2), `sink.file.x[1]`, "mode"}},
			[]string{"sink.file.x[0]: /a is not.", "sink.file.x[1]: mode."}},
		"blocks for one reason at one place": {[]refused{{at(1), "credential.x.a", "https://o is not"}, {at(1), "credential.x.b", "https://o is not"}, {at(1), "credential.x.c", "https://p is not"}},
			[]string{"credential.x.a: https://o is not. Likewise credential.x.b.", "credential.x.c: https://p is not."}},
		"two reasons of each": {[]refused{
			{at(1), `credential.x.a["1"]`, "https://o is not"}, {at(1), `credential.x.a["1"]`, "https://p is not"},
			{at(1), `credential.x.a["2"]`, "https://o is not"}, {at(1), `credential.x.a["2"]`, "https://p is not"},
		}, []string{`credential.x.a["1"]: https://o is not. Likewise credential.x.a["2"].`, `credential.x.a["1"]: https://p is not. Likewise credential.x.a["2"].`}},
		"the same once more": {[]refused{{nil, "tokend", "no"}, {nil, "tokend", "no"}}, []string{"tokend: no."}},
	} {
		t.Run(name, func(t *testing.T) {
			var r refusals
			for _, x := range c.in {
				r.add(x.at, x.who, x.why)
			}
			var got []string
			for _, d := range r.diagnostics() {
				got = append(got, d.Detail)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("said is %q, want %q", got, c.want)
			}
		})
	}
}
