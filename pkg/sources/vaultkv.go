package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
	"tokend/pkg/vault"
)

type vaultKVSource struct{ pool *vault.Pool }

// VaultKV is the kind "vault_kv": a secret of Vault's key/value engine, version
// 1 or 2. Its value is an object with the secret's members.
func VaultKV(pool *vault.Pool) Source { return vaultKVSource{pool} }

func vaultKVSchema() spec.Schema {
	return spec.Schema{
		Doc: "A secret in Vault's key/value engine; value is a map.",
		Attrs: []spec.Attr{
			{Name: "vault", Type: cty.String, Ref: "vault", Doc: "the Vault; default: the only one that is declared"},
			required("mount", "where the engine is mounted, such as \"kv\""),
			required("path", "path of the secret below the mount"),
			{Name: "version", Type: cty.Number, Doc: "a version to stay with; default: the newest"},
		},
	}
}

func (s vaultKVSource) Read(ctx context.Context, args spec.Values) (cty.Value, error) {
	at, err := vaultKVPlace(args)
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading a secret from Vault: %w", err)
	}
	client, err := s.pool.Client(ctx, at.vault)
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading secret %s/%s: %w", at.mount, at.path, err)
	}
	data, _, err := client.ReadKV(ctx, at.mount, at.path, at.version)
	if err != nil {
		return cty.NilVal, err // it says all of this
	}
	if len(data) == 0 {
		return cty.NilVal, fmt.Errorf("reading secret %s/%s from %s: %w", at.mount, at.path, at.vault, errEmpty)
	}
	v, err := valueOf(data)
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading secret %s/%s from %s: %w", at.mount, at.path, at.vault, err)
	}
	return v, nil
}

// Paths is nil: no file tells of a change in Vault.
func (vaultKVSource) Paths(spec.Values) []string { return nil }

type kvPlace struct {
	vault       spec.Address
	mount, path string
	version     int
}

func vaultKVPlace(args spec.Values) (kvPlace, error) {
	var at kvPlace
	for attr, to := range map[string]*string{"vault": (*string)(&at.vault), "mount": &at.mount, "path": &at.path} {
		s, err := name(args, attr)
		if err != nil {
			return kvPlace{}, err
		}
		*to = s
	}
	if args.Has("version") {
		n, _ := args.Cty("version").Unmark()
		if n.Type() != cty.Number {
			return kvPlace{}, errors.New("reading version: a number is required")
		}
		i, accuracy := n.AsBigFloat().Int64()
		if accuracy != 0 || i < 1 || i > 1<<31 {
			return kvPlace{}, errors.New("reading version: it must be 1 or a greater whole number")
		}
		at.version = int(i)
	}
	return at, nil
}

// valueOf turns decoded JSON into a value: objects and tuples, numbers exact.
func valueOf(v any) (cty.Value, error) {
	switch x := v.(type) {
	case nil:
		return cty.NullVal(cty.DynamicPseudoType), nil
	case string:
		return stringValue(x)
	case bool:
		return cty.BoolVal(x), nil
	case json.Number:
		n, err := cty.ParseNumberVal(x.String())
		if err != nil {
			return cty.NilVal, errors.New("it contains a number that is out of range")
		}
		return n, nil
	case []any:
		return tupleOf(x)
	case map[string]any:
		return objectOf(x)
	}
	return cty.NilVal, fmt.Errorf("it contains a %T", v)
}

func tupleOf(list []any) (cty.Value, error) {
	if len(list) == 0 {
		return cty.EmptyTupleVal, nil
	}
	out := make([]cty.Value, len(list))
	for i, e := range list {
		v, err := valueOf(e)
		if err != nil {
			return cty.NilVal, fmt.Errorf("element %d: %w", i, err)
		}
		out[i] = v
	}
	return cty.TupleVal(out), nil
}

func objectOf(m map[string]any) (cty.Value, error) {
	if len(m) == 0 {
		return cty.EmptyObjectVal, nil
	}
	out := make(map[string]cty.Value, len(m))
	for k, e := range m {
		v, err := valueOf(e)
		if err != nil {
			return cty.NilVal, fmt.Errorf("member %q: %w", k, err)
		}
		out[k] = v
	}
	return cty.ObjectVal(out), nil
}
