package reconcile

import (
	"hash/maphash"
	"slices"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// marks are the hashes of a grant's access token, of its refresh token, and of its account;
// 0: it has none, or that is not known ([tokens.learns]).
type marks [3]uint64

// moreMarks are those that few credentials have: of old tokens, and of accounts that are
// named in several ways. They take no room where there are none.
type moreMarks []moreMark

type moreMark struct {
	mark    uint64
	inForce bool // it is of the token in force
}

// markSet is what the index keeps of a credential.
type markSet struct {
	marks
	more moreMarks
}

func (h markSet) none() bool { return h.marks == marks{} && len(h.more) == 0 }

// has says that a mark is among them.
func (h markSet) has(mark uint64) bool {
	return mark != 0 && (slices.Contains(h.marks[:], mark) || slices.ContainsFunc(h.more, func(m moreMark) bool { return m.mark == mark }))
}

// holds says that a mark is of the token in force.
func (h markSet) holds(mark uint64) bool {
	return mark != 0 && (slices.Contains(h.marks[:], mark) || slices.Contains(h.more, moreMark{mark, true}))
}

func (h *markSet) add(mark uint64, inForce bool) {
	if mark != 0 && !h.has(mark) {
		h.more = append(h.more, moreMark{mark, inForce})
	}
}

// each hands all of them to f.
func (h markSet) each(f func(mark uint64)) {
	for _, m := range h.marks {
		if m != 0 {
			f(m)
		}
	}
	for _, m := range h.more {
		f(m.mark)
	}
}

// known is what the index keeps of a record: the marks of the token in force, of those
// before it that may be in use yet, and of the session that it waits for.
func (t *tokens) known(rec *state.Credential) markSet {
	h := t.inForceBy(rec.Grant)
	for g := range lingering(rec) {
		old := t.inForceBy(g)
		old.each(func(m uint64) { h.add(m, false) })
	}
	if f, g := rec.Failure, rec.Grant; g != nil && f != nil && f.Class == classSession {
		for _, w := range t.ways[[2]string{g.Type, g.GrantType}] {
			h.add(t.waits(t.mark(account{w, w.key(g.Origins, f.InputHash)})), false)
		}
	}
	return h
}

// inForceBy are the marks of a grant in force.
func (t *tokens) inForceBy(g *state.Grant) markSet {
	if g == nil {
		return markSet{}
	}
	h := markSet{marks: t.ends(fate{access: g.AccessToken, refresh: g.RefreshToken})}
	for i, m := range t.accountMarks(g) {
		if i == 0 {
			h.marks[2] = m
		} else {
			h.add(m, true)
		}
	}
	return h
}

// accountMarks are those of a grant's account, by each way in that is known for such a grant.
func (t *tokens) accountMarks(g *state.Grant) []uint64 {
	if g == nil {
		return nil
	}
	var all []uint64
	for _, w := range t.ways[[2]string{g.Type, g.GrantType}] {
		all = append(all, t.mark(account{w, w.key(g.Origins, g.InputHashes)}))
	}
	return all
}

func (t *tokens) mark(a account) uint64 {
	if a.key == "" {
		return 0
	}
	return maphash.String(t.seed, "account\x00"+a.by.secrets+"\x00\x00"+a.key) | 1
}

// waits is the mark of those that wait for the session of an account.
func (t *tokens) waits(account uint64) uint64 {
	if account == 0 {
		return 0
	}
	return maphash.Comparable(t.seed, [2]uint64{account, 1}) | 1
}

// ends are those of what a revocation ends.
func (t *tokens) ends(f fate) marks {
	m := marks{t.sum(f.access), t.sum(f.refresh)}
	if m[1] == m[0] {
		m[1] = 0
	}
	m[2] = t.mark(f.account)
	return m
}

func (t *tokens) sum(token secret.Text) uint64 {
	if token.Empty() {
		return 0
	}
	return token.Sum(t.seed) | 1
}

func (t *tokens) knows(a account) bool {
	return a.key == "" || slices.Contains(t.ways[[2]string{a.by.typ, a.by.grant}], a.by)
}

// learns has it begin anew where it does not know yet what is of an account like this.
func (t *tokens) learns(a account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.knows(a) {
		of := [2]string{a.by.typ, a.by.grant}
		t.ways[of] = append(t.ways[of], a.by)
		t.anew()
	}
}
