package spec

import (
	"bytes"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcled"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
)

// Enclosing returns the header of the block in src that a byte offset is in,
// such as `credential "coinify" "trader"`, or "" where there is none. The text
// need not be free of mistakes.
func Enclosing(src []byte, fileName string, offset int) (header string) {
	defer func() {
		if recover() != nil {
			header = ""
		}
	}()
	src = WithoutMark(src)
	isJSON := strings.HasSuffix(fileName, ".json")
	if len(src) > MaxFileSize || checkNesting(src, fileName, isJSON) != nil {
		return ""
	}
	var f *hcl.File
	if isJSON {
		f, _ = hcljson.Parse(src, fileName)
	} else {
		f, _ = hclsyntax.ParseConfig(src, fileName, hcl.InitialPos)
	}
	if f == nil || f.Nav == nil {
		return ""
	}
	return hcled.ContextString(f, offset)
}

// SyntaxMistakes says why a file in native syntax cannot be read. Lines where a
// secret may stand are not to be shown.
func SyntaxMistakes(src []byte, fileName string) (diags Diagnostics) {
	s := &source{name: fileName, text: string(WithoutMark(src))}
	defer func() {
		if recover() != nil {
			diags = Diagnostics{fileError(fileName, parserFailed, "The parser failed on this file. Look for an unclosed bracket or string.")}
		}
	}()
	if len(s.text) > MaxFileSize {
		return Diagnostics{fileError(fileName, "File too large", "A configuration file may have at most 4 MiB; split it.")}
	}
	if d := checkNesting([]byte(s.text), fileName, false); d != nil {
		return Diagnostics{d}
	}
	_, found := hclsyntax.ParseConfig([]byte(s.text), fileName, hcl.InitialPos)
	return firstOfRun(syntaxDiags(s, found))
}

// WithoutMark is a file's text without its byte order mark, which offsets of
// ranges do not count.
func WithoutMark(src []byte) []byte { return bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")) }
