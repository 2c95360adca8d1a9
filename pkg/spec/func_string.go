package spec

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// textToText is a function of one string that gives a string and cannot fail.
func textToText(name string, f func(string) string) function.Function {
	return function.New(&function.Spec{
		Description:  name,
		Params:       []function.Parameter{{Name: "str", Type: cty.String}},
		Type:         function.StaticReturnType(cty.String),
		RefineResult: func(b *cty.RefinementBuilder) *cty.RefinementBuilder { return b.NotNull() },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(f(args[0].AsString())), nil
		},
	})
}

// stringTest is a question about two strings.
func stringTest(name, second string, f func(s, other string) bool) function.Function {
	return function.New(&function.Spec{
		Description: name,
		Params:      []function.Parameter{{Name: "str", Type: cty.String}, {Name: second, Type: cty.String}},
		Type:        function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// replaceFunc replaces a substring, or a regular expression when the substring
// is written between slashes.
func replaceFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: "substr", Type: cty.String}, {Name: "replace", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, old, with := args[0].AsString(), args[1].AsString(), args[2].AsString()
			if len(old) > 1 && old[0] == '/' && old[len(old)-1] == '/' {
				re, err := regexp.Compile(old[1 : len(old)-1])
				if err != nil {
					return cty.NilVal, function.NewArgError(1, err)
				}
				return cty.StringVal(re.ReplaceAllString(s, with)), nil
			}
			return cty.StringVal(strings.ReplaceAll(s, old, with)), nil
		},
	})
}

// timeCmpFunc orders two RFC 3339 times.
func timeCmpFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "timestamp_a", Type: cty.String}, {Name: "timestamp_b", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var t [2]time.Time
			for i := range t {
				var err error
				if t[i], err = time.Parse(time.RFC3339, args[i].AsString()); err != nil {
					return cty.NilVal, function.NewArgErrorf(i, "a time like 2006-01-02T15:04:05Z is required")
				}
			}
			return cty.NumberIntVal(int64(t[0].Compare(t[1]))), nil
		},
	})
}

func md5Sum(b []byte) []byte    { s := md5.Sum(b); return s[:] }
func sha1Sum(b []byte) []byte   { s := sha1.Sum(b); return s[:] }
func sha256Sum(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
func sha512Sum(b []byte) []byte { s := sha512.Sum512(b); return s[:] }

func hashFunctions() []functionEntry {
	hexOf := func(name string, sum func([]byte) []byte) function.Function {
		return textToText(name, func(s string) string { return hex.EncodeToString(sum([]byte(s))) })
	}
	base64Of := func(name string, sum func([]byte) []byte) function.Function {
		return textToText(name, func(s string) string { return base64.StdEncoding.EncodeToString(sum([]byte(s))) })
	}
	return []functionEntry{
		{"base64sha256", groupHash, "the SHA-256 of text as base64", base64Of("base64sha256", sha256Sum)},
		{"base64sha512", groupHash, "the SHA-512 of text as base64", base64Of("base64sha512", sha512Sum)},
		{"md5", groupHash, "the MD5 of text in hexadecimal (for APIs that ask for it; it protects nothing)", hexOf("md5", md5Sum)},
		{"sha1", groupHash, "the SHA-1 of text in hexadecimal (for APIs that ask for it)", hexOf("sha1", sha1Sum)},
		{"uuidv5", groupHash, "the UUID of a name in a namespace, \"dns\", \"url\", \"oid\", \"x500\" or a UUID: the same each time", uuidV5Func()},
		{"sha256", groupHash, "the SHA-256 of text in hexadecimal", hexOf("sha256", sha256Sum)},
		{"sha512", groupHash, "the SHA-512 of text in hexadecimal", hexOf("sha512", sha512Sum)},
	}
}
