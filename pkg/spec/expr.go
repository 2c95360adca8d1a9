package spec

import (
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// parseExpr makes an expression of the bytes that were one when the file was
// lowered. Literals and plain references, which most are, are made without the
// parser.
func parseExpr(s *source, b *blockRow, p span) (e hclsyntax.Expression, diags Diagnostics) {
	text := s.cut(p)
	rng := s.rangeOf(b, p)
	defer func() {
		if recover() != nil {
			e, diags = nil, Diagnostics{hideSource(problem(rng, parserFailed, "The parser failed on this expression. Write it in simpler steps, with locals."))}
		}
	}()
	if s.json {
		return parseJSONExpr(text, rng)
	}
	if e := plainExpr(text, rng); e != nil {
		return e, nil
	}
	e, diags = hclsyntax.ParseExpression(withNewline(text), s.name, rng.Start)
	if diags.HasErrors() {
		return nil, syntaxDiags(s, diags)
	}
	return e, nil
}

// withNewline ends an expression's text with the newline that follows it in the
// file: the end of a heredoc needs it.
func withNewline(text string) []byte {
	b := make([]byte, 0, len(text)+1)
	return append(append(b, text...), '\n')
}

// plainExpr reads a literal or a reference, or returns nil.
func plainExpr(text string, rng hcl.Range) hclsyntax.Expression {
	if text == "" {
		return nil
	}
	lit := func(v cty.Value) hclsyntax.Expression {
		return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: rng}
	}
	switch text {
	case "true":
		return lit(cty.True)
	case "false":
		return lit(cty.False)
	case "null":
		return lit(cty.NullVal(cty.DynamicPseudoType))
	}
	switch c := text[0]; {
	case c == '"':
		if len(text) < 2 || text[len(text)-1] != '"' {
			return nil
		}
		if inner := text[1 : len(text)-1]; plainString(inner) {
			return lit(cty.StringVal(inner))
		}
		return plainTemplate(text, rng)
	case '0' <= c && c <= '9':
		if len(text) > 15 {
			return nil
		}
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return nil
		}
		return lit(cty.NumberUIntVal(n))
	}
	if t := plainTraversal(text, rng); t != nil {
		return &hclsyntax.ScopeTraversalExpr{Traversal: t, SrcRange: rng}
	}
	return nil
}

// plainString reports whether the inside of a quoted string stands for itself.
func plainString(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"', '\\', '\n', '\r':
			return false
		case '$', '%':
			if i+1 < len(s) && s[i+1] == '{' {
				return false
			}
		}
	}
	return true
}

// plainTemplate reads a quoted string of text and plain references.
func plainTemplate(text string, rng hcl.Range) hclsyntax.Expression {
	if !isPrintableASCII(text) {
		return nil // columns are counted as bytes
	}
	var parts []hclsyntax.Expression
	end := len(text) - 1
	for at := 1; at < end; {
		next := strings.Index(text[at:end], "${")
		if next < 0 {
			next = end - at
		}
		if next > 0 {
			if strings.ContainsAny(text[at:at+next], `"\$%`) {
				return nil
			}
			parts = append(parts, &hclsyntax.LiteralValueExpr{Val: cty.StringVal(text[at : at+next]), SrcRange: part(rng, at, at+next)})
			at += next
			continue
		}
		closing := strings.IndexByte(text[at:end], '}')
		if closing < 0 {
			return nil
		}
		from, to := at+2, at+closing
		for ; from < to && text[from] == ' '; from++ {
		}
		for ; to > from && text[to-1] == ' '; to-- {
		}
		whole := part(rng, from, to)
		t := plainTraversal(text[from:to], whole)
		if t == nil {
			return nil
		}
		parts = append(parts, &hclsyntax.ScopeTraversalExpr{Traversal: t, SrcRange: whole})
		at += closing + 1
	}
	if ref, ok := parts[0].(*hclsyntax.ScopeTraversalExpr); ok && len(parts) == 1 {
		return &hclsyntax.TemplateWrapExpr{Wrapped: ref, SrcRange: rng}
	}
	return &hclsyntax.TemplateExpr{Parts: parts, SrcRange: rng}
}

// isKeyword reports whether a name is a literal and no reference.
func isKeyword(n string) bool { return n == "true" || n == "false" || n == "null" }

// part is a range of bytes of a text on one line, all ASCII, that has the range
// rng.
func part(rng hcl.Range, from, to int) hcl.Range {
	rng.End = rng.Start
	rng.Start.Column += from
	rng.Start.Byte += from
	rng.End.Column += to
	rng.End.Byte += to
	return rng
}

// plainTraversal reads a.b["c"][0].d, on one line and without blanks.
func plainTraversal(text string, rng hcl.Range) hcl.Traversal {
	n := identEnd(text, 0)
	if n == 0 || isKeyword(text[:n]) {
		return nil
	}
	t := make(hcl.Traversal, 1, 5)
	t[0] = hcl.TraverseRoot{Name: text[:n], SrcRange: part(rng, 0, n)}
	for n < len(text) {
		from := n
		switch text[n] {
		case '.':
			end := identEnd(text, n+1)
			if end == n+1 {
				return nil
			}
			t = append(t, hcl.TraverseAttr{Name: text[n+1 : end], SrcRange: part(rng, from, end)})
			n = end
		case '[':
			end := strings.IndexByte(text[n:], ']')
			if end < 0 {
				return nil
			}
			end += n
			key, ok := plainKey(text[n+1 : end])
			if !ok {
				return nil
			}
			n = end + 1
			t = append(t, hcl.TraverseIndex{Key: key, SrcRange: part(rng, from, n)})
		default:
			return nil
		}
	}
	return t
}

func plainKey(s string) (cty.Value, bool) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' && isPrintableASCII(s) && plainString(s[1:len(s)-1]) {
		return cty.StringVal(s[1 : len(s)-1]), true
	}
	if n, err := strconv.ParseUint(s, 10, 31); err == nil && (s == "0" || s[0] != '0') {
		return cty.NumberUIntVal(n), true
	}
	return cty.NilVal, false
}

// identEnd returns where the ASCII identifier that begins at i ends, or i.
func identEnd(s string, i int) int {
	n := i
	for n < len(s) {
		c := s[n]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case n > i && (c == '-' || '0' <= c && c <= '9'):
		default:
			return n
		}
		n++
	}
	return n
}

// literal returns the value of an expression that is a literal, in either
// syntax.
func literal(e hclsyntax.Expression) (cty.Value, bool) {
	switch x := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return x.Val, true
	case *hclsyntax.TemplateExpr:
		if len(x.Parts) == 0 {
			return cty.StringVal(""), true
		}
		if len(x.Parts) == 1 {
			if l, ok := x.Parts[0].(*hclsyntax.LiteralValueExpr); ok {
				return l.Val, true
			}
		}
	case *hclsyntax.ParenthesesExpr:
		return literal(x.Expression)
	}
	return cty.NilVal, false
}

// unwrap takes off parentheses and, as JSON needs them, "${…}" around one
// expression.
func unwrap(e hclsyntax.Expression) hclsyntax.Expression {
	for {
		switch x := e.(type) {
		case *hclsyntax.ParenthesesExpr:
			e = x.Expression
		case *hclsyntax.TemplateWrapExpr:
			e = x.Wrapped
		default:
			return e
		}
	}
}
