package rules_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
)

// packageDoc: exactly one file of each package says what the package is for.
func packageDoc(tr *tree) []string {
	docs := map[string][]string{} // by directory: files with a doc comment
	for _, f := range tr.files {
		if f.test {
			continue
		}
		docs[f.dir] = append(docs[f.dir], nil...)
		if f.ast.Doc != nil && strings.TrimSpace(f.ast.Doc.Text()) != "" {
			docs[f.dir] = append(docs[f.dir], f.path)
		}
	}
	var violations []string
	for _, dir := range slices.Sorted(maps.Keys(docs)) {
		switch files := docs[dir]; len(files) {
		case 1:
		case 0:
			violations = append(violations, dir+": no file has a package doc comment")
		default:
			violations = append(violations, dir+": more than one package doc comment: "+strings.Join(files, ", "))
		}
	}
	return violations
}

// documented is the share of exported names in pkg that has to have a doc comment.
const documented = 0.90

// exportedDocs: a package is read by its doc comments. It lists what has none once
// there is too much of it.
func exportedDocs(tr *tree) []string {
	total := 0
	var bare []string
	for _, f := range tr.files {
		if f.test || !under(f.dir, "pkg") {
			continue
		}
		for _, d := range f.ast.Decls {
			for _, e := range exported(d) {
				total++
				if !e.documented {
					bare = append(bare, tr.at(e.name, "%s has no doc comment", e.name.Name))
				}
			}
		}
	}
	if total == 0 || float64(total-len(bare)) >= documented*float64(total) {
		return nil
	}
	return append([]string{fmt.Sprintf("%d of %d exported names are documented", total-len(bare), total)}, bare...)
}

// name is an exported name that a declaration declares.
type name struct {
	name       *ast.Ident
	documented bool
}

func exported(d ast.Decl) []name {
	var found []name
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && exportedReceiver(d) {
			found = append(found, name{d.Name, d.Doc != nil})
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if spec.Name.IsExported() {
					found = append(found, name{spec.Name, spec.Doc != nil || d.Doc != nil})
				}
			case *ast.ValueSpec:
				// A block of constants or variables may be documented as one.
				has := spec.Doc != nil || d.Doc != nil || spec.Comment != nil && d.Tok == token.CONST
				for _, n := range spec.Names {
					if n.IsExported() {
						found = append(found, name{n, has})
					}
				}
			}
		}
	}
	return found
}

// exportedReceiver reports whether a function is none of a type that is not seen
// from outside.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
