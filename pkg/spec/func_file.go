package spec

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxFunctionFile bounds what a function reads: a configuration that names a
// disk image is a mistake, not a wish.
const maxFunctionFile = 4 << 20

// files reads files for the functions of one configuration, and those that its
// arguments name, each once.
type files struct {
	dir       string
	reads     *readLog
	mu        sync.Mutex
	contents  map[string]fileContent
	templates map[string]hclsyntax.Expression
}

type fileContent struct {
	bytes []byte
	err   error
}

// newFiles reads relative to dir, which must be absolute, and logs what it reads.
func newFiles(dir string, reads *readLog) *files {
	return &files{dir: dir, reads: reads, contents: map[string]fileContent{}, templates: map[string]hclsyntax.Expression{}}
}

// abs resolves a path of the configuration.
func (f *files) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(f.dir, path)
}

func (f *files) log(path string) {
	if f.reads != nil {
		f.reads.add(path)
	}
}

// read returns the content of a regular file; the file is logged even when it
// cannot be read, so that its appearing is noticed.
func (f *files) read(path string) ([]byte, error) {
	abs := f.abs(path)
	f.log(abs)
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.contents[abs]; ok {
		return c.bytes, c.err
	}
	b, given := f.reads.content(abs)
	var err error
	if !given {
		if err = f.reads.check(abs); err == nil {
			b, err = readRegular(abs)
		}
	}
	f.contents[abs] = fileContent{b, err}
	switch {
	case err == nil:
		f.reads.keep(abs, b)
	case errors.Is(err, fs.ErrNotExist):
		f.reads.missed(abs)
	}
	return b, err
}

func readRegular(abs string) ([]byte, error) {
	// A FIFO would block the open for ever, so the kind is asked first.
	info, err := os.Stat(abs)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", abs, reason(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading %s: it is not a regular file", abs)
	}
	h, err := os.Open(abs)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", abs, reason(err))
	}
	defer func() { _ = h.Close() }()
	b, err := io.ReadAll(io.LimitReader(h, maxFunctionFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", abs, reason(err))
	}
	if len(b) > maxFunctionFile {
		return nil, fmt.Errorf("reading %s: it is larger than %d MiB", abs, maxFunctionFile>>20)
	}
	return b, nil
}

// reason is the error without the path that os put around it.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (f *files) text(path string) (string, error) {
	b, err := f.read(path)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("reading %s: it is not UTF-8 text", f.abs(path))
	}
	return string(b), nil
}

func fileFunctions(f *files) []functionEntry {
	return []functionEntry{
		{"abspath", groupFile, "a path made absolute, relative to the directory of the configuration", pathFunc(f.abs)},
		{"basename", groupFile, "the last part of a path", pathFunc(filepath.Base)},
		{"dirname", groupFile, "a path without its last part", pathFunc(filepath.Dir)},
		{"file", groupFile, "the text of a file (not sensitive: a secret is read by a secret block)", f.contentFunc(cty.String, func(path string) (cty.Value, error) {
			s, err := f.text(path)
			return cty.StringVal(s), err
		})},
		{"filebase64", groupFile, "the content of a file as base64", f.contentFunc(cty.String, func(path string) (cty.Value, error) {
			b, err := f.read(path)
			return cty.StringVal(base64.StdEncoding.EncodeToString(b)), err
		})},
		{"fileexists", groupFile, "whether there is a regular file", f.contentFunc(cty.Bool, f.exists)},
		{"filemd5", groupFile, "the MD5 of a file in hexadecimal", f.hashFunc(md5Sum, hex.EncodeToString)},
		{"filesha1", groupFile, "the SHA-1 of a file in hexadecimal", f.hashFunc(sha1Sum, hex.EncodeToString)},
		{"filesha256", groupFile, "the SHA-256 of a file in hexadecimal", f.hashFunc(sha256Sum, hex.EncodeToString)},
		{"filesha512", groupFile, "the SHA-512 of a file in hexadecimal", f.hashFunc(sha512Sum, hex.EncodeToString)},
		{"filebase64sha256", groupFile, "the SHA-256 of a file as base64", f.hashFunc(sha256Sum, base64.StdEncoding.EncodeToString)},
		{"filebase64sha512", groupFile, "the SHA-512 of a file as base64", f.hashFunc(sha512Sum, base64.StdEncoding.EncodeToString)},
		{"fileset", groupFile, "the files below a directory whose paths match a pattern", f.filesetFunc()},
	}
}

// hashFunc is a hash of a file's content.
func (f *files) hashFunc(sum func([]byte) []byte, encode func([]byte) string) function.Function {
	return f.contentFunc(cty.String, func(path string) (cty.Value, error) {
		b, err := f.read(path)
		return cty.StringVal(encode(sum(b))), err
	})
}

func pathFunc(apply func(string) string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(apply(args[0].AsString())), nil
		},
	})
}

func (f *files) contentFunc(t cty.Type, get func(path string) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(t),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := get(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return v, nil
		},
	})
}

func (f *files) exists(path string) (cty.Value, error) {
	abs := f.abs(path)
	f.log(abs)
	if answer, given := f.reads.content(existsKey(abs)); given {
		f.reads.keep(existsKey(abs), answer)
		return cty.BoolVal(string(answer) == "true"), nil
	}
	if _, given := f.reads.content(abs); given {
		return cty.True, nil
	}
	if err := f.reads.check(abs); err != nil {
		return cty.NilVal, err
	}
	info, err := os.Stat(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.reads.missed(abs)
		f.reads.keep(existsKey(abs), []byte("false"))
		return cty.False, nil
	case err != nil:
		return cty.NilVal, fmt.Errorf("looking for %s: %w", abs, reason(err))
	case !info.Mode().IsRegular():
		return cty.NilVal, fmt.Errorf("looking for %s: it is not a regular file", abs)
	}
	f.reads.keep(existsKey(abs), []byte("true"))
	return cty.True, nil
}

// filesetFunc lists regular files below a directory by a doublestar pattern.
// Every directory that it looked into is logged, because a file that appears
// there changes the result.
func (f *files) filesetFunc() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "pattern", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			root, pattern := f.abs(args[0].AsString()), filepath.ToSlash(args[1].AsString())
			if !doublestar.ValidatePattern(pattern) || strings.HasPrefix(pattern, "/") {
				return cty.NilVal, function.NewArgErrorf(1, "the pattern %q is not valid", pattern)
			}
			f.log(root)
			key := filesetKey(root, pattern)
			if list, given := f.reads.content(key); given {
				f.reads.keep(key, list)
				return stringSet(strings.Split(string(list), "\n")), nil
			}
			var found []string
			var forbidden error
			err := doublestar.GlobWalk(os.DirFS(root), pattern, func(path string, d fs.DirEntry) error {
				full := filepath.Join(root, path)
				f.log(filepath.Dir(full))
				info, err := os.Stat(full) // a link to a file is a file
				if err == nil && info.Mode().IsRegular() {
					forbidden = errors.Join(forbidden, f.reads.check(full))
					found = append(found, filepath.ToSlash(path))
				}
				return nil
			})
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(1, "the pattern %q: %v", pattern, reason(err))
			}
			if forbidden != nil {
				return cty.NilVal, function.NewArgError(0, firstOf(forbidden))
			}
			sort.Strings(found)
			f.reads.keep(key, []byte(strings.Join(found, "\n")))
			return stringSet(found), nil
		},
	})
}

// filesetKey is the name under which the result of a fileset is kept beside the
// files that were read.
func filesetKey(root, pattern string) string { return filesetPrefix + root + ":" + pattern }

const filesetPrefix = "fileset:"

// existsKey is the name under which it is kept whether a file was there.
func existsKey(path string) string { return existsPrefix + path }

const existsPrefix = "fileexists:"

func stringSet(list []string) cty.Value {
	vals := make([]cty.Value, 0, len(list))
	for _, s := range list {
		if s != "" {
			vals = append(vals, cty.StringVal(s))
		}
	}
	if len(vals) == 0 {
		return cty.SetValEmpty(cty.String)
	}
	return cty.SetVal(vals)
}

// templateFunc renders the template that parse makes of the first argument with
// the values of the second; what it gives has the marks of the values that were
// put in, and none of its own.
func templateFunc(first string, callable map[string]function.Function, parse func(string) (hclsyntax.Expression, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{
			{Name: first, Type: cty.String},
			{Name: "vars", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowMarked: true, AllowDynamicType: true},
		},
		Type: function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			expr, err := parse(args[0].AsString())
			if err != nil {
				return cty.NilVal, shownError(err, args)
			}
			vars, marks := args[1].Unmark()
			if !vars.IsKnown() {
				return cty.DynamicVal.WithMarks(marks), nil
			}
			if !vars.Type().IsObjectType() && !vars.Type().IsMapType() {
				return cty.NilVal, function.NewArgErrorf(1, "a map of the template's values is required")
			}
			v, err := render(expr, vars.AsValueMap(), callable)
			if err != nil {
				return cty.NilVal, shownError(err, args)
			}
			return v.WithMarks(marks), nil
		},
	})
}

// templateFile is templatefile: a template that is a file, parsed once.
func (f *files) templateFile(callable map[string]function.Function) function.Function {
	return templateFunc("path", callable, f.template)
}

func (f *files) template(path string) (hclsyntax.Expression, error) {
	abs := f.abs(path)
	src, err := f.text(path)
	if err != nil {
		return nil, &templateError{text: err.Error(), plain: true}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, ok := f.templates[abs]; ok {
		return e, nil
	}
	e, err := parseTemplate(src, abs)
	if err != nil {
		return nil, err
	}
	f.templates[abs] = e
	return e, nil
}

func parseTemplate(src, name string) (hclsyntax.Expression, error) {
	if d := checkTemplate([]byte(src), name, hcl.InitialPos); d != nil {
		return nil, syntaxError(hcl.Diagnostics{d})
	}
	e, diags := hclsyntax.ParseTemplate([]byte(src), name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, syntaxError(diags)
	}
	return e, nil
}

func render(expr hclsyntax.Expression, vars map[string]cty.Value, callable map[string]function.Function) (cty.Value, error) {
	for name := range vars {
		if !hclsyntax.ValidIdentifier(name) {
			return cty.NilVal, function.NewArgErrorf(1, "%q cannot be the name of a template's value: letters, digits, _ and - are allowed, a letter first", name)
		}
	}
	for _, t := range expr.Variables() {
		if _, ok := vars[t.RootName()]; !ok {
			at := t.SourceRange()
			return cty.NilVal, &templateError{arg: 1, plain: true,
				place: fmt.Sprintf("%s:%d", at.Filename, at.Start.Line), text: fmt.Sprintf("there is no value %q, which the template names here", t.RootName())}
		}
	}
	ctx := &hcl.EvalContext{Variables: vars, Functions: callable}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		adviseMembers(diags, expr, ctx)
		return cty.NilVal, firstError(diags)
	}
	return v, nil
}

// firstOf is the first of the errors that were joined.
func firstOf(err error) error {
	var joined interface{ Unwrap() []error }
	for errors.As(err, &joined) && len(joined.Unwrap()) > 0 {
		err = joined.Unwrap()[0]
	}
	return err
}
