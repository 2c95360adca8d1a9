package sinktest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"

	"tokend/pkg/spec"
)

// wholeVersions reads while two long versions replace each other.
func wholeVersions(t *testing.T, r *rig) {
	const rounds = 50
	versions := map[string]bool{}
	for _, c := range "AB" {
		versions["canary-"+strings.Repeat(string(c), 20_000)] = true
	}
	var values []string
	for v := range versions {
		values = append(values, v)
	}
	last := r.write(t, r.desire(t, "a", values[0]), nil)
	stop := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got, ok := r.Holds("a"); !ok || !versions[got] {
				t.Errorf("a reader saw %d bytes (%v) that are no whole version", len(got), ok)
				return
			}
		}
	})
	for n := range rounds {
		last = r.write(t, r.desire(t, "a", values[n%2]), last)
	}
	close(stop)
	reader.Wait()
}

func manyPlaces(t *testing.T, r *rig) {
	const places, rounds = 8, 5
	var all sync.WaitGroup
	for p := range places {
		all.Go(func() {
			place := fmt.Sprintf("many-%d", p)
			var last []byte
			for n := range rounds {
				d, err := r.Sink.Render(r.Args(place, spec.Sensitive(cty.StringVal(canary(n)))))
				if err != nil {
					t.Errorf("Render: %v", err)
					return
				}
				if last, err = r.Sink.Write(t.Context(), d, last); err != nil {
					t.Errorf("Write: %v", err)
					return
				}
				if drift, err := r.Sink.Check(t.Context(), d, last); err != nil || drift != "" {
					t.Errorf("Check: %q, %v, want no difference", drift, err)
				}
			}
			if got, ok := r.Holds(place); !ok || got != canary(rounds-1) {
				t.Errorf("place %s holds %q (%v), want %q", place, got, ok, canary(rounds-1))
			}
			if err := r.Sink.Remove(t.Context(), last); err != nil {
				t.Errorf("Remove: %v", err)
			}
		})
	}
	all.Wait()
}

// model is what a place should hold, and what its keeper remembers of it.
type model struct {
	value   string // "" for nothing
	account []byte // as recorded; nil for never
	wrote   string // the value that account is of
	desired string
}

// anyOrder lets the sink, its keeper's memory, and somebody who meddles act in
// any order, and compares the place with a model after each step.
func anyOrder(t *testing.T, r *rig) {
	sequence := 0
	rapid.Check(t, func(t *rapid.T) {
		sequence++
		place := fmt.Sprintf("model-%d", sequence)
		m := &model{desired: canary(0)}
		t.Repeat(map[string]func(*rapid.T){
			"desire another value": func(t *rapid.T) { m.desired = canary(rapid.IntRange(0, 3).Draw(t, "value")) },
			"write": func(t *rapid.T) {
				m.account = r.write(t, r.desire(t, place, m.desired), m.account)
				m.value, m.wrote = m.desired, m.desired
			},
			"write and crash before it is recorded": func(t *rapid.T) {
				r.write(t, r.desire(t, place, m.desired), m.account)
				m.value = m.desired
				r.Sink = r.Reopen()
			},
			"check": func(t *rapid.T) {
				r.drift(t, r.desire(t, place, m.desired), m.account, m.value != m.desired)
			},
			"somebody changes it": func(t *rapid.T) {
				m.value = fmt.Sprintf("meddled-%d", rapid.IntRange(0, 9).Draw(t, "by"))
				r.Meddle(place, m.value)
			},
			"somebody deletes it": func(t *rapid.T) {
				r.Delete(place)
				m.value = ""
			},
			"remove": func(t *rapid.T) { r.modelRemove(t, m) },
			"": func(t *rapid.T) {
				if m.value == "" {
					r.empty(t, place)
					return
				}
				r.holds(t, place, m.value)
			},
		})
	})
}

func (r *rig) modelRemove(t *rapid.T, m *model) {
	switch {
	case m.account == nil:
		t.Skip("nothing was recorded as written")
	case m.value != "" && m.value != m.wrote:
		r.foreign(t, m.account)
	default:
		if err := r.Sink.Remove(t.Context(), m.account); err != nil {
			t.Fatalf("Remove: %v", err)
		}
		m.value, m.account, m.wrote = "", nil, ""
	}
}
