package spec

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"encoding/hex"
	"io"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxUnzipped bounds what compressed text may become: a few bytes can stand for
// gigabytes.
const maxUnzipped = 4 << 20

// base64GunzipFunc is the inverse of base64gzip.
func base64GunzipFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			b, err := fromBase64(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			r, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "what the base64 stands for was not compressed with gzip")
			}
			out, err := io.ReadAll(io.LimitReader(r, maxUnzipped+1))
			switch {
			case err != nil:
				return cty.NilVal, function.NewArgErrorf(0, "what the base64 stands for is damaged or cut")
			case len(out) > maxUnzipped:
				return cty.NilVal, function.NewArgErrorf(0, "what was compressed is larger than 4 MiB")
			case !utf8.Valid(out):
				return cty.NilVal, function.NewArgErrorf(0, "what was compressed is not UTF-8 text")
			}
			return cty.StringVal(string(out)), nil
		},
	})
}

// uuidNamespaces are those that RFC 9562, appendix B, gives names to.
var uuidNamespaces = map[string]string{
	"dns": "6ba7b8109dad11d180b400c04fd430c8", "url": "6ba7b8119dad11d180b400c04fd430c8",
	"oid": "6ba7b8129dad11d180b400c04fd430c8", "x500": "6ba7b8149dad11d180b400c04fd430c8",
}

// uuidV5Func makes the UUID of a name in a namespace (RFC 9562, section 5.5).
func uuidV5Func() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "namespace", Type: cty.String}, {Name: "name", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			space, ok := namespaceUUID(args[0].AsString())
			if !ok {
				return cty.NilVal, function.NewArgErrorf(0, `the namespace is "dns", "url", "oid", "x500" or a UUID`)
			}
			sum := sha1.Sum(append(space, args[1].AsString()...))
			sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
			h := hex.EncodeToString(sum[:16])
			return cty.StringVal(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]), nil
		},
	})
}

func namespaceUUID(s string) ([]byte, bool) {
	if known, ok := uuidNamespaces[s]; ok {
		s = known
	} else if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		s = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	b, err := hex.DecodeString(s)
	return b, err == nil && len(b) == 16
}

// templateStringFunc is templatefile for a template that is a value.
func templateStringFunc(callable map[string]function.Function) function.Function {
	return templateFunc("template", callable, func(src string) (hclsyntax.Expression, error) {
		return parseTemplate(src, "template")
	})
}
