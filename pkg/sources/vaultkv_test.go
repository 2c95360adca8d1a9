package sources_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"tokend/pkg/sources"
	"tokend/pkg/spec"
	"tokend/pkg/vault"
	"tokend/test/rig"
)

func kvPool(t *testing.T, v *rig.VaultServer) *vault.Pool {
	t.Helper()
	p := vault.NewPool(func(context.Context, spec.Address) (vault.Settings, error) {
		return vault.Settings{Address: v.Addr, AuthKind: "token", Auth: values(map[string]cty.Value{"token": spec.Sensitive(str(v.Token))})}, nil
	}, vault.Options{})
	t.Cleanup(func() { p.Close(context.WithoutCancel(t.Context())) })
	return p
}

func kvArgs(mount, path string) map[string]cty.Value {
	return map[string]cty.Value{"vault": str("vault.main"), "mount": str(mount), "path": str(path)}
}

func TestVaultKVReadsAnObject(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.EnableKV("old", 1)
	v.PutKV("kv", "a/b", map[string]any{"password": "one"})
	v.PutKV("kv", "a/b", map[string]any{"password": "two\n", "n": 1234567890123456, "f": 0.1, "on": true, "none": nil, "list": []any{"x", 1}, "nested": map[string]any{"k": "v"}, "empty": []any{}, "": "odd"})
	v.Write("old/a/b", map[string]any{"password": "three"})
	source := sources.VaultKV(kvPool(t, v))
	read := func(args map[string]cty.Value) string {
		t.Helper()
		got, err := source.Read(t.Context(), values(args))
		if err != nil {
			t.Fatal(err)
		}
		b, err := ctyjson.Marshal(got, got.Type())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := kvArgs("kv", "a/b")
	first["version"] = cty.NumberIntVal(1)
	for want, args := range map[string]map[string]cty.Value{
		`{"":"odd","empty":[],"f":0.1,"list":["x",1],"n":1234567890123456,"nested":{"k":"v"},"none":null,"on":true,"password":"two\n"}`: kvArgs("/kv/", "a/b/"),
		`{"password":"one"}`:   first,
		`{"password":"three"}`: kvArgs("old", "a/b"),
	} {
		if diff := cmp.Diff(want, read(args)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestVaultKVErrors(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.EnableKV("old", 1)
	v.EnableTransit("transit", "k")
	v.PutKV("kv", "empty", map[string]any{})
	v.PutKV("kv", "gone", map[string]any{"password": "canary"})
	v.Delete("kv/data/gone")
	v.PutKV("kv", "decomposed", map[string]any{"password": "canary-e\u0301"})
	v.Write("old/x", map[string]any{"password": "canary"})
	source := sources.VaultKV(kvPool(t, v))
	version := func(args map[string]cty.Value, n cty.Value) map[string]cty.Value {
		args["version"] = n
		return args
	}
	tests := map[string]struct {
		args  map[string]cty.Value
		class error
		says  string
	}{
		"no such secret":  {kvArgs("kv", "nothing"), vault.ErrNotFound, "reading kv/nothing at vault.main"},
		"deleted":         {kvArgs("kv", "gone"), vault.ErrNotFound, "version 1 was deleted at 20"},
		"no such version": {version(kvArgs("kv", "empty"), cty.NumberIntVal(9)), vault.ErrNotFound, "no version 9"},
		"version of v1":   {version(kvArgs("old", "x"), cty.NumberIntVal(1)), vault.ErrInvalid, "keeps no versions"},
		"no such mount":   {kvArgs("nowhere", "x"), vault.ErrDenied, `no secrets engine is mounted at "nowhere"`},
		"not a kv mount":  {kvArgs("transit", "x"), vault.ErrInvalid, `"transit" engine, not kv`},
		"below a mount":   {kvArgs("kv/data", "x"), vault.ErrInvalid, `set mount = "kv" and begin path with "data"`},
		"upwards":         {kvArgs("kv", "a/../../old/x"), vault.ErrInvalid, `contains the part ".."`},
		"empty":           {kvArgs("kv", "empty"), nil, "it is empty"},
		"decomposed":      {kvArgs("kv", "decomposed"), nil, `member "password": it contains letters in decomposed Unicode`},
		"version 0":       {version(kvArgs("kv", "x"), cty.Zero), nil, "version: it must be 1 or"},
		"fractional":      {version(kvArgs("kv", "x"), cty.NumberFloatVal(1.5)), nil, "version: it must be 1 or"},
		"no path":         {map[string]cty.Value{"vault": str("vault.main"), "mount": str("kv")}, nil, "path: it is missing"},
		"no vault":        {map[string]cty.Value{"path": str("x"), "mount": str("kv")}, nil, "vault: it is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := source.Read(t.Context(), values(tt.args))
			if err == nil || tt.class != nil && !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error = %v, want %v with %q and no secret", err, tt.class, tt.says)
			}
		})
	}
}
