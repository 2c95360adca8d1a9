package reconcile

import (
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"sync"

	"tokend/pkg/state"
)

// tokens is the index over the records of credentials: which tokens each has in force, and
// of which account ([account]) where its type has a session that others of that account end
// or share. It goes by hashes that are worth nothing outside of this process. And it knows
// which are being revoked while a call is under way that may bring the same. It begins with
// the first once it is asked: who revokes nothing, and whose logins end no other's session,
// pays nothing. It keeps 75 to 160 bytes a credential, by how many marks that has, and no
// address but of those that had the same as another. It is safe for concurrent use.
type tokens struct {
	seed    maphash.Seed
	reading turn // held while all records are read
	mu      sync.Mutex
	of      map[uint64]marks      // what an address has, as the state has it
	beside  map[uint64]moreMarks  // and beside that
	by      map[uint64]uint64     // the address that has a mark
	more    map[uint64][]uint64   // and others, in the order in which they got it
	ways    map[[2]string][]wayIn // whose accounts it knows, by type and grant
	names   map[uint64]string     // of those that have had the same token as another
	coming  map[string]markSet    // by address, of tokens that are not recorded yet
	moves   int                   // how often records got other addresses
	whole   bool                  // all records were read since then: who is not in it has nothing
	flights map[uint64]flight     // commits that are under way, by address

	tick     uint64                   // counts beginnings and ends of what follows
	calls    map[*bringing]bool       // under way, or not recorded yet
	revoking map[uint64]*beingRevoked // by mark
}

func newTokens() *tokens {
	return &tokens{seed: maphash.MakeSeed(), reading: make(turn, 1), names: map[uint64]string{}, flights: map[uint64]flight{}, ways: map[[2]string][]wayIn{}, coming: map[string]markSet{}, calls: map[*bringing]bool{}, revoking: map[uint64]*beingRevoked{}}
}

func (t *tokens) set(addr uint64, now markSet) {
	was := t.at(addr)
	t.keep(addr, now)
	was.each(func(h uint64) {
		if !now.has(h) {
			t.leave(addr, h)
		}
	})
	now.each(func(h uint64) {
		if was.has(h) {
			return
		}
		if _, taken := t.by[h]; taken {
			t.more[h] = append(t.more[h], addr)
		} else {
			t.by[h] = addr
		}
	})
}

// at is what an address has.
func (t *tokens) at(addr uint64) markSet { return markSet{t.of[addr], t.beside[addr]} }

// keep notes what an address has. As long as not all records were read, it is also kept
// that one has nothing: an older record may be read yet.
func (t *tokens) keep(addr uint64, now markSet) {
	if t.of[addr] = now.marks; t.whole && now.none() {
		delete(t.of, addr)
	}
	if len(now.more) > 0 {
		t.beside[addr] = now.more
	} else {
		delete(t.beside, addr)
	}
}

func (t *tokens) leave(addr, token uint64) {
	more := t.more[token]
	switch i := slices.Index(more, addr); {
	case i >= 0:
		more = slices.Delete(more, i, i+1)
	case len(more) > 0:
		t.by[token], more = more[0], more[1:]
	default:
		delete(t.by, token)
	}
	if t.more[token] = more; len(more) == 0 {
		delete(t.more, token)
	}
}

// moved has it begin anew: records have other addresses now.
func (t *tokens) moved() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.anew()
	clear(t.names)
	clear(t.coming)
	for a, f := range t.flights {
		t.flights[a] = flight{n: f.n} // the versions are of other records now
	}
}

func (t *tokens) anew() {
	t.of, t.beside, t.by, t.more, t.whole = nil, nil, nil, nil, false
	t.moves++
}

func (t *tokens) address(a string) uint64 { return maphash.String(t.seed, a) }

// begin says whether all records have to be read yet, and after how many moves.
func (t *tokens) begin() (moves int, read bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of, t.beside, t.by, t.more = map[uint64]marks{}, map[uint64]moreMarks{}, map[uint64]uint64{}, map[uint64][]uint64{}
	}
	return t.moves, !t.whole
}

// read takes over what a record held, but where something newer is known.
func (t *tokens) read(moves int, addr string, rec *state.Credential) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if moves != t.moves {
		return
	}
	a := t.address(addr)
	if _, known := t.of[a]; !known {
		t.set(a, t.known(rec))
		if f := t.flights[a]; f.n > 0 {
			f.version = rec.Head.Version
			t.flights[a] = f
		}
	}
}

// wholly notes that all records were read; false where some were moved since begin: what
// was read is worth nothing then.
func (t *tokens) wholly(moves int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if moves != t.moves {
		return false
	}
	if !t.whole {
		maps.DeleteFunc(t.of, func(a uint64, _ marks) bool { return t.at(a).none() })
	}
	t.whole = true
	return true
}

// others lists who has by the records, or had until a moment ago, what ends with a
// revocation, as hashes of addresses, but for one; and says who is about to. most: no more
// than so many; 0: all. ok is false where it is not known.
func (t *tokens) others(addr string, f fate, most int) (held []uint64, coming string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.whole || !t.knows(f.account) {
		return nil, "", false
	}
	want, self := t.ends(f), t.address(addr)
	for i, h := range want {
		for a := range t.holders(h) {
			if most > 0 && len(held) == most {
				break
			}
			if a != self && !slices.ContainsFunc(want[:i], t.at(a).has) { // or it is listed already
				held = append(held, a)
			}
		}
	}
	return held, t.about(addr, want), true
}

// holders are those that have a mark, or had it until a moment ago.
func (t *tokens) holders(mark uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		first, has := t.by[mark]
		if mark == 0 || !has || !yield(first) {
			return
		}
		for _, a := range t.more[mark] {
			if !yield(a) {
				return
			}
		}
	}
}

// about names another that is about to have one of some marks; "": none is.
func (t *tokens) about(addr string, want marks) (coming string) {
	for a, have := range t.coming {
		if a != addr && slices.ContainsFunc(want[:], have.has) {
			coming = max(coming, a)
		}
	}
	return coming
}

// leaves lists, as hashes, those that wait for the session of the account that a credential
// is of by its record, and no more with another grant.
func (t *tokens) leaves(addr string, g *state.Grant) (waiting []uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	self := t.address(addr)
	was := t.of[self][2]
	if was == 0 || slices.Contains(t.accountMarks(g), was) {
		return nil
	}
	for a := range t.holders(t.waits(was)) {
		if a != self {
			waiting = append(waiting, a)
		}
	}
	return waiting
}

// named are the addresses that are known of some hashes, and says whether all are.
func (t *tokens) named(some []uint64) (names map[uint64]string, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	names = map[uint64]string{}
	for _, h := range some {
		if a, known := t.names[h]; known {
			names[h] = a
		}
	}
	return names, len(names) == len(some)
}

// name keeps the addresses of some hashes.
func (t *tokens) name(names map[uint64]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for h, a := range names {
		if _, has := t.of[h]; has || !t.whole {
			t.names[h] = a // it was not removed meanwhile
		}
	}
}

// bringing is a call that may bring a token which is being revoked for another credential:
// an API may give that away before it carries the revocation out.
type bringing struct{ since uint64 }

// beingRevoked is the revocation of a token, which may be tried for several credentials.
type beingRevoked struct {
	of    string // the address for which it was tried last
	was   string // another one, for which it was tried before
	tries int    // under way
	until uint64 // when the last ended that is over
}

// begins notes a call that may bring a token, until over.
func (t *tokens) begins() *bringing {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tick++
	b := &bringing{t.tick}
	t.calls[b] = true
	return b
}

// over says that what such a call brought is recorded, or that it brought nothing. b may
// be nil.
func (t *tokens) over(b *bringing) {
	if b == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.calls, b)
	t.forget()
}

// came notes a grant, of such traits, before it is recorded: from then on it is in force,
// beside the one that the places hold still. It names the credential for which it was
// revoked, or what ends it was, while the call was under way that brought it (nil: none
// was); "" for none.
func (t *tokens) came(addr string, g *state.Grant, of Traits, by *bringing) (revokedFor string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	what := fate{access: g.AccessToken, refresh: g.RefreshToken}
	if of.sessions() {
		what.account = accountOfGrant(g, of)
	}
	have := t.inForceBy(g)
	have.add(t.mark(what.account), true)
	t.coming[addr] = have
	for _, h := range t.ends(what) {
		e := t.revoking[h]
		if e == nil || e.tries == 0 && (by == nil || e.until <= by.since) {
			continue
		}
		if e.of != addr {
			return e.of
		}
		if e.was != "" {
			return e.was
		}
	}
	return ""
}

// revoke notes that something is about to be revoked for a credential, until end; nil
// where another has what ends with it in force, or is about to, unless it is revoked anyway.
func (t *tokens) revoke(addr string, f fate, anyway bool) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	want, self := t.ends(f), t.address(addr)
	if want == (marks{}) {
		return func() {}
	}
	if !anyway {
		if !t.whole || !t.knows(f.account) {
			return nil
		}
		if slices.ContainsFunc(want[:], func(h uint64) bool { return t.inForce(h, self) }) || t.about(addr, want) != "" {
			return nil
		}
	}
	var all []*beingRevoked
	for _, h := range want {
		if h == 0 {
			continue
		}
		e := t.revoking[h]
		if e == nil {
			e = &beingRevoked{}
			t.revoking[h] = e
		}
		if e.of != addr {
			was := e.of
			if e.tries == 0 {
				was = "" // that one was over before this one begins
			}
			e.of, e.was = addr, was
		}
		e.tries++
		all = append(all, e)
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.tick++
		for _, e := range all {
			e.tries--
			e.until = t.tick
		}
		t.forget()
	}
}

// inForce says that another than self has a mark with its token in force. Of what one had
// until a moment ago the index does not know for how long that matters: the records do,
// and were asked before ([fate.lingers]).
func (t *tokens) inForce(h, self uint64) bool {
	for a := range t.holders(h) {
		if a != self && t.at(a).holds(h) {
			return true
		}
	}
	return false
}

// dying says that a grant is being revoked, or what ends it.
func (t *tokens) dying(g *state.Grant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	dies := false
	t.inForceBy(g).each(func(h uint64) {
		e := t.revoking[h]
		dies = dies || e != nil && e.tries > 0
	})
	return dies
}

// forget drops the revocations that no call can meet any more.
func (t *tokens) forget() {
	if len(t.revoking) == 0 {
		return
	}
	first := t.tick
	for b := range t.calls {
		first = min(first, b.since)
	}
	for h, e := range t.revoking {
		if e.tries == 0 && (len(t.calls) == 0 || e.until < first) {
			delete(t.revoking, h)
		}
	}
}
