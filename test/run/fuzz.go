package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// target is a fuzz target: a function in the package in dir.
type target struct {
	dir, name string
}

// fuzzTargets finds the fuzz targets of the module in root, without compiling it.
func fuzzTargets(root string) ([]target, error) {
	files, err := goFiles(root)
	if err != nil {
		return nil, err
	}
	var targets []target
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") || inOtherModule(root, f) {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, f), nil, parser.SkipObjectResolution)
		if err != nil {
			continue // go vet says it better
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Recv == nil && isFuzz(fn.Name.Name) && takesF(fn.Type.Params) {
				targets = append(targets, target{filepath.Dir(f), fn.Name.Name})
			}
		}
	}
	return targets, nil
}

// takesF reports whether the parameters are one *testing.F.
func takesF(params *ast.FieldList) bool {
	if params.NumFields() != 1 {
		return false
	}
	star, ok := params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	sel, ok := star.X.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "F"
}

// inOtherModule reports whether a file is in a module below the one in root.
func inOtherModule(root, file string) bool {
	for dir := filepath.Dir(file); dir != "."; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err == nil {
			return true
		}
	}
	return false
}
