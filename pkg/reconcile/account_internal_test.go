package reconcile

import (
	"context"
	"maps"
	"testing"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Whether two grants are of one account is certain, certainly not so, or not known; the
// index finds whatever may be of one.
func TestWhoseAGrantIs(t *testing.T) {
	want := &spec.Credential{Type: &spec.ProviderType{Name: "api"}, Grant: &spec.GrantType{Name: "password"}, Inputs: []spec.Input{{Name: "user"}, {Name: "password", Sensitive: true}}}
	in := &Input{Want: want}
	traits := Traits{Secrets: []string{"password"}}
	me := state.Grant{Type: "api", GrantType: "password", Origins: []string{"https://api"}, InputHashes: map[string]string{"user": "me", "password": "p", "scopes": "s"}}
	with := func(change func(g *state.Grant)) *state.Grant {
		g := me
		g.InputHashes = maps.Clone(g.InputHashes)
		change(&g)
		return &g
	}
	input := func(name, hash string) func(*state.Grant) {
		return func(g *state.Grant) { g.InputHashes[name] = hash }
	}
	for name, c := range map[string]struct {
		other           *state.Grant
		same, apart, by bool // certainly one; certainly two; found by the index
	}{
		"the same":            {with(func(*state.Grant) {}), true, false, true},
		"other scopes":        {with(input("scopes", "t")), true, false, true},
		"refused elsewhere":   {with(input(refusedTo, "credential.api.b")), true, false, true},
		"another block":       {with(func(g *state.Grant) { g.Provider = "provider.api.again" }), true, false, true},
		"another password":    {with(input("password", "q")), false, false, true},
		"another user":        {with(input("user", "you")), false, true, false},
		"another address":     {with(func(g *state.Grant) { g.Origins = []string{"https://other"} }), false, true, false},
		"another type":        {with(func(g *state.Grant) { g.Type = "other" }), false, true, false},
		"another grant":       {with(func(g *state.Grant) { g.GrantType = "code" }), false, false, false},
		"what a reply kept":   {with(func(g *state.Grant) { g.Type = "" }), false, false, false},
		"it was not exported": {with(input("user", unknownHash)), false, false, false},
	} {
		same, apart, by := sameAccount(&me, c.other), in.apart(&me, c.other), accountOfGrant(&me, traits).of(c.other)
		if same != c.same || apart != c.apart || by != c.by {
			t.Errorf("%s: certainly one %v, certainly two %v, found %v; want %v, %v, %v", name, same, apart, by, c.same, c.apart, c.by)
		}
	}
	// A key names an account where nothing else does.
	key := func(k string) *state.Grant {
		return &state.Grant{Type: "api", GrantType: "key", InputHashes: map[string]string{"key": k, "scopes": "s"}}
	}
	if a := accountOfGrant(key("a"), Traits{Secrets: []string{"key"}}); a.of(key("b")) || !a.of(key("a")) {
		t.Error("a key does not name its account")
	}
	if in := (wayIn{"api", "g", "word"}); in.hides("pass") || in.hides("password") || !in.hides("word") {
		t.Error("inputs are taken for one another")
	}
	for name, hashes := range map[string]map[string]string{"nothing": {}, "scopes": {"scopes": "s"}, "unknown": {"user": "me", "password": unknownHash}} {
		if tellAccount(hashes) {
			t.Errorf("%s tell an account", name)
		}
	}
}

// disturbed is a state in whose first reading the accounts of another type are asked about.
type disturbed struct {
	state.Store
	tokens *tokens
	read   int
}

func (d *disturbed) Heads(_ context.Context, f func(state.Head) error) error {
	if d.read++; d.read == 1 {
		d.tokens.learns(accountOfGrant(&state.Grant{Type: "other", GrantType: "password"}, Traits{}))
	}
	return f(state.Head{Kind: state.KindCredential, Address: "credential.api.a", Generation: 1})
}

func (d *disturbed) Credential(_ context.Context, addr string) (state.Credential, *state.Intent, error) {
	return state.Credential{Head: state.Head{Address: addr}, Grant: &state.Grant{Type: "api", GrantType: "password", InputHashes: map[string]string{"user": "me"}}}, nil, nil
}

// Who asks for those of an account while the index begins anew gets them all the same: a
// login held back for that would wait for half a minute.
func TestOfOneAccountWhileTheIndexBeginsAnew(t *testing.T) {
	w := &worker{tokens: newTokens()}
	w.store = &disturbed{tokens: w.tokens}
	who := accountOfGrant(&state.Grant{Type: "api", GrantType: "password", InputHashes: map[string]string{"user": "me"}}, Traits{})
	var found []string
	err := w.eachOfAccount(t.Context(), "credential.api.b", who, func(rec *state.Credential) { found = append(found, rec.Head.Address) })
	if err != nil || len(found) != 1 || found[0] != "credential.api.a" {
		t.Errorf("found %q, %v", found, err)
	}
}
