package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"tokend/pkg/spec"
)

func cut(s string) (before, after string, found bool) { return strings.Cut(s, "=") }

// load reads the configuration and prints what is wrong with it.
func (g *globals) load(previous *spec.Config) (*spec.Config, error) {
	if err := g.loadPolicy(); err != nil {
		return nil, err // which says nothing of the directory
	}
	cfg, diags := g.read(previous)
	g.printDiagnostics(diags)
	if diags.HasErrors() {
		return nil, withHint(g.unusable(absolute([]string{g.config})[0], diags), "nothing was changed; mend what is marked above and try again")
	}
	return cfg, nil
}

// unusableError says that a directory is broken, and what is wrong with it in a
// line each.
type unusableError struct {
	said, dir string
	lines     []string
}

func (e *unusableError) Error() string { return e.said }

// unusable makes the error of the directory that was given, which is called dir.
func (g *globals) unusable(dir string, diags spec.Diagnostics) error {
	said := fmt.Sprintf("%s cannot be used: %s", g.config, countOf(errorCount(diags), "error"))
	return &unusableError{said: said, dir: dir, lines: g.diagnosticLines(diags)}
}

func (g *globals) read(previous *spec.Config) (*spec.Config, spec.Diagnostics) {
	return g.readTelling(previous, nil)
}

// readTelling is read that tells, where there are mistakes, which files beside
// the directory's own were read or looked for.
func (g *globals) readTelling(previous *spec.Config, tried func([]string)) (*spec.Config, spec.Diagnostics) {
	dir, err := filepath.Abs(g.config)
	if err != nil {
		dir = g.config
	}
	o := g.specOptions()
	o.Previous, o.Tried = previous, tried
	o.Declared = previous == nil && !g.contents // whoever does not merely validate goes on to look at all that is declared
	if g.git != nil && g.git.Commit() == "" {
		return nil, spec.Diagnostics{noCommit(g.git.Status())}
	}
	if err := g.loadPolicy(); err != nil {
		return nil, spec.Diagnostics{{Severity: hcl.DiagError, Summary: "Unusable policy", Detail: err.Error() + "."}}
	}
	cfg, diags := g.permitted(dir, o)
	if (g.git != nil || previous == nil && g.begins) && isEmpty(diags) {
		return nil, diags
	}
	return cfg, diags
}

// isEmpty reports whether a directory has no file to read, and makes an error
// of the warning that says so.
func isEmpty(diags spec.Diagnostics) bool {
	empty := false
	for i, d := range diags {
		if d.Summary == spec.NoFiles {
			wrong := *d
			wrong.Severity = hcl.DiagError
			diags[i], empty = &wrong, true
		}
	}
	return empty
}

func countOf(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func absolute(paths []string) []string {
	var out []string
	for _, p := range paths {
		if abs, err := filepath.Abs(p); err == nil {
			p = abs
		}
		out = append(out, p)
	}
	return out
}
