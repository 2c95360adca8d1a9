package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// ParseProviderType reads a provider type from [ProviderType].Source, as it was
// kept with a token that the type obtained.
func ParseProviderType(source []byte, builtin bool) (*ProviderType, Diagnostics) {
	const name = "provider_type"
	var f *hcl.File
	var diags hcl.Diagnostics
	if jsonSyntax(source) {
		f, diags = hcljson.Parse(source, name+".hcl.json")
	} else {
		f, diags = hclsyntax.ParseConfig(source, name+".hcl", hcl.InitialPos)
	}
	if diags.HasErrors() {
		return nil, tidy(diags)
	}
	content, diags := f.Body.Content(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: name, LabelNames: []string{"type"}}}})
	if diags.HasErrors() {
		return nil, tidy(diags)
	}
	if len(content.Blocks) != 1 {
		return nil, Diagnostics{problem(f.Body.MissingItemRange(), "Wrong source", "Exactly one provider_type block is required.")}
	}
	text := source
	if jsonSyntax(source) {
		b := content.Blocks[0]
		text = source[b.DefRange.Start.Byte:b.Body.MissingItemRange().End.Byte]
	}
	return decodeProviderType(content.Blocks[0], text, builtin, TypeFunctions())
}

// jsonSyntax tells the two syntaxes of a block's source apart.
func jsonSyntax(source []byte) bool {
	t := bytes.TrimLeft(source, " \t\r\n")
	return len(t) > 0 && (t[0] == '{' || t[0] == '[')
}

// decodeProviderType reads a `provider_type` block, whose text is src, with all
// its mistakes. A type with mistakes is nil, or lacks what could not be read.
// Functions among fns that read files cannot be called.
func decodeProviderType(block *hcl.Block, src []byte, builtin bool, fns map[string]function.Function) (*ProviderType, Diagnostics) {
	d := &typeDecoder{
		t: &ProviderType{
			Name: block.Labels[0], Builtin: builtin, DeclRange: block.DefRange,
			Session: SessionIndependent, Source: typeSource(block.Labels[0], src),
		},
		fns:     map[string]function.Function{},
		grantAt: map[*GrantType]hcl.Range{},
	}
	for name := range TypeFunctions() {
		if f, ok := fns[name]; ok {
			d.fns[name] = f
		}
	}
	d.label(block, "provider type")
	d.decode(block.Body)
	// What is missing is looked for in a type that is otherwise whole, and names
	// out of scope in one that has lost no block: else one mistake would be
	// reported three times.
	decoded, whole := d.diags, !d.diags.HasErrors()
	d.checkParts()
	if !whole {
		d.diags = decoded
	}
	if !d.lost {
		d.checkScopes()
	}
	diags := tidy(d.diags)
	if diags.HasErrors() {
		return nil, diags
	}
	d.makeLenient()
	return d.t, diags
}

// typeSource is the text of a file that declares the type alone.
func typeSource(name string, src []byte) []byte {
	if !jsonSyntax(src) {
		return append(bytes.Clone(bytes.TrimSpace(src)), '\n') // src is shared
	}
	// Of blocks in an array the text may begin with those before this one.
	body := json.RawMessage(src)
	if d := json.NewDecoder(bytes.NewReader(src)); bytes.HasPrefix(bytes.TrimLeft(src, " \t\r\n"), []byte("[")) {
		_, _ = d.Token()
		for d.More() {
			var one json.RawMessage
			if d.Decode(&one) != nil {
				break
			}
			body = one
		}
	}
	out, err := json.Marshal(map[string]map[string]json.RawMessage{"provider_type": {name: body}})
	if err != nil {
		return append([]byte(nil), src...) // not JSON after all: the parser has said so
	}
	return out
}

// typeDecoder reads one provider type.
type typeDecoder struct {
	t       *ProviderType
	fns     map[string]function.Function
	diags   Diagnostics
	lost    bool        // a block is unknown, so that what it declares is not missed
	shared  []Field     // inputs of the type, which every grant has before its own
	places  []typePlace // every expression with the scope it is evaluated in
	grantAt map[*GrantType]hcl.Range
	blocks  struct{ response, refresh, revoke, errors, verify hcl.Range }
}

func (d *typeDecoder) add(diag *hcl.Diagnostic) { d.diags = append(d.diags, diag) }

// content reads the body of a block. A response's access_token and the type of
// an input are missed by who reads them, in words of their own.
func (d *typeDecoder) content(body hcl.Body, header hcl.Range, block string, sc Schema) *hcl.BodyContent {
	c, diags := body.Content(bodySchema(sc))
	for _, diag := range diags {
		switch diag.Summary {
		case "Unsupported argument":
			diag.Summary = "Unknown argument"
		case "Unsupported block type":
			diag.Summary, d.lost = "Unknown block", true
		}
		if block == "input" || block == "config" {
			hideSource(diag) // a secret may stand where a default was meant
		}
	}
	d.diags = append(d.diags, diags...)
	if block == "input" || block == "config" {
		return c
	}
	for i := range sc.Attrs {
		if a := &sc.Attrs[i]; a.Required && c.Attributes[a.Name] == nil && a.Name != "access_token" {
			d.add(problem(header, "Missing argument", "The %s block needs the argument %s%s.", block, a.Name, what(a.Doc)))
		}
	}
	return c
}

// single returns the only block of a type, or nil.
func (d *typeDecoder) single(c *hcl.BodyContent, name string) *hcl.Block {
	var first *hcl.Block
	for _, b := range c.Blocks.OfType(name) {
		if first != nil {
			d.add(problem(b.DefRange, "Duplicate "+name+" block", "There is a %s block already at line %d; only one is allowed here.", name, first.DefRange.Start.Line))
			continue
		}
		first = b
	}
	return first
}

// label checks that a block's label can be named in an expression.
func (d *typeDecoder) label(b *hcl.Block, what string) {
	if hclsyntax.ValidIdentifier(b.Labels[0]) {
		return
	}
	at := b.DefRange
	if len(b.LabelRanges) > 0 {
		at = b.LabelRanges[0]
	}
	d.add(problem(at, "Invalid name", "%q cannot be the name of a %s: letters, digits, _ and - are allowed, a letter first.", b.Labels[0], what))
}

func (d *typeDecoder) decode(body hcl.Body) {
	c := d.content(body, d.t.DeclRange, "provider_type", TypeSchema())
	t := d.t
	d.text(c, "summary", &t.Summary)
	d.oneOf(c, "session", &t.Session, SessionIndependent, SessionOnePerAccount, SessionSharedGrant)
	t.HeaderName = d.expr(c, "header_name")
	t.Header = d.expr(c, "header")
	t.DefaultLifetime = d.expr(c, "default_lifetime")
	t.Discovery = d.expr(c, "discovery")
	for _, b := range c.Blocks.OfType("config") {
		t.Config = d.field(t.Config, b, "setting", reservedSettings())
	}
	for _, b := range c.Blocks.OfType("input") {
		d.shared = d.field(d.shared, b, "input", reservedInputs())
	}
	for _, b := range c.Blocks.OfType("grant") {
		d.grant(b)
	}
	if b := d.single(c, "response"); b != nil {
		t.Response, d.blocks.response = d.response(b), b.DefRange
	}
	if b := d.single(c, "refresh"); b != nil {
		t.Refresh, d.blocks.refresh = d.refresh(b), b.DefRange
	}
	if b := d.single(c, "revoke"); b != nil {
		t.Revoke, d.blocks.revoke = d.revoke(b), b.DefRange
	}
	if b := d.single(c, "error"); b != nil {
		t.Errors, d.blocks.errors = d.errors(b), b.DefRange
	}
	if b := d.single(c, "verify"); b != nil {
		vc := d.content(b.Body, b.DefRange, b.Type, typeVerifySchema())
		t.Verify, d.blocks.verify = &VerifyRequest{Request: d.request(vc, b)}, b.DefRange
	}
	for _, b := range c.Blocks.OfType("action") {
		d.action(b)
	}
}

// reservedInputs are the common arguments of credentials.
func reservedInputs() []string {
	sc := CredentialSchema()
	return append(sc.names(), "dynamic")
}

// reservedSettings are those of providers.
func reservedSettings() []string {
	sc := ProviderSchema()
	return append(sc.names(), "dynamic")
}

// field reads an `input` or `config` block.
func (d *typeDecoder) field(have []Field, b *hcl.Block, what string, reserved []string) []Field {
	d.label(b, what)
	f := Field{Name: b.Labels[0], Type: cty.String}
	at := b.DefRange
	if len(b.LabelRanges) > 0 {
		at = b.LabelRanges[0]
	}
	for _, r := range reserved {
		if f.Name != r {
			continue
		}
		diag := problem(at, "Reserved name", "%q is a common argument of every block, so that no %s of a provider type can have that name.", f.Name, what)
		if f.Name == "scopes" {
			diag = hinted(diag, "Scopes need no declaration: read them as input.scopes.")
		}
		d.add(diag)
		d.lost = true // whoever reads it by this name is right
	}
	for _, h := range have {
		if h.Name == f.Name {
			d.add(problem(at, "Duplicate "+what, "There is a %s %q already.", what, f.Name))
		}
	}
	schema := settingSchema()
	if what == "input" {
		schema = inputSchema()
	}
	c := d.content(b.Body, b.DefRange, b.Type, schema)
	if a := c.Attributes["type"]; a != nil {
		t, diags := typeexpr.TypeConstraint(a.Expr)
		for _, diag := range diags {
			diag.Summary = "Invalid type"
			if e, ok := a.Expr.(hclsyntax.Expression); ok {
				diag.Detail += suggestType(e, diag)
			}
		}
		d.diags = append(d.diags, diags...)
		f.Type = t
	} else {
		d.add(problem(at, "Missing type", "A %s needs a type, such as type = string.", what))
	}
	d.text(c, "description", &f.Description)
	d.flag(c, "sensitive", &f.Sensitive)
	d.oneOf(c, "on_change", &f.OnChange, OnChangeReplace, OnChangeNextUse)
	if a := c.Attributes["one_of"]; a != nil {
		f.OneOf = d.strings(a)
	}
	if a := c.Attributes["default"]; a != nil {
		f.Default = d.fieldDefault(a, f)
	}
	return append(have, f)
}

func (d *typeDecoder) fieldDefault(a *hcl.Attribute, f Field) *cty.Value {
	v, ok := d.constant(a)
	if !ok {
		return nil
	}
	c, err := convert.Convert(v, f.Type)
	switch {
	case err != nil:
		diag := problem(a.Expr.Range(), "Wrong type of default", "The default of %q must be %s.", f.Name, typeWords(f.Type))
		if f.Sensitive {
			diag = hideSource(diag)
		}
		d.add(diag)
		return nil
	case f.Sensitive && !c.IsNull():
		d.add(hinted(hideSource(problem(a.Expr.Range(), "Default of a sensitive input", "%q is sensitive, so its value cannot stand in a file.", f.Name)),
			"Leave the default out, or make the input optional with default = null."))
		return nil
	}
	if len(f.OneOf) > 0 && !c.IsNull() && c.Type() == cty.String && !contains(f.OneOf, c.AsString()) {
		d.add(problem(a.Expr.Range(), "Default that is not allowed", "The default of %q must be one of its one_of: %s.", f.Name, orList(f.OneOf)))
	}
	return &c
}

// constant evaluates an argument that can read nothing.
func (d *typeDecoder) constant(a *hcl.Attribute) (cty.Value, bool) {
	v, diags := a.Expr.Value(&hcl.EvalContext{Functions: d.fns})
	d.diags = append(d.diags, diags...)
	return v, !diags.HasErrors() && v.IsWhollyKnown() // of what breaks off, the parser says so
}

func (d *typeDecoder) text(c *hcl.BodyContent, name string, into *string) {
	a := c.Attributes[name]
	if a == nil {
		return
	}
	if v, ok := d.constant(a); ok {
		s, err := convert.Convert(v, cty.String)
		if err != nil || s.IsNull() {
			d.add(problem(a.Expr.Range(), "Wrong type", "%s must be a string.", name))
			return
		}
		*into = s.AsString()
	}
}

func (d *typeDecoder) flag(c *hcl.BodyContent, name string, into *bool) bool {
	a := c.Attributes[name]
	if a == nil {
		return false
	}
	if v, ok := d.constant(a); ok {
		b, err := convert.Convert(v, cty.Bool)
		if err != nil || b.IsNull() {
			d.add(problem(a.Expr.Range(), "Wrong type", "%s must be true or false.", name))
			return false
		}
		*into = b.True()
	}
	return true
}

// given is a text that is there, and where; false where it is not, or is none.
func (d *typeDecoder) given(c *hcl.BodyContent, name string) (s string, at hcl.Range, ok bool) {
	a := c.Attributes[name]
	if a == nil {
		return "", hcl.Range{}, false
	}
	before := len(d.diags)
	d.text(c, name, &s)
	return s, a.Expr.Range(), len(d.diags) == before
}

func (d *typeDecoder) oneOf(c *hcl.BodyContent, name string, into *string, allowed ...string) {
	s, at, ok := d.given(c, name)
	if !ok {
		return
	}
	if !contains(allowed, s) {
		d.add(problem(at, "Unknown value", "%s must be one of %s, not %q.%s", name, orList(allowed), s, suggest(s, allowed)))
		return
	}
	*into = s
}

func (d *typeDecoder) duration(c *hcl.BodyContent, name string, into *time.Duration) {
	s, at, ok := d.given(c, name)
	if !ok {
		return
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		d.add(problem(at, "Wrong duration", "%s must be a duration such as \"30s\" or \"24h\".", name))
		return
	}
	*into = v
}

func (d *typeDecoder) strings(a *hcl.Attribute) []string {
	v, ok := d.constant(a)
	if !ok {
		return nil
	}
	list, err := convert.Convert(v, cty.List(cty.String))
	if err != nil || list.IsNull() || !list.IsWhollyKnown() {
		d.add(problem(a.Expr.Range(), "Wrong type", "%s must be a list of strings.", a.Name))
		return nil
	}
	out := []string{}
	for it := list.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() {
			d.add(problem(a.Expr.Range(), "Wrong type", "%s must be a list of strings; null is none.", a.Name))
			return nil
		}
		out = append(out, e.AsString())
	}
	return out
}

// expr takes an argument's expression as it is, in native form.
func (d *typeDecoder) expr(c *hcl.BodyContent, name string) hcl.Expression {
	a := c.Attributes[name]
	if a == nil {
		return nil
	}
	e, diags := nativeExpr(a.Expr)
	d.diags = append(d.diags, diags...)
	return e
}

// orList lists names as a sentence does: "a", "b" or "c".
func orList(names []string) string {
	var b bytes.Buffer
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			b.WriteString(" or ")
		case i > 0:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", n)
	}
	return b.String()
}
