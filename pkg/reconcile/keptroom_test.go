package reconcile

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// A record keeps the newest few of the replies that could not be read, and so many bytes
// of them together; one that is too large by itself takes no other's place.
func TestHowManyRepliesARecordKeeps(t *testing.T) {
	reply := func(name string, size int) state.Raw {
		return state.Raw{Message: name, Body: secret.New(strings.Repeat("x", size))}
	}
	for name, c := range map[string]struct {
		all  []state.Raw
		want string
	}{
		"few":           {[]state.Raw{reply("a", 1), reply("b", 1)}, "ab"},
		"many":          {[]state.Raw{reply("a", 1), reply("b", 1), reply("c", 1), reply("d", 1), reply("e", 1)}, "bcde"},
		"large":         {[]state.Raw{reply("a", 20<<10), reply("b", 1), reply("c", 20<<10)}, "bc"},
		"one too large": {[]state.Raw{reply("a", 1), reply("b", 40<<10)}, "a"},
	} {
		kept, over := keptTogether(c.all)
		got := ""
		for i := range kept {
			got += kept[i].Message
		}
		if got != c.want || over != len(c.all)-len(kept) {
			t.Errorf("%s: kept %q, %d over, want %q", name, got, over, c.want)
		}
	}
}

// One of which all has ended by itself is kept no longer.
func TestARepliesTokensEnd(t *testing.T) {
	all := []state.Raw{{Message: "known", Until: t0.Add(time.Hour)}, {Message: "not known"}}
	if n := len(livingReplies(all, t0)); n != 2 {
		t.Errorf("%d", n)
	}
	if left := livingReplies(all, t0.Add(time.Hour)); len(left) != 1 || left[0].Message != "not known" || len(all) != 2 || all[0].Message != "known" {
		t.Errorf("%+v", left)
	}
}

// What a reply brings that is read beside the token in force gets a generation that no
// token of the record has.
func TestAGenerationToSpare(t *testing.T) {
	for name, c := range map[string]struct {
		force    uint64
		retiring []uint64
		want     uint64
	}{"none is taken": {5, nil, 4}, "some are": {5, []uint64{4, 2}, 3}, "all are": {2, []uint64{1}, 0}} {
		in := Input{Record: state.Credential{Grant: &state.Grant{Generation: c.force}}}
		for _, n := range c.retiring {
			in.Record.Retiring = append(in.Record.Retiring, state.Grant{Generation: n})
		}
		if got := in.spareGeneration(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
