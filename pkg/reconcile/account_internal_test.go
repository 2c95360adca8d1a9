package reconcile

import (
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
