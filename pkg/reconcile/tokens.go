package reconcile

import (
	"hash/maphash"
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
// pays nothing. It keeps 72 bytes a credential, or so, and no address. It is safe for
// concurrent use.
type tokens struct {
	seed    maphash.Seed
	reading turn // held while all records are read
	mu      sync.Mutex
	of      map[uint64]marks    // what an address has, as the state has it
	by      map[uint64]uint64   // the address that has a mark
	more    map[uint64][]uint64 // and others, in the order in which they got it
	ways    map[[2]string]wayIn // whose accounts it knows, by type and grant
	names   map[uint64]string   // of those that have had the same token as another
	coming  map[string]marks    // by address, of tokens that are not recorded yet
	moves   int                 // how often records got other addresses
	whole   bool                // all records were read since then

	tick     uint64                   // counts beginnings and ends of what follows
	calls    map[*bringing]bool       // under way, or not recorded yet
	revoking map[uint64]*beingRevoked // by mark
}

func newTokens() *tokens {
	return &tokens{seed: maphash.MakeSeed(), reading: make(turn, 1), names: map[uint64]string{}, ways: map[[2]string]wayIn{}, coming: map[string]marks{}, calls: map[*bringing]bool{}, revoking: map[uint64]*beingRevoked{}}
}

// committed takes over what the state has just got.
func (t *tokens) committed(changes []state.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		switch {
		case c.Credential != nil:
			delete(t.coming, c.Credential.Head.Address)
			if t.of != nil {
				t.set(t.address(c.Credential.Head.Address), t.known(c.Credential))
			}
		case c.Delete != "":
			delete(t.coming, c.Delete)
			if t.of != nil {
				t.set(t.address(c.Delete), marks{})
			}
		}
	}
}

func (t *tokens) set(addr uint64, have marks) {
	was := t.of[addr]
	t.of[addr] = have
	for i, h := range have {
		if was[i] == h {
			continue
		}
		if was[i] != 0 {
			t.leave(addr, was[i])
		}
		if h == 0 {
			continue
		}
		if _, taken := t.by[h]; taken {
			t.more[h] = append(t.more[h], addr)
		} else {
			t.by[h] = addr
		}
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
}

func (t *tokens) anew() {
	t.of, t.by, t.more, t.whole = nil, nil, nil, false
	t.moves++
}

func (t *tokens) address(a string) uint64 { return maphash.String(t.seed, a) }

// begin says whether all records have to be read yet, and after how many moves.
func (t *tokens) begin() (moves int, read bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of, t.by, t.more = map[uint64]marks{}, map[uint64]uint64{}, map[uint64][]uint64{}
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
	t.whole = true
	return true
}

// others lists who has by the records what ends with a revocation, as hashes of
// addresses, but for one; and says who is about to. ok is false where it is not known.
func (t *tokens) others(addr string, f fate) (held []uint64, coming string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.whole || !t.knows(f.account) {
		return nil, "", false
	}
	want, self := t.ends(f), t.address(addr)
	for _, h := range want {
		first, has := t.by[h]
		if !has {
			continue
		}
		for _, a := range append([]uint64{first}, t.more[h]...) {
			if a != self && !slices.Contains(held, a) {
				held = append(held, a)
			}
		}
	}
	for a, have := range t.coming {
		if a != addr && have.any(want) {
			coming = max(coming, a)
		}
	}
	return held, coming, true
}

// leaves lists, as hashes, the others of the account that a credential is of by its record,
// and no more with another grant.
func (t *tokens) leaves(addr string, g *state.Grant) []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	self := t.address(addr)
	was := t.of[self][2]
	if was == 0 || was == t.accountMark(g) {
		return nil
	}
	return slices.DeleteFunc(append([]uint64{t.by[was]}, t.more[was]...), func(a uint64) bool { return a == self })
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
	maps.Copy(t.names, names)
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
	have := t.ends(what)
	t.coming[addr] = have
	for _, h := range have {
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
		for _, h := range want {
			if t.inForce(h, self) {
				return nil
			}
		}
		for a, have := range t.coming {
			if a != addr && have.any(want) {
				return nil
			}
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
			e.of, e.was = addr, e.of
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
	first, has := t.by[h]
	if h == 0 || !has {
		return false
	}
	return slices.ContainsFunc(append([]uint64{first}, t.more[h]...), func(a uint64) bool {
		have := t.of[a]
		return a != self && slices.Contains(have[:lingeringMark], h)
	})
}

// dying says that a grant is being revoked, or what ends it.
func (t *tokens) dying(g *state.Grant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.marks(g) {
		if e := t.revoking[h]; e != nil && e.tries > 0 {
			return true
		}
	}
	return false
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
