package kvsink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"tokend/pkg/secret"
	"tokend/pkg/sinks"
	"tokend/pkg/spec"
	"tokend/pkg/vault"
)

// What on_remove may say.
const (
	onRemoveDelete  = "delete"
	onRemoveDestroy = "destroy"
	onRemoveKeep    = "keep"
)

// Schema lists the arguments of the kind.
func Schema() spec.Schema {
	return spec.Schema{
		Doc: "A secret in Vault's key/value engine, version 1 or 2.",
		Attrs: []spec.Attr{
			{Name: "vault", Type: cty.String, Ref: "vault", Doc: "the Vault; default: the only one that is declared"},
			{Name: "mount", Type: cty.String, Required: true, Doc: "where the engine is mounted, such as \"kv\""},
			{Name: "path", Type: cty.String, Required: true, Doc: "path of the secret below the mount"},
			{Name: "data", Type: cty.DynamicPseudoType, Required: true, Deferred: true, Doc: "what the secret holds: a map; null members are left out"},
			{Name: "on_remove", Type: cty.String, Oneof: []string{onRemoveDelete, onRemoveDestroy, onRemoveKeep}, Default: onRemoveDelete,
				Doc: "what a removal does: delete the current version, destroy all versions and metadata, or keep"},
		},
	}
}

// place is a rendered block: where, what, and how it ends.
type place struct {
	vault       spec.Address
	mount, path string
	onRemove    string
	content     content
}

func (p place) name() string { return fmt.Sprintf("vault_kv:%s/%s/%s", p.vault, p.mount, p.path) }

// Render implements [sinks.Sink].
func (s *Sink) Render(args spec.Values) (sinks.Desired, error) {
	p, err := parsePlace(args)
	if err != nil {
		return sinks.Desired{}, err
	}
	d := sinks.Desired{Place: p.name(), Target: string(p.vault)}
	data, _ := args.Cty("data").UnmarkDeep()
	if !data.IsWhollyKnown() {
		return d, fmt.Errorf("rendering %s: data: %w", p.name(), sinks.ErrUnknown)
	}
	if p.content, err = contentOf(data); err != nil {
		return d, wrong(p.name(), err)
	}
	d.Content = p
	return d, nil
}

// Check says what is wrong with arguments of which some may be unknown yet.
func Check(args spec.Values) error {
	if _, err := (*Sink)(nil).Render(args); !errors.Is(err, sinks.ErrUnknown) {
		return err
	}
	return nil
}

func parsePlace(args spec.Values) (place, error) {
	var p place
	name := "the secret in Vault"
	for attr, to := range map[string]*string{"vault": (*string)(&p.vault), "mount": &p.mount, "path": &p.path, "on_remove": &p.onRemove} {
		v, err := args.String(attr)
		if err != nil {
			return place{}, wrong(name, err)
		}
		*to = strings.Trim(v, "/")
	}
	switch {
	case p.vault == "":
		return place{}, wrong(name, argument("vault", "it must name a vault block, such as vault.main"))
	case p.mount == "":
		return place{}, wrong(name, argument("mount", "it must name where the engine is mounted, such as \"kv\""))
	case p.path == "":
		return place{}, wrong(name, argument("path", "it must name a secret below the mount"))
	}
	for attr, v := range map[string]string{"mount": p.mount, "path": p.path} {
		for part := range strings.SplitSeq(v, "/") {
			if part == "" || part == "." || part == ".." {
				return place{}, wrong(name, argument(attr, "%q contains the part %q", v, part))
			}
		}
	}
	switch p.onRemove {
	case "":
		p.onRemove = onRemoveDelete
	case onRemoveDelete, onRemoveDestroy, onRemoveKeep:
	default:
		return place{}, wrong(p.name(), argument("on_remove", "%q is none of \"delete\", \"destroy\", \"keep\"", p.onRemove))
	}
	return p, nil
}

// wrong is the error for arguments that cannot be rendered, whatever happens
// around them.
func wrong(name string, err error) error {
	return fmt.Errorf("rendering %s: %w: %w", name, sinks.ErrPermanent, err)
}

// argument is what is wrong with one argument.
func argument(name, what string, args ...any) error {
	return &spec.ArgumentError{Name: name, Err: fmt.Errorf(what, args...)}
}

// secretOf takes out again what Render put in.
func secretOf(d sinks.Desired) (place, error) {
	p, ok := d.Content.(place)
	if !ok {
		return place{}, fmt.Errorf("rendering %s: %w", d.Place, sinks.ErrUnknown)
	}
	return p, nil
}

// content is what a secret holds: as JSON to write, and in the form in which
// two contents are compared.
type content struct{ text, canonical secret.Text }

// contentOf renders a map or object. Its nulls are left out, as they are
// wherever a map is delivered.
func contentOf(v cty.Value) (content, error) {
	if v.IsNull() || !v.Type().IsObjectType() && !v.Type().IsMapType() {
		return content{}, argument("data", "a map is required, not %s", v.Type().FriendlyName())
	}
	b, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return content{}, fmt.Errorf("reading data: %w", err)
	}
	data, err := decode(b)
	if err != nil {
		return content{}, fmt.Errorf("reading data: %w", err)
	}
	dropNulls(data)
	if len(data) == 0 {
		return content{}, argument("data", "it is empty; a secret without its token would only break what reads it")
	}
	return contentOfData(data)
}

func contentOfData(data map[string]any) (content, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return content{}, fmt.Errorf("encoding data: %w", err)
	}
	canonical, err := vault.Canonical(data)
	if err != nil {
		return content{}, fmt.Errorf("encoding data: %w", err)
	}
	return content{text: secret.New(string(b)), canonical: secret.New(string(canonical))}, nil
}

func (c content) data() (map[string]any, error) { return decode([]byte(c.text.Reveal())) }

// holds reports whether what was read from Vault is this content.
func (c content) holds(there map[string]any) bool {
	o, err := contentOfData(there)
	return err == nil && o.canonical.Equal(c.canonical)
}

func decode(b []byte) (map[string]any, error) {
	var data map[string]any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	err := dec.Decode(&data)
	return data, err
}

func dropNulls(v any) {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if e == nil {
				delete(x, k)
				continue
			}
			dropNulls(e)
		}
	case []any:
		for _, e := range x {
			dropNulls(e)
		}
	}
}
