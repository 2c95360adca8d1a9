package rules_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path of the product's module.
const module = "tokend"

// tree is the source tree: the Go files of the product's module, and everything
// else as it is on disk.
type tree struct {
	fsys  fs.FS
	fset  *token.FileSet
	files []*file // sorted by path
	text  []string
}

// file is one Go file.
type file struct {
	path string // slash-separated, from the root
	dir  string
	test bool // ends in _test.go
	ast  *ast.File
}

// readTree reads what is not generated: not .git, not what make leaves behind, and
// of Go not what tests feed to a parser and not other modules.
func readTree(fsys fs.FS) (*tree, error) {
	tr := &tree{fsys: fsys, fset: token.NewFileSet()}
	var foreign []string // directories of other modules
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(p):
			return fs.SkipDir
		case d.IsDir():
			if _, err := fs.Stat(fsys, path.Join(p, "go.mod")); err == nil && p != "." {
				foreign = append(foreign, p+"/")
			}
			return nil
		case !d.Type().IsRegular() || skipped(p): // .git is a file in a work tree beside the first
			return nil
		}
		tr.text = append(tr.text, p)
		if !strings.HasSuffix(p, ".go") || strings.Contains("/"+p, "/testdata/") || hasPrefixOf(p, foreign) {
			return nil
		}
		return tr.parse(p)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tree: %w", err)
	}
	return tr, nil
}

func (tr *tree) parse(p string) error {
	src, err := fs.ReadFile(tr.fsys, p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went while we walked
	}
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(tr.fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	tr.files = append(tr.files, &file{path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), ast: parsed})
	return nil
}

// skipped reports whether a directory is no part of the source.
func skipped(p string) bool {
	return p == ".git" || p == "bin" || p == "dist" || path.Base(p) == "node_modules"
}

func hasPrefixOf(p string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(p, prefix) })
}

// at formats a violation with its place.
func (tr *tree) at(n ast.Node, format string, args ...any) string {
	p := tr.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d: ", p.Filename, p.Line) + fmt.Sprintf(format, args...)
}

// imports are the import paths of a file with the specs that name them.
func (f *file) imports() map[string]*ast.ImportSpec {
	specs := map[string]*ast.ImportSpec{}
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			specs[p] = spec
		}
	}
	return specs
}

// local is the name by which a file calls an imported package, "" if it does not
// import it. base is the package's own name.
func (f *file) local(importPath, base string) string {
	spec := f.imports()[importPath]
	switch {
	case spec == nil:
		return ""
	case spec.Name != nil:
		return spec.Name.Name
	}
	return base
}

// calls are the calls in a file of a function of another package, or of any method,
// when pkg is "*".
func calls(root ast.Node, pkg string, names ...string) []*ast.CallExpr {
	var found []*ast.CallExpr
	ast.Inspect(root, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !slices.Contains(names, sel.Sel.Name) {
			return true
		}
		x, isName := sel.X.(*ast.Ident)
		if pkg == "*" || isName && x.Name == pkg {
			found = append(found, call)
		}
		return true
	})
	return found
}

// under reports whether a directory is dir or below it.
func under(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
