package reconcile

import (
	"hash/maphash"
	"slices"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// marks are the hashes of a grant's access token, its refresh token, its account, and of
// the access token before it that may still be in use; 0: it has none.
type marks [4]uint64

func (m marks) any(of marks) bool {
	return slices.ContainsFunc(m[:], func(h uint64) bool { return h != 0 && slices.Contains(of[:], h) })
}

// marks are those of a grant, with its account where that is known ([tokens.learns]).
func (t *tokens) marks(g *state.Grant) marks {
	if g == nil {
		return marks{}
	}
	m := t.ends(fate{access: g.AccessToken, refresh: g.RefreshToken})
	m[2] = t.accountMark(g)
	return m
}

func (t *tokens) accountMark(g *state.Grant) uint64 {
	if g == nil {
		return 0
	}
	if w, learned := t.ways[[2]string{g.Type, g.GrantType}]; learned {
		return t.mark(account{w, w.key(g.Origins, g.InputHashes)})
	}
	return 0
}

func (t *tokens) mark(a account) uint64 {
	if a.key == "" {
		return 0
	}
	return maphash.String(t.seed, "account\x00"+a.key) | 1
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
	return a.key == "" || t.ways[[2]string{a.by.typ, a.by.grant}] == a.by
}

// learns has it begin anew where it does not know yet what is of an account like this.
func (t *tokens) learns(a account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.knows(a) {
		t.ways[[2]string{a.by.typ, a.by.grant}] = a.by
		t.anew()
	}
}
