package spec

import (
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty/function"
)

// lowering turns parsed files into tables.
type lowering struct {
	builtin bool
	fns     map[string]function.Function
	shapes  map[string]shape // by block type, for JSON, which does not tell blocks from arguments
}

// shape says which members of a JSON object are blocks.
type shape struct {
	labels int
	blocks map[string]shape
}

// lower parses s and fills its tables. What cannot be parsed is a diagnostic;
// what stands beside it is lowered all the same, so that its mistakes are
// reported in the same run.
func (l *lowering) lower(s *source) {
	if len(s.text) > MaxFileSize {
		s.diags = append(s.diags, fileError(s.name, "File too large",
			"A configuration file may have at most 4 MiB; split it, or read bulk data with file()."))
		return
	}
	if !s.json && scanPlain(s) {
		return
	}
	src := []byte(s.text)
	if d := checkNesting(src, s.name, s.json); d != nil {
		s.diags = append(s.diags, d)
		return
	}
	if s.json {
		l.lowerJSON(s, src)
		return
	}
	f, diags := hclsyntax.ParseConfig(src, s.name, hcl.InitialPos)
	s.broken = diags.HasErrors()
	s.diags = append(s.diags, firstOfRun(syntaxDiags(s, diags))...)
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return
	}
	for _, a := range sortedAttrs(body) {
		s.diags = append(s.diags, strayArgument(a.Name, a.NameRange))
	}
	for _, b := range body.Blocks {
		if b.Type == "provider_type" {
			l.lowerType(s, b.AsHCLBlock(), src[b.TypeRange.Start.Byte:max(b.CloseBraceRange.End.Byte, b.TypeRange.Start.Byte)])
			continue
		}
		l.block(s, b)
	}
}

// lowerType decodes a provider_type block, whose expressions are kept.
func (l *lowering) lowerType(s *source, b *hcl.Block, text []byte) {
	if d := checkLabels("provider_type", b.Labels, b.LabelRanges, b.DefRange); d != nil {
		s.diags = append(s.diags, d)
		return
	}
	t, diags := decodeProviderType(b, append([]byte(nil), text...), l.builtin, l.fns)
	s.diags = append(s.diags, diags...)
	if t == nil {
		s.badTypes = append(s.badTypes, b.Labels[0])
		return
	}
	s.types = append(s.types, t)
}

// block appends b, its arguments and what is nested in it.
func (l *lowering) block(s *source, b *hclsyntax.Block) {
	row := blockRow{
		typ:     spanOf(b.TypeRange),
		body:    span{uint32(b.OpenBraceRange.Start.Byte), uint32(b.CloseBraceRange.End.Byte)},
		line:    uint32(b.TypeRange.Start.Line),
		nlabels: uint8(min(len(b.Labels), 255)),
		attrs:   uint32(len(s.attrs)),
	}
	for i := range min(len(b.LabelRanges), len(row.labels)) {
		row.labels[i] = spanOf(b.LabelRanges[i])
	}
	if s.broken && !s.holds(row.typ, row.labels[0], row.labels[1]) {
		return
	}
	for _, a := range sortedAttrs(b.Body) {
		if s.broken && (!parses(s, a.Expr) || s.mistaken(a.NameRange.Start.Line, a.SrcRange.End.Line)) {
			continue // which the parser has reported
		}
		s.attrs = append(s.attrs, attrRow{name: spanOf(a.NameRange), expr: spanOf(a.Expr.Range())})
	}
	row.attrsEnd = uint32(len(s.attrs))
	at := len(s.blocks)
	s.blocks = append(s.blocks, row)
	for _, nested := range b.Body.Blocks {
		l.block(s, nested)
	}
	s.blocks[at].next = uint32(len(s.blocks))
}

// mistaken reports whether the parser stumbled over one of these lines: what
// seems to be whole there is a part of something else.
func (s *source) mistaken(from, to int) bool {
	for _, d := range s.diags {
		if d.Severity == hcl.DiagError && d.Subject != nil && d.Subject.Start.Line >= from && d.Subject.Start.Line <= to {
			return true
		}
	}
	return false
}

// parses reports whether an expression of a broken file is whole.
func parses(s *source, e hclsyntax.Expression) bool {
	if _, broken := e.(*hclsyntax.ExprSyntaxError); broken {
		return false
	}
	r := e.Range()
	if !s.holds(spanOf(r)) {
		return false // the parser gives what it could not read odd ranges
	}
	_, diags := hclsyntax.ParseExpression(withNewline(s.text[r.Start.Byte:r.End.Byte]), s.name, r.Start)
	return !diags.HasErrors()
}

// sortedAttrs lists a body's arguments in the order of the text.
func sortedAttrs(b *hclsyntax.Body) []*hclsyntax.Attribute {
	list := make([]*hclsyntax.Attribute, 0, len(b.Attributes))
	for _, a := range b.Attributes {
		list = append(list, a)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].NameRange.Start.Byte < list[j].NameRange.Start.Byte })
	return list
}

func spanOf(r hcl.Range) span { return span{uint32(r.Start.Byte), uint32(r.End.Byte)} }

// lowerJSON does for JSON what lower does for the native syntax.
func (l *lowering) lowerJSON(s *source, src []byte) {
	if d := brokenJSON(src, s.name); d != nil {
		s.broken = true
		s.diags = append(s.diags, syntaxDiags(s, hcl.Diagnostics{d})...)
		return
	}
	f, diags := hcljson.Parse(src, s.name)
	s.broken = diags.HasErrors()
	s.diags = append(s.diags, syntaxDiags(s, diags)...)
	if f == nil || f.Body == nil {
		return
	}
	schema := &hcl.BodySchema{}
	for _, t := range sortedKeys(l.shapes) {
		names := make([]string, l.shapes[t].labels)
		for i := range names {
			names[i] = []string{"type", "name"}[i+2-len(names)]
		}
		schema.Blocks = append(schema.Blocks, hcl.BlockHeaderSchema{Type: t, LabelNames: names})
	}
	content, rest, diags := f.Body.PartialContent(schema)
	s.diags = append(s.diags, syntaxDiags(s, diags)...)
	stray, _ := rest.JustAttributes()
	for _, a := range sortedJSON(stray) {
		if a.Name != "//" {
			s.diags = append(s.diags, unknownBlock(a.Name, a.NameRange))
		}
	}
	sort.SliceStable(content.Blocks, func(i, j int) bool {
		return bodyStart(content.Blocks[i]) < bodyStart(content.Blocks[j])
	})
	for _, b := range content.Blocks {
		if b.Type == "provider_type" {
			end := b.Body.MissingItemRange().End.Byte
			l.lowerType(s, b, src[min(bodyStart(b), end):end])
			continue
		}
		l.jsonBlock(s, b, l.shapes[b.Type])
	}
}

// bodyStart is where the JSON object of a block begins. DefRange is that of
// the bracket where blocks come as an array, so it is a lower bound there.
func bodyStart(b *hcl.Block) int { return b.DefRange.Start.Byte }

func (l *lowering) jsonBlock(s *source, b *hcl.Block, sh shape) {
	end := b.Body.MissingItemRange().End.Byte
	row := blockRow{
		typ:     spanOf(b.TypeRange),
		body:    span{uint32(b.DefRange.Start.Byte), uint32(max(end, b.DefRange.Start.Byte))},
		line:    uint32(b.TypeRange.Start.Line),
		nlabels: uint8(min(len(b.Labels), 255)),
		attrs:   uint32(len(s.attrs)),
	}
	for i := range min(len(b.LabelRanges), len(row.labels)) {
		row.labels[i] = spanOf(b.LabelRanges[i])
	}
	schema := &hcl.BodySchema{}
	for _, t := range sortedKeys(sh.blocks) {
		names := []string{}
		for range sh.blocks[t].labels {
			names = append(names, "name")
		}
		schema.Blocks = append(schema.Blocks, hcl.BlockHeaderSchema{Type: t, LabelNames: names})
	}
	content, rest, diags := b.Body.PartialContent(schema)
	s.diags = append(s.diags, syntaxDiags(s, diags)...)
	attrs, diags := rest.JustAttributes()
	s.diags = append(s.diags, syntaxDiags(s, diags)...)
	for _, a := range sortedJSON(attrs) {
		if a.Name == "//" {
			continue
		}
		s.attrs = append(s.attrs, attrRow{name: spanOf(a.NameRange), expr: spanOf(a.Expr.Range())})
	}
	row.attrsEnd = uint32(len(s.attrs))
	at := len(s.blocks)
	s.blocks = append(s.blocks, row)
	for _, nested := range content.Blocks {
		l.jsonBlock(s, nested, sh.blocks[nested.Type])
	}
	s.blocks[at].next = uint32(len(s.blocks))
}

func sortedJSON(attrs hcl.Attributes) []*hcl.Attribute {
	list := make([]*hcl.Attribute, 0, len(attrs))
	for _, a := range attrs {
		list = append(list, a)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].NameRange.Start.Byte < list[j].NameRange.Start.Byte })
	return list
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
