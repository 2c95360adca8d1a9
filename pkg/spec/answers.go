package spec

// answers are what a scope has said of addresses. Nearly always it is asked about one,
// which needs no map: making that cost more than the answer.
type answers[V any] struct {
	first Address // "": none is there
	one   V
	rest  map[Address]V
}

func (k *answers[V]) of(a Address) (V, bool) {
	if a == k.first {
		return k.one, a != ""
	}
	v, ok := k.rest[a]
	return v, ok
}

// keep keeps what was said of an address, of which nothing was known.
func (k *answers[V]) keep(a Address, v V) {
	switch {
	case k.first == "":
		k.first, k.one = a, v
	case k.rest == nil:
		k.rest = map[Address]V{a: v}
	default:
		k.rest[a] = v
	}
}
