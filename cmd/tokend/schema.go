package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"tokend/pkg/spec"
)

const schemaHelp = `Prints a machine-readable schema of the whole language, as JSON, for editors and
generators: every block with its labels, arguments (type, whether it is required,
default, whether it is sensitive, what it is for) and nested blocks; the kinds of
sink, secret, hook and vault login; the provider types of the catalogue and of
the configuration with their settings, grants, inputs, outputs and actions; the
attributes of a credential; the functions; the names that are reserved.

The shape is that of "terraform providers schema -json" where there is one:
types are "string", "number", "bool", "dynamic" (any), ["list", TYPE],
["map", TYPE], ["object", {NAME: TYPE}]. format_version counts up when the
shape changes; new members may come without that. It is the same data that
reads the configuration, and that docs/language is made of.`

// schemaFormat is the version of the shape that `tokend schema` prints.
const schemaFormat = "1.0"

func schemaCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "schema", Short: "print the schema of the language as JSON", Long: schemaHelp, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		types, err := g.types(c.Context())
		if err != nil {
			return err
		}
		doc, err := schemaOf(g.specOptions(), types)
		if err != nil {
			return fmt.Errorf("printing the schema: %w", err)
		}
		return g.printJSON(doc)
	}}
}

// schemaDoc is what `tokend schema` prints.
type schemaDoc struct {
	FormatVersion        string                    `json:"format_version"`
	Version              string                    `json:"tokend_version"`
	Blocks               map[string]*schemaTop     `json:"blocks"`
	Dynamic              *schemaTop                `json:"dynamic"`
	ProviderTypes        map[string]*schemaType    `json:"provider_types"`
	CredentialAttributes map[string]*schemaAttr    `json:"credential_attributes"`
	Functions            map[string]schemaFunction `json:"functions"`
	Reserved             spec.Reserved             `json:"reserved"`
}

// schemaBlock is what stands between a block's braces.
type schemaBlock struct {
	Description string                   `json:"description,omitempty"`
	Attributes  map[string]*schemaAttr   `json:"attributes"`
	Blocks      map[string]*schemaNested `json:"block_types,omitempty"`
	order       schemaOrder
}

// schemaOrder is the order in which documentation has a block's members.
type schemaOrder struct{ attributes, blocks []string }

type schemaTop struct {
	Labels []string `json:"labels"`
	schemaBlock
	// AnyAttribute: arguments have names of the writer's choice.
	AnyAttribute bool                    `json:"any_attribute,omitempty"`
	Kinds        map[string]*schemaBlock `json:"kinds,omitempty"` // by the first label, beside the block's own
}

type schemaNested struct {
	NestingMode string                  `json:"nesting_mode"` // "single" or "list"
	Required    bool                    `json:"required,omitempty"`
	Labels      []string                `json:"labels,omitempty"`
	Block       *schemaBlock            `json:"block"`
	Kinds       map[string]*schemaBlock `json:"kinds,omitempty"` // by the first label
}

type schemaAttr struct {
	Type        json.RawMessage `json:"type"`
	Description string          `json:"description,omitempty"`
	Required    bool            `json:"required,omitempty"`
	Optional    bool            `json:"optional,omitempty"`
	Computed    bool            `json:"computed,omitempty"` // read, not written
	Sensitive   bool            `json:"sensitive,omitempty"`
	// Default is absent where the argument has none.
	Default json.RawMessage `json:"default,omitempty"`
	OneOf   []string        `json:"one_of,omitempty"`
	// Format says what a string must be: "duration", "path", "reference", "url".
	Format     string `json:"format,omitempty"`
	References string `json:"references,omitempty"` // the kind of block that a reference names
	// Deferred arguments may come from secrets and tokens; the others must be
	// known when the directory is read.
	Deferred bool   `json:"deferred,omitempty"`
	OnChange string `json:"on_change,omitempty"`
}

type schemaType struct {
	Summary  string                   `json:"summary,omitempty"`
	Builtin  bool                     `json:"builtin"`
	Session  string                   `json:"session"`
	Settings map[string]*schemaAttr   `json:"settings"`
	Grants   map[string]*schemaGrant  `json:"grants"`
	Actions  map[string]*schemaAction `json:"actions,omitempty"`
	order    struct{ settings, grants, actions []string }
}

type schemaGrant struct {
	Summary     string                 `json:"summary,omitempty"`
	Static      bool                   `json:"static,omitempty"`
	Interactive string                 `json:"interactive,omitempty"` // "authorize" or "device"
	Lockout     bool                   `json:"lockout,omitempty"`
	Inputs      map[string]*schemaAttr `json:"inputs"`
	Outputs     []string               `json:"outputs,omitempty"`
	Refresh     *schemaRefresh         `json:"refresh,omitempty"`
	Revoke      *schemaRevoke          `json:"revoke,omitempty"`
	order       []string
}

type schemaRefresh struct {
	Rotates                string `json:"rotates"`
	ReplayWindow           string `json:"replay_window,omitempty"`
	TokenLifetime          string `json:"token_lifetime,omitempty"`
	InvalidatesAccessToken bool   `json:"invalidates_access_token,omitempty"`
}

type schemaRevoke struct {
	On    []string `json:"on"`
	Needs string   `json:"needs,omitempty"`
}

type schemaAction struct {
	Summary     string `json:"summary,omitempty"`
	Destructive bool   `json:"destructive,omitempty"`
	EndsAccount bool   `json:"ends_account,omitempty"`
}

type schemaFunction struct {
	Group       string `json:"group"`
	Usage       string `json:"usage"`
	Description string `json:"description"`
}

// schemaOf describes the language with the kinds of o and the provider types.
func schemaOf(o spec.Options, types []*spec.ProviderType) (*schemaDoc, error) {
	doc := &schemaDoc{
		FormatVersion: schemaFormat, Version: version,
		Blocks: map[string]*schemaTop{}, ProviderTypes: map[string]*schemaType{}, Functions: map[string]schemaFunction{},
		Reserved: spec.ReservedNames(),
	}
	for _, b := range spec.Blocks(o) {
		top, err := topOf(b)
		if err != nil {
			return nil, err
		}
		doc.Blocks[b.Name] = top
	}
	var err error
	if doc.Dynamic, err = topOf(spec.DynamicReference()); err != nil {
		return nil, err
	}
	for _, t := range types {
		if doc.ProviderTypes[t.Name], err = typeOf(t); err != nil {
			return nil, err
		}
	}
	attrs, _, err := attributesOf(spec.CredentialAttributes())
	if err != nil {
		return nil, err
	}
	for _, a := range attrs {
		a.Optional, a.Computed = false, true
	}
	doc.CredentialAttributes = attrs
	for _, f := range spec.Functions() {
		doc.Functions[f.Name] = schemaFunction{Group: f.Group, Usage: f.Usage, Description: f.Doc}
	}
	return doc, nil
}

func topOf(b spec.BlockReference) (*schemaTop, error) {
	body, err := blockOf(b.Schema)
	if err != nil {
		return nil, err
	}
	top := &schemaTop{Labels: b.Labels, schemaBlock: *body, AnyAttribute: b.Free}
	top.Kinds, err = kindsOf(b.Kinds)
	return top, err
}

func kindsOf(kinds map[string]spec.Schema) (map[string]*schemaBlock, error) {
	if len(kinds) == 0 {
		return nil, nil
	}
	out := map[string]*schemaBlock{}
	for n, sc := range kinds {
		var err error
		if out[n], err = blockOf(sc); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func blockOf(sc spec.Schema) (*schemaBlock, error) {
	b := &schemaBlock{Description: sc.Doc}
	var err error
	if b.Attributes, b.order.attributes, err = attributesOf(sc.Attrs); err != nil {
		return nil, err
	}
	for _, nb := range sc.Blocks {
		inner, err := blockOf(nb.Schema)
		if err != nil {
			return nil, err
		}
		n := &schemaNested{NestingMode: "single", Required: nb.Required, Labels: nb.Labels, Block: inner}
		if nb.Many {
			n.NestingMode = "list"
		}
		if n.Kinds, err = kindsOf(nb.Kinds); err != nil {
			return nil, err
		}
		if b.Blocks == nil {
			b.Blocks = map[string]*schemaNested{}
		}
		b.Blocks[nb.Name] = n
		b.order.blocks = append(b.order.blocks, nb.Name)
	}
	return b, nil
}

func attributesOf(list []spec.Attr) (map[string]*schemaAttr, []string, error) {
	out := make(map[string]*schemaAttr, len(list))
	var order []string
	for i := range list {
		a := &list[i]
		t, err := typeJSON(a.Type)
		if err != nil {
			return nil, nil, fmt.Errorf("type of %s: %w", a.Name, err)
		}
		s := &schemaAttr{
			Type: t, Description: a.Doc, Required: a.Required, Optional: !a.Required, Sensitive: a.Sensitive,
			OneOf: a.Oneof, References: a.Ref, Deferred: a.Deferred, Default: defaultJSON(a),
		}
		switch {
		case a.Ref != "":
			s.Format = "reference"
			// The only vault that is declared is the default.
			s.Required, s.Optional = s.Required && a.Ref != "vault", s.Optional || a.Ref == "vault"
		case a.Duration:
			s.Format = "duration"
		case a.Path:
			s.Format = "path"
		case a.URL:
			s.Format = "url"
		}
		out[a.Name] = s
		order = append(order, a.Name)
	}
	return out, order, nil
}

func typeJSON(t cty.Type) (json.RawMessage, error) {
	if t == cty.NilType {
		t = cty.DynamicPseudoType
	}
	return ctyjson.MarshalType(t)
}

// defaultJSON is the default that a schema says in words, as a value.
func defaultJSON(a *spec.Attr) json.RawMessage {
	d := a.Default
	switch {
	case d == "":
		return nil
	case a.Type == cty.Number, a.Type == cty.Bool, a.Type != cty.NilType && a.Type.IsCollectionType():
		if json.Valid([]byte(d)) {
			return json.RawMessage(d)
		}
	case strings.HasPrefix(d, `"`): // a string whose quotes matter, such as one space
		if s, err := strconv.Unquote(d); err == nil {
			d = s
		}
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil
	}
	return b
}

func typeOf(t *spec.ProviderType) (*schemaType, error) {
	out := &schemaType{Summary: t.Summary, Builtin: t.Builtin, Session: t.Session, Grants: map[string]*schemaGrant{}}
	var err error
	if out.Settings, out.order.settings, err = fieldsOf(t.Config, false); err != nil {
		return nil, err
	}
	for _, g := range t.Grants {
		sg := &schemaGrant{Summary: g.Summary, Static: g.Static, Lockout: g.Lockout, Outputs: t.OutputNames(g)}
		if sg.Inputs, sg.order, err = fieldsOf(g.Inputs, true); err != nil {
			return nil, err
		}
		switch {
		case g.Authorize != nil:
			sg.Interactive = "authorize"
		case g.Device != nil:
			sg.Interactive = "device"
		}
		if r := t.RefreshOf(g); r != nil {
			sg.Refresh = &schemaRefresh{Rotates: r.Rotates, InvalidatesAccessToken: r.InvalidatesAccessToken}
			if r.ReplayWindow > 0 {
				sg.Refresh.ReplayWindow = span(r.ReplayWindow)
			}
			if r.TokenLifetime > 0 {
				sg.Refresh.TokenLifetime = span(r.TokenLifetime)
			}
		}
		if r := t.RevokeOf(g); r != nil {
			sg.Revoke = &schemaRevoke{On: r.On, Needs: r.Needs}
		}
		out.Grants[g.Name] = sg
		out.order.grants = append(out.order.grants, g.Name)
	}
	for _, a := range t.Actions {
		if out.Actions == nil {
			out.Actions = map[string]*schemaAction{}
		}
		out.Actions[a.Name] = &schemaAction{Summary: a.Summary, Destructive: a.Destructive, EndsAccount: a.EndsAccount}
		out.order.actions = append(out.order.actions, a.Name)
	}
	return out, nil
}

// span is a duration as a configuration writes it: "24h" and not "24h0m0s".
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// fieldsOf describes the settings of a type or the inputs of a grant.
func fieldsOf(fields []spec.Field, inputs bool) (map[string]*schemaAttr, []string, error) {
	out := make(map[string]*schemaAttr, len(fields))
	var order []string
	for i := range fields {
		f := &fields[i]
		t, err := typeJSON(f.Type)
		if err != nil {
			return nil, nil, fmt.Errorf("type of %s: %w", f.Name, err)
		}
		a := &schemaAttr{Type: t, Description: f.Description, Required: f.Default == nil, Optional: f.Default != nil, Sensitive: f.Sensitive, OneOf: f.OneOf, Deferred: true, OnChange: f.OnChange}
		if inputs && a.OnChange == "" {
			if a.OnChange = spec.OnChangeReplace; f.Sensitive {
				a.OnChange = spec.OnChangeNextUse
			}
		}
		if f.Default != nil && !f.Default.IsNull() {
			if a.Default, err = ctyjson.Marshal(*f.Default, f.Default.Type()); err != nil {
				return nil, nil, fmt.Errorf("default of %s: %w", f.Name, err)
			}
		}
		out[f.Name] = a
		order = append(order, f.Name)
	}
	return out, order, nil
}
