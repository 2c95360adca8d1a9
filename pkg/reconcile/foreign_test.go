package reconcile

import (
	"fmt"
	"testing"
	"time"
)

// A sink's first write replaces what stands at its place, unless another sink of
// ours has put it there.
func TestAPlanSaysWhatAFirstWriteReplaces(t *testing.T) {
	const place = "file:/run/tokend/a"
	for name, c := range map[string]struct {
		own, others []string // what the sink itself, and each of the others, has written
		foreign     string
		want        string
	}{
		"nobody wrote it":          {nil, []string{"file:/run/tokend/b"}, "a file", "a file"},
		"the sink itself wrote it": {[]string{place, place}, nil, "a file", "a file"},
		"others wrote it":          {nil, []string{"file:/run/tokend/b", place}, "a file", ""},
		"it and others wrote it":   {[]string{place}, []string{place}, "a file", ""},
		"nothing stands there":     {nil, nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := &foreseen{addr: "b", wanted: place, written: c.own, sink: &SinkInput{Foreign: c.foreign}}
			before, after := &foreseen{addr: "a", written: c.others}, &foreseen{addr: "c", written: c.others}
			for _, nodes := range [][]*foreseen{{before, n}, {n, after}, {before, n, after}} {
				f := &forecast{nodes: nodes}
				f.index()
				s := Step{Action: ActWrite}
				f.replaces(n, &s)
				if s.Replaces != c.want {
					t.Errorf("among %d sinks, the first of which is %s: replaces %q, want %q", len(nodes), nodes[0].addr, s.Replaces, c.want)
				}
			}
		})
	}
}

// As many sinks as a host has, each of which finds a file at its place: what that
// takes grows with their number and not with its square, which is some minutes.
func TestAPlanOfManyFirstWritesIsLinear(t *testing.T) {
	f := &forecast{}
	for i := range 100_000 {
		f.nodes = append(f.nodes, &foreseen{
			addr: fmt.Sprint(i), wanted: fmt.Sprintf("file:/run/tokend/%06d", i), written: []string{fmt.Sprintf("file:/run/former/%06d", i)},
			sink: &SinkInput{Foreign: "a file"},
		})
	}
	f.index()
	began := time.Now()
	for i, n := range f.nodes {
		s := Step{Action: ActWrite}
		if f.replaces(n, &s); s.Replaces == "" {
			t.Fatal("what stands at a place is not said")
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("30 s for %d of %d sinks: all of them were walked for each", i, len(f.nodes))
		}
	}
}
