package spec

import (
	"testing"
)

func TestRenamedTo(t *testing.T) {
	c := &Config{moved: []Moved{
		{From: "credential.x.a", To: "credential.x.b"},
		{From: "credential.x.b", To: "credential.x.c"},
		{From: `credential.x.many["k"]`, To: "credential.x.one"},
		{From: "credential.x.many", To: "credential.x.more"},
		{From: `credential.x.more["old"]`, To: `credential.x.more["new"]`},
		{From: "sink.file.s", To: `sink.file.t["k"]`},
	}}
	for from, want := range map[Address]struct {
		to    Address
		exact bool
	}{
		"credential.x.a":           {"credential.x.c", true},
		"credential.x.b":           {"credential.x.c", true},
		`credential.x.a["k"]`:      {`credential.x.c["k"]`, false},
		`credential.x.many["k"]`:   {"credential.x.one", true},
		`credential.x.many["z"]`:   {`credential.x.more["z"]`, false},
		`credential.x.many[3]`:     {`credential.x.more[3]`, false},
		`credential.x.many["old"]`: {`credential.x.more["new"]`, false},
		"sink.file.s":              {`sink.file.t["k"]`, true},
		"credential.x.c":           {},
		"sink.file.t":              {},
	} {
		to, exact, ok := c.RenamedTo(from)
		if ok != (want.to != "") || ok && (to != want.to || exact != want.exact) {
			t.Errorf("%s: %s, exact %t, %t; want %s, %t", from, to, exact, ok, want.to, want.exact)
		}
	}
}

func TestForgets(t *testing.T) {
	c := &Config{removed: []Removed{{From: "credential.x.a"}, {From: `credential.x.b["k"]`}, {From: "sink.file.s"}}}
	for a, want := range map[Address]bool{
		"credential.x.a": true, `credential.x.a["k"]`: true, `credential.x.b["k"]`: true, `credential.x.b["l"]`: false,
		"credential.x.b": false, "sink.file.s": true, "sink.file.t": false,
	} {
		if c.Forgets(a) != want {
			t.Errorf("%s: %t", a, !want)
		}
	}
}
