package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A grant is of an account: a user, a client, a machine. Its API knows whose it is;
// tokend knows what it was obtained with, as the record says: by which grant of which
// provider type, from which addresses, and with which inputs, as keyed hashes. The scopes
// say what for, and not who. An input that is sensitive proves who one is, and may be
// another one tomorrow, of the same account: it names an account only where nothing else
// does. So of two grants
//
//   - it is certain that they are of one account where they were obtained in the same way
//     from the same addresses, with the same inputs but for the scopes ([sameAccount]);
//   - it is certain that they are not where the type, the addresses or an input that is no
//     secret differ ([Input.apart]);
//   - and else nobody knows: after another password; of two logins in a browser, whose
//     inputs name the client and not the person; of what a kept reply brought.
//
// What nobody knows is taken for what does less harm. The index ([tokens]) finds by
// [account] whatever may be of one. A revocation that would end all tokens of an account
// (`session = "shared_grant"`) waits for these, since a token in force that it ended would
// be the worse loss, and status names the ways out. A login that would end all others of
// an account (`session = "one_per_account"`) is held back only for one that certainly is
// of it, or somebody would have no token for a stranger's sake. And a login that was
// refused (logins.go) says nothing of one that sends anything else.

// account names whose a grant may be, for whatever was obtained by the same way in. The
// zero value names none.
type account struct {
	by  wayIn
	key string
}

// wayIn is a grant of a provider type, of whose inputs some are sensitive. It is
// comparable.
type wayIn struct{ typ, grant, secrets string }

func wayInOf(typ, grant string, t Traits) wayIn {
	return wayIn{typ, grant, strings.Join(t.Secrets, "\x00")}
}

// accountOfGrant is the account of a grant. t are its traits, as far as they are its way in's.
func accountOfGrant(g *state.Grant, t Traits) account {
	w := wayInOf(g.Type, g.GrantType, t)
	return account{w, w.key(g.Origins, g.InputHashes)}
}

// of says that a grant may be of the account.
func (a account) of(g *state.Grant) bool {
	return a.key != "" && g != nil && g.Type == a.by.typ && g.GrantType == a.by.grant && a.by.key(g.Origins, g.InputHashes) == a.key
}

// key names an account among those of a way in.
func (w wayIn) key(origins []string, hashes map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%s\x00%q", w.typ, w.grant, origins)
	bare := b.Len()
	names := slices.Sorted(maps.Keys(hashes))
	add := func(all bool) {
		for _, n := range names {
			if n != "scopes" && n != refusedTo && (all || !w.hides(n)) {
				fmt.Fprintf(&b, "\x00%s=%s", n, hashes[n])
			}
		}
	}
	add(false)
	if b.Len() == bare {
		add(true)
	}
	return b.String()
}

func (w wayIn) hides(name string) bool {
	return w.secrets != "" && strings.Contains("\x00"+w.secrets+"\x00", "\x00"+name+"\x00")
}

// sameAccount says that two grants certainly are of one account.
func sameAccount(a, b *state.Grant) bool {
	return a.Type == b.Type && a.GrantType == b.GrantType && slices.Equal(a.Origins, b.Origins) && sameInputs(a.InputHashes, b.InputHashes)
}

// sameInputs compares inputs, but for the scopes.
func sameInputs(a, b map[string]string) bool {
	return maps.Equal(whose(a), whose(b))
}

func whose(hashes map[string]string) map[string]string {
	w := maps.Clone(hashes)
	delete(w, "scopes")
	delete(w, refusedTo)
	return w
}

// tellAccount says that inputs are all known, and any was given.
func tellAccount(hashes map[string]string) bool {
	w := whose(hashes)
	return len(w) > 0 && !slices.Contains(slices.Collect(maps.Values(w)), unknownHash)
}

// anotherAccount says that a retired grant certainly is of another account than the one
// in force.
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

// fate is what the revocation of a grant ends besides itself: whatever has one of its
// tokens, and, where the tokens of an account share their fate (`session =
// "shared_grant"`), whatever may be of its account.
type fate struct {
	access, refresh secret.Text
	account         account // none: its tokens do not share that
}

func (f fate) none() bool { return f.access.Empty() && f.refresh.Empty() && f.account.key == "" }

// fateOf is the fate of a retired grant.
func (in *Input) fateOf(i int) fate {
	g, t := &in.Record.Retiring[i], in.RetiredTraits[i]
	f := fate{access: g.AccessToken, refresh: g.RefreshToken}
	if cur := in.Record.Grant; cur != nil && cur.RefreshToken.Equal(g.RefreshToken) {
		f.refresh = secret.Text{} // it is not named then ([performer.revokeCall])
	}
	if t.Session == spec.SessionSharedGrant {
		f.account = accountOfGrant(in.named(g), t)
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
	case f.account.of(g):
		return sameFate
	}
	return ""
}
