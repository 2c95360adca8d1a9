package spec

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestPlainExpressionsAreWhatTheParserMakes: literals, references and templates
// of them are made without the parser, and are what it makes of them, ranges
// included.
func TestPlainExpressionsAreWhatTheParserMakes(t *testing.T) {
	plain := []string{`"a"`, `""`, `12`, `true`, `null`, `a.b.c`, `a.b["c d"][0].e`, `"${a.b}"`, `"${ a.b["c"].d }"`, `"x ${a.b} y${ c }${d.e[0]}"`, `"}${a}{"`}
	for _, text := range plain {
		if !sameExpression(t, text) {
			t.Errorf("%s is not made without the parser", text)
		}
	}
	others := []string{`"$${a}"`, `"$ ${a}"`, `"%{a}"`, `"%%{if a}${b}"`, `"${true}"`, `"${null.a}"`, `"${~a}"`, `"${a~}"`, `"${a + 1}"`, `"${"${a}"}"`, `"${a["}"]}"`, `"${a[b]}"`,
		`"\n${a}"`, `"é${a}"`, `"${`, `"${}"`, `"${ }"`, `"${a"`, `"${a.}"`, `"`, `"a" + "b"`, `"a${b}" + "${c}d"`, `"${a}" == "${b}"`}
	for _, text := range others {
		sameExpression(t, text)
	}
	random := rand.New(rand.NewPCG(3, 4))
	words := strings.Split(`"|$|{|}|${|.|[|]|["a"]|a|b-c|0|1| |\|%|~|+|,|é|true`, "|")
	kept := 0
	for range 20_000 {
		text := plain[random.IntN(len(plain))]
		for range 1 + random.IntN(2) {
			at := random.IntN(len(text) + 1)
			text = text[:at] + words[random.IntN(len(words))] + text[at:]
		}
		if sameExpression(t, text) {
			kept++
		}
	}
	if kept < 2000 {
		t.Errorf("only %d expressions were made without the parser", kept)
	}
}

// sameExpression makes an expression both ways, where it can be made without the
// parser. Text that is no expression is none that a file was lowered to.
func sameExpression(t *testing.T, text string) bool {
	t.Helper()
	start := hcl.Pos{Line: 3, Column: 5, Byte: 40}
	want, diags := hclsyntax.ParseExpression([]byte(text+"\n"), "x.hcl", start)
	if diags.HasErrors() || want.Range().End.Byte != start.Byte+len(text) {
		return false
	}
	got := plainExpr(text, want.Range())
	if got == nil {
		return false
	}
	if g, w := outline(got), outline(want); g != w {
		t.Errorf("%s is read as\n%s, and by the parser as\n%s", text, g, w)
	}
	return true
}

// outline writes an expression of the plain forms, with its ranges.
func outline(e hclsyntax.Expression) string {
	at := fmt.Sprint(" at ", e.Range())
	switch x := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return x.Val.GoString() + at
	case *hclsyntax.TemplateWrapExpr:
		return "wrapped(" + outline(x.Wrapped) + ")" + at
	case *hclsyntax.TemplateExpr:
		if v, ok := literal(x); ok {
			return v.GoString() + at // a string without references, which is a literal as well
		}
		var parts []string
		for _, p := range x.Parts {
			parts = append(parts, outline(p))
		}
		return "(" + strings.Join(parts, ", ") + ")" + at
	case *hclsyntax.ScopeTraversalExpr:
		out := ""
		for _, step := range x.Traversal {
			switch s := step.(type) {
			case hcl.TraverseRoot:
				out += s.Name
			case hcl.TraverseAttr:
				out += "." + s.Name
			case hcl.TraverseIndex:
				out += "[" + s.Key.GoString() + "]"
			}
			out += fmt.Sprint(step.SourceRange())
		}
		return out + at
	}
	return fmt.Sprintf("%T", e) + at
}
