package main

import (
	"encoding/json"
	"testing"

	"tokend/pkg/state"
)

// `state show` says of a sink which places it was moved away from and has not left
// yet, and what each of them holds.
func TestStateShowNamesThePlacesThatASinkLeaves(t *testing.T) {
	const a, b = "credential.x.a", "credential.x.b"
	for name, c := range map[string]struct {
		leaving []string
		left    map[string]map[string]uint64
		want    string // of "leaving"; "" for none
	}{
		"it is where it was":        {nil, nil, ""},
		"it leaves a place":         {[]string{"/old"}, map[string]map[string]uint64{"file:/old": {a: 1, b: 4}}, `[{"place":"file:/old","delivered":{"credential.x.a":1,"credential.x.b":4}}]`},
		"it leaves two":             {[]string{"/old", "/older"}, map[string]map[string]uint64{"file:/old": {a: 2}, "file:/older": {a: 1}}, `[{"place":"file:/old","delivered":{"credential.x.a":2}},{"place":"file:/older","delivered":{"credential.x.a":1}}]`},
		"one of them holds it":      {[]string{"/old"}, map[string]map[string]uint64{"": {a: 1}}, `[{"place":"file:/old"},{"delivered":{"credential.x.a":1}}]`},
		"it has come back to there": {[]string{"/new"}, map[string]map[string]uint64{"file:/new": {a: 1}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rec := state.Sink{SinkKind: "file", Written: []byte("file:/new\naccount"), Left: c.left}
			for _, path := range c.leaving {
				rec.Leaving = append(rec.Leaving, []byte("file:"+path+"\naccount"))
			}
			got := ""
			if left, ok := showSink(&rec)["leaving"]; ok {
				b, err := json.Marshal(left)
				if err != nil {
					t.Fatal(err)
				}
				got = string(b)
			}
			if got != c.want {
				t.Errorf("leaving %s\nwant %s", got, c.want)
			}
		})
	}
}
