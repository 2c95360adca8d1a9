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
	if len(src) > maxFileSize || checkNesting(src, fileName, isJSON) != nil {
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

// WithoutMark is a file's text without its byte order mark, which offsets of
// ranges do not count.
func WithoutMark(src []byte) []byte { return bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")) }
