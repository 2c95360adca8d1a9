package reconcile

import "tokend/pkg/state"

// flight are the commits of one credential that are under way: its own, and those of
// others that note that its token has ended. They may return in another order than the
// state took them in; the index goes by that.
type flight struct {
	n       int
	version uint64 // of the newest record that is known
	deleted uint64 // when the last deletion was begun: what was begun before it is older
}

// commits notes that the state is about to get something, until [tokens.committed].
func (t *tokens) commits(changes []state.Change) (at uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tick++
	for _, c := range changes {
		if addr := credentialIn(c); addr != "" {
			a := t.address(addr)
			f := t.flights[a]
			f.n++
			t.flights[a] = f
		}
	}
	return t.tick
}

// committed takes over what the state has got by a commit that was begun at at; done is
// false where it did not take it.
func (t *tokens) committed(changes []state.Change, at uint64, done bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range changes {
		addr := credentialIn(c)
		if addr == "" {
			continue
		}
		a := t.address(addr)
		f := t.flights[a]
		switch {
		case !done:
		case c.Credential == nil:
			f.version, f.deleted = 0, at
			delete(t.coming, addr)
			if delete(t.names, a); t.of != nil {
				t.set(a, markSet{})
			}
		case at >= f.deleted && c.Credential.Head.Version >= f.version:
			f.version = c.Credential.Head.Version
			t.takes(a, c.Credential)
		}
		if f.n--; f.n > 0 {
			t.flights[a] = f
		} else {
			delete(t.flights, a)
		}
	}
}

// takes takes over what a credential has now. What was about to come for it has come,
// unless its token is the one as before, of which somebody else has noted
// something meanwhile.
func (t *tokens) takes(a uint64, rec *state.Credential) {
	addr := rec.Head.Address
	if t.of == nil {
		delete(t.coming, addr)
		return
	}
	was, now := t.at(a).marks[0], t.known(rec)
	if now.marks[0] != was || now.marks[0] == t.coming[addr].marks[0] {
		delete(t.coming, addr)
	}
	t.set(a, now)
}

// comesNot notes that what was about to come for a credential was given up.
func (t *tokens) comesNot(addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.coming, addr)
}

// credentialIn is the address of a credential that a change writes, or of what it deletes.
func credentialIn(c state.Change) string {
	if c.Credential != nil {
		return c.Credential.Head.Address
	}
	return c.Delete
}
