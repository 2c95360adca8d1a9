package reconcile

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// fate is what the revocation of a grant ends besides itself: whatever has one of its
// tokens, and, where the tokens of an account share their fate (`session =
// "shared_grant"`), whatever is of its account.
type fate struct {
	access, refresh secret.Text
	account         string // "": its tokens do not share that
	provider        string // the type, where they do
}

// fateOf is the fate of a retired grant.
func (in *Input) fateOf(i int) fate {
	g := &in.Record.Retiring[i]
	f := fate{access: g.AccessToken, refresh: g.RefreshToken}
	if cur := in.Record.Grant; cur != nil && cur.RefreshToken.Equal(g.RefreshToken) {
		f.refresh = secret.Text{} // it is not named then ([performer.revokeCall])
	}
	if in.RetiredTraits[i].Session == spec.SessionSharedGrant {
		g = in.named(g)
		f.account, f.provider = grantAccount(g), g.Type
	}
	return f
}

// named is a grant of whose account something is known: what a kept reply brought says
// nothing of that, but followed one that does, or the credential has another by now.
func (in *Input) named(g *state.Grant) *state.Grant {
	if g.Type != "" {
		return g
	}
	for i := range in.Record.Retiring {
		if x := &in.Record.Retiring[i]; x.Type != "" && slices.Equal(x.Origins, g.Origins) {
			return x
		}
	}
	if cur := in.Record.Grant; cur != nil {
		return cur
	}
	return g
}

// Words for what another credential has that a revocation would end.
const (
	sameAccess  = "holds the same access token"
	sameRefresh = "holds the same refresh token"
	sameFate    = "has a token of the same account, which the revocation would end"
)

// takes says in which way a revocation ends a grant of another credential; "": it does not.
func (f fate) takes(g *state.Grant) string {
	switch {
	case g == nil:
		return ""
	case !f.access.Empty() && g.AccessToken.Equal(f.access):
		return sameAccess
	case !f.refresh.Empty() && g.RefreshToken.Equal(f.refresh):
		return sameRefresh
	case f.account != "" && grantAccount(g) == f.account:
		return sameFate
	}
	return ""
}

// grantAccount names the account of a grant: where it came from and what it was obtained
// with, but for the scopes. Two grants that were obtained with nothing, as by a login in
// a browser, are taken to be of one account: a revocation that waits does no harm.
func grantAccount(g *state.Grant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%s\x00%q", g.Type, g.GrantType, g.Origins)
	for _, n := range slices.Sorted(maps.Keys(g.InputHashes)) {
		if n != "scopes" && n != refusedTo {
			fmt.Fprintf(&b, "\x00%s=%s", n, g.InputHashes[n])
		}
	}
	return b.String()
}

// anotherAccount says that a retired grant is of another account than the one in force
// for all that is known: of another API, or obtained with another input that is no
// secret, as the name of an account is. A secret may be another of the same account.
func (in *Input) anotherAccount(g *state.Grant) bool { return in.apart(g, in.Record.Grant) }

// apart says so of two grants.
func (in *Input) apart(g, cur *state.Grant) bool {
	if g.Type == "" || cur.Type == "" {
		return false // a kept reply brought it
	}
	if cur.Type != g.Type || !slices.Equal(cur.Origins, g.Origins) {
		return true
	}
	if in.Want == nil || in.Want.Type.Name != g.Type || cur.GrantType != g.GrantType {
		return false
	}
	return slices.ContainsFunc(in.Want.Inputs, func(x spec.Input) bool {
		was, has := g.InputHashes[x.Name]
		is, hasStill := cur.InputHashes[x.Name]
		return !x.Sensitive && x.Name != "scopes" && has && hasStill && was != is && was != unknownHash && is != unknownHash
	})
}

// marks are the hashes of a grant's access token, its refresh token and its account; 0:
// it has none.
type marks [3]uint64

func (m marks) any(of marks) bool {
	return slices.ContainsFunc(m[:], func(h uint64) bool { return h != 0 && slices.Contains(of[:], h) })
}

// marks are all that a grant has.
func (t *tokens) marks(g *state.Grant) marks {
	if g == nil {
		return marks{}
	}
	return t.ends(fate{access: g.AccessToken, refresh: g.RefreshToken, account: grantAccount(g)})
}

// known are those of them that it keeps of all credentials.
func (t *tokens) known(g *state.Grant) marks {
	switch {
	case g == nil:
		return marks{}
	case t.fates[g.Type]:
		return t.marks(g)
	}
	return t.ends(fate{access: g.AccessToken, refresh: g.RefreshToken})
}

// ends are those of what a revocation ends.
func (t *tokens) ends(f fate) marks {
	m := marks{t.sum(f.access), t.sum(f.refresh)}
	if m[1] == m[0] {
		m[1] = 0
	}
	if f.account != "" {
		m[2] = maphash.String(t.seed, "account\x00"+f.account) | 1
	}
	return m
}

func (t *tokens) sum(token secret.Text) uint64 {
	if token.Empty() {
		return 0
	}
	return token.Sum(t.seed) | 1
}

func (t *tokens) knows(f fate) bool { return f.account == "" || t.fates[f.provider] }

// learns has it begin anew where it does not know the accounts yet whose tokens may end
// with a revocation.
func (t *tokens) learns(f fate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.knows(f) {
		t.fates[f.provider] = true
		t.anew()
	}
}
