package spec

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// parseJSONExpr makes the same expression of a JSON value that its native
// spelling would give: strings are templates, objects and arrays are what they
// look like. From here on nothing asks which syntax a block was written in.
func parseJSONExpr(text string, rng hcl.Range) (hclsyntax.Expression, Diagnostics) {
	p := &jsonParser{dec: json.NewDecoder(strings.NewReader(text)), text: text, rng: rng}
	p.dec.UseNumber()
	e := p.value()
	if p.diags.HasErrors() {
		return nil, p.diags
	}
	return e, nil
}

type jsonParser struct {
	dec   *json.Decoder
	text  string
	rng   hcl.Range
	diags Diagnostics
}

// next returns a token and its range.
func (p *jsonParser) next() (json.Token, hcl.Range) {
	from := int(p.dec.InputOffset())
	for from < len(p.text) && strings.IndexByte(" \t\r\n,:", p.text[from]) >= 0 {
		from++
	}
	t, err := p.dec.Token()
	r := p.at(from, int(p.dec.InputOffset()))
	if err != nil && err != io.EOF && !p.diags.HasErrors() {
		p.diags = append(p.diags, problem(r, "Invalid JSON", "This is not a JSON value."))
	}
	return t, r
}

func (p *jsonParser) at(from, to int) hcl.Range {
	to = max(from, to)
	pos := func(off int) hcl.Pos {
		out := p.rng.Start
		before := p.text[:min(off, len(p.text))]
		if n := strings.Count(before, "\n"); n > 0 {
			out.Line += n
			out.Column = columns(before[strings.LastIndexByte(before, '\n')+1:]) + 1
		} else {
			out.Column += columns(before)
		}
		out.Byte += off
		return out
	}
	return hcl.Range{Filename: p.rng.Filename, Start: pos(from), End: pos(to)}
}

func (p *jsonParser) value() hclsyntax.Expression {
	t, r := p.next()
	if p.diags.HasErrors() {
		return nil
	}
	switch x := t.(type) {
	case json.Delim:
		if x == '[' {
			return p.array(r)
		}
		return p.object(r)
	case string:
		return p.template(x, r)
	case json.Number:
		v, err := cty.ParseNumberVal(x.String())
		if err != nil {
			p.diags = append(p.diags, problem(r, "Invalid number", "This is not a number that can be represented."))
			return nil
		}
		return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: r}
	case bool:
		return &hclsyntax.LiteralValueExpr{Val: cty.BoolVal(x), SrcRange: r}
	}
	return &hclsyntax.LiteralValueExpr{Val: cty.NullVal(cty.DynamicPseudoType), SrcRange: r}
}

func (p *jsonParser) array(open hcl.Range) hclsyntax.Expression {
	list := &hclsyntax.TupleConsExpr{OpenRange: open}
	for p.dec.More() && !p.diags.HasErrors() {
		if e := p.value(); e != nil {
			list.Exprs = append(list.Exprs, e)
		}
	}
	_, end := p.next()
	list.SrcRange = hcl.RangeBetween(open, end)
	return list
}

func (p *jsonParser) object(open hcl.Range) hclsyntax.Expression {
	obj := &hclsyntax.ObjectConsExpr{OpenRange: open}
	for p.dec.More() && !p.diags.HasErrors() {
		t, r := p.next()
		key, _ := t.(string)
		k := p.template(key, r)
		v := p.value()
		if k == nil || v == nil {
			break
		}
		obj.Items = append(obj.Items, hclsyntax.ObjectConsItem{
			KeyExpr:   &hclsyntax.ObjectConsKeyExpr{Wrapped: k, ForceNonLiteral: true},
			ValueExpr: v,
		})
	}
	_, end := p.next()
	obj.SrcRange = hcl.RangeBetween(open, end)
	return obj
}

// template reads a string as a template. Escapes of JSON shift what follows
// them in the string; ranges inside it are then only near.
func (p *jsonParser) template(s string, r hcl.Range) hclsyntax.Expression {
	if !strings.Contains(s, "${") && !strings.Contains(s, "%{") {
		return &hclsyntax.LiteralValueExpr{Val: cty.StringVal(s), SrcRange: r}
	}
	start := r.Start
	start.Column++
	start.Byte++
	if d := checkTemplate([]byte(s), r.Filename, start); d != nil {
		p.diags = append(p.diags, d)
		return nil
	}
	e, diags := hclsyntax.ParseTemplate([]byte(s), r.Filename, start)
	if diags.HasErrors() {
		for _, d := range tidy(diags) {
			p.diags = append(p.diags, hideSource(d))
		}
		return nil
	}
	return e
}

// numberOf reads a whole number that fits an int.
func numberOf(v cty.Value) (int, bool) {
	f := v.AsBigFloat()
	n, acc := f.Int64()
	if acc != 0 || n > math.MaxInt32 || n < math.MinInt32 {
		return 0, false
	}
	return int(n), true
}

// trimJSON is the bytes of a JSON document without a byte order mark.
func trimJSON(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) }
