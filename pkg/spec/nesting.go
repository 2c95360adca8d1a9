package spec

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds of what is parsed. The parser is recursive and parentheses cost it
// more than linear time, and a configuration may come from a repository that
// somebody else can push to.
const (
	MaxFileSize   = 4 << 20
	maxNesting    = 200    // brackets inside each other
	maxOperators  = 10_000 // operators in one statement: they nest without brackets
	maxDirectives = 2000   // %{ … } in one statement: likewise, and they cost more
	smallFile     = 16 << 10
)

// checkNesting refuses text that would take the parser too deep. Bytes are
// counted first, which is cheap and never too small a number; only text that
// looks deep, or is long, is looked at token by token.
func checkNesting(src []byte, fileName string, json bool) *hcl.Diagnostic {
	depth, deepest := 0, 0
	for _, c := range src {
		switch c {
		case '(', '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ')', ']', '}':
			depth--
		}
	}
	// A closing bracket in a string can hide an opening one, so the balance of
	// the whole is no proof for long text.
	if deepest <= maxNesting && len(src) <= smallFile {
		return nil
	}
	if json {
		return checkJSONNesting(src, fileName)
	}
	tokens, _ := hclsyntax.LexConfig(src, fileName, hcl.InitialPos)
	return checkTokens(tokens)
}

// checkTemplate is checkNesting for the text of a template.
func checkTemplate(src []byte, fileName string, start hcl.Pos) *hcl.Diagnostic {
	if len(src) <= maxNesting {
		return nil
	}
	tokens, _ := hclsyntax.LexTemplate(src, fileName, start)
	return checkTokens(tokens)
}

func checkTokens(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	var open []hclsyntax.TokenType
	operators, directives := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			open = append(open, t.Type)
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case hclsyntax.TokenNewline:
			if len(open) == 0 || open[len(open)-1] == hclsyntax.TokenOBrace {
				operators, directives = 0, 0
			}
		}
		if isOperator(t.Type) {
			operators++
		}
		if t.Type == hclsyntax.TokenTemplateControl {
			directives++
		}
		switch {
		case len(open) > maxNesting:
			return tooDeep(t.Range, fmt.Sprintf("Brackets may stand inside each other %d deep; give the inner parts names with locals.", maxNesting))
		case operators > maxOperators:
			return tooDeep(t.Range, fmt.Sprintf("One expression may have %d operators; give parts of it names with locals, or read bulk data with jsondecode(file(…)).", maxOperators))
		case directives > maxDirectives:
			return tooDeep(t.Range, fmt.Sprintf("One template may have %d directives %%{ … }; put long ones into a file and use templatefile().", maxDirectives))
		}
	}
	return nil
}

// isOperator reports whether a token can nest expressions without a bracket
// around them.
func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenQuestion, hclsyntax.TokenPlus, hclsyntax.TokenStar,
		hclsyntax.TokenSlash, hclsyntax.TokenPercent, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenEqualOp,
		hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan,
		hclsyntax.TokenGreaterThanEq, hclsyntax.TokenDot, hclsyntax.TokenOBrack:
		return true
	}
	return false
}

// checkJSONNesting counts brackets outside strings.
func checkJSONNesting(src []byte, fileName string) *hcl.Diagnostic {
	depth, inString := 0, false
	line := 1
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '\n':
			line++
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			if depth > maxNesting {
				at := hcl.Pos{Line: line, Column: 1, Byte: i}
				return tooDeep(hcl.Range{Filename: fileName, Start: at, End: at},
					fmt.Sprintf("Brackets may stand inside each other %d deep.", maxNesting))
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

func tooDeep(r hcl.Range, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Expression too deep", Detail: detail, Subject: r.Ptr()}
}
