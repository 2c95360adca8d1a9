package kvsink

import (
	"fmt"
	"maps"
	"slices"

	"tokend/pkg/sinks"
)

// traitOnRemove is what of a secret is compared beside what it holds: a removal
// goes by what was recorded, so that a change of it is written.
const traitOnRemove = "on_remove"

// Portray implements [sinks.Sink].
func (s *Sink) Portray(d sinks.Desired, written []byte, hash func([]byte) string) (sinks.Portrait, error) {
	want, err := secretOf(d)
	if err != nil {
		return sinks.Portrait{}, err
	}
	data, err := want.content.data()
	if err != nil {
		return sinks.Portrait{}, fmt.Errorf("reading what %s shall hold: %w", d.Place, err)
	}
	p := sinks.Portrait{Content: hash([]byte(want.content.canonical.Reveal())), Parts: slices.Sorted(maps.Keys(data)), Traits: map[string][]string{traitOnRemove: {want.onRemove}}}
	if written == nil {
		return p, nil
	}
	a, err := openAccount(written)
	if err != nil {
		return sinks.Portrait{}, err
	}
	p.Traits[traitOnRemove] = []string{a.OnRemove}
	return p, nil
}

// Wrote implements [sinks.Sink].
func (s *Sink) Wrote(d sinks.Desired, written []byte) bool {
	want, err := secretOf(d)
	if err != nil {
		return false
	}
	a, recorded := want.account(written)
	return recorded && a.OnRemove == want.onRemove && a.is(want.content)
}
