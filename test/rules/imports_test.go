package rules_test

import (
	"maps"
	"slices"
	"strings"
)

// boundary says what the packages in a directory and below it may import of the
// product's own. A more precise directory goes before the one above it. Every
// package may import those of its own directory. A name that ends in /... means
// everything below as well.
type boundary struct {
	dir   string
	allow []string
	// never are import paths of others, with all that is below them.
	never []string
}

// boundaries is the table of the architecture: leaves that know nothing of ours,
// specialists that know the configuration's values and not each other, and a loop
// that knows the specialists by their interfaces.
func boundaries() []boundary {
	return []boundary{
		{dir: "pkg/secret"},
		{dir: "pkg/oneline"},
		{dir: "pkg/watch"},
		{dir: "pkg/policy", allow: []string{"pkg/spec"}},
		{dir: "pkg/gitsource", allow: []string{"pkg/secret"}},
		{dir: "pkg/atomicfile"},
		{dir: "pkg/standin"},
		{dir: "pkg/spec", allow: []string{"pkg/secret"}},
		{dir: "pkg/providers/login", allow: []string{"pkg/oneline", "pkg/spec", "pkg/secret", "pkg/atomicfile", "pkg/providers"}},
		{dir: "pkg/providers", allow: []string{"pkg/spec", "pkg/secret", "pkg/atomicfile"}},
		{dir: "pkg/sources", allow: []string{"pkg/spec", "pkg/secret", "pkg/atomicfile", "pkg/vault"}},
		{dir: "pkg/sinks", allow: []string{"pkg/spec", "pkg/secret", "pkg/atomicfile", "pkg/vault"}},
		{dir: "pkg/hooks", allow: []string{"pkg/spec", "pkg/secret", "pkg/atomicfile"}},
		{dir: "pkg/vault", allow: []string{"pkg/oneline", "pkg/spec", "pkg/secret", "pkg/atomicfile"}},
		{dir: "pkg/state", allow: []string{"pkg/secret", "pkg/atomicfile"}},
		{
			dir:   "pkg/reconcile",
			allow: []string{"pkg/spec", "pkg/providers", "pkg/sinks", "pkg/sources", "pkg/hooks", "pkg/state", "pkg/secret"},
			never: []string{"github.com/hashicorp/hcl", "github.com/fsnotify/fsnotify", "github.com/hashicorp/vault"},
		},
		{dir: "pkg/control", allow: []string{"pkg/reconcile", "pkg/secret"}},
		{dir: "pkg/web", allow: []string{"pkg/oneline", "pkg/reconcile", "pkg/secret"}},
		{dir: "cmd/tokend", allow: []string{"pkg/...", "examples"}},
	}
}

// imports checks the boundaries. Tests are free: they bring stand-ins and fakes.
func imports(tr *tree) []string {
	var violations []string
	for _, f := range tr.files {
		if f.test || !under(f.dir, "pkg") && !under(f.dir, "cmd") {
			continue
		}
		b, known := boundaryOf(f.dir)
		if !known {
			violations = append(violations, tr.at(f.ast, "package %s is not in the table of boundaries", f.dir))
			continue
		}
		specs := f.imports()
		for _, p := range slices.Sorted(maps.Keys(specs)) {
			if own, ok := strings.CutPrefix(p, module+"/"); ok && !b.allows(own) {
				violations = append(violations, tr.at(specs[p], "%s may not import %s", b.dir, p))
			}
			if slices.ContainsFunc(b.never, func(n string) bool { return under(p, n) }) {
				violations = append(violations, tr.at(specs[p], "%s may never import %s", b.dir, p))
			}
		}
	}
	return violations
}

func boundaryOf(dir string) (boundary, bool) {
	for _, b := range boundaries() {
		if under(dir, b.dir) {
			return b, true
		}
	}
	return boundary{}, false
}

func (b boundary) allows(dir string) bool {
	if under(dir, b.dir) {
		return true
	}
	return slices.ContainsFunc(b.allow, func(a string) bool {
		if above, ok := strings.CutSuffix(a, "/..."); ok {
			return under(dir, above)
		}
		return dir == a
	})
}

// tint colours log lines on a terminal, which is the command's business.
func tint(tr *tree) []string {
	return importedOnlyBy(tr, "github.com/lmittmann/tint", "cmd/tokend")
}

func importedOnlyBy(tr *tree, importPath, dir string) []string {
	var violations []string
	for _, f := range tr.files {
		if spec := f.imports()[importPath]; spec != nil && !under(f.dir, dir) {
			violations = append(violations, tr.at(spec, "only %s imports %s", dir, importPath))
		}
	}
	return violations
}
