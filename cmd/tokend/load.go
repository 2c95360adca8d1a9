package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"tokend/pkg/spec"
)

func cut(s string) (before, after string, found bool) { return strings.Cut(s, "=") }

// load reads the configuration and prints what is wrong with it.
func (g *globals) load(previous *spec.Config) (*spec.Config, error) {
	cfg, diags := g.read(previous)
	g.printDiagnostics(diags)
	if diags.HasErrors() {
		return nil, withHint(fmt.Errorf("%s cannot be used: %s", g.config, countOf(errorCount(diags), "error")), "nothing was changed; mend what is marked above and try again")
	}
	return cfg, nil
}

func (g *globals) read(previous *spec.Config) (*spec.Config, spec.Diagnostics) {
	dir, err := filepath.Abs(g.config)
	if err != nil {
		dir = g.config
	}
	o := g.specOptions()
	o.Previous = previous
	if g.git != nil && g.git.Commit() == "" {
		return nil, spec.Diagnostics{noCommit(g.git.Status())}
	}
	if err := g.loadPolicy(); err != nil {
		return nil, spec.Diagnostics{{Severity: hcl.DiagError, Summary: "Unusable policy", Detail: err.Error() + "."}}
	}
	cfg, diags := g.permitted(dir, o)
	if previous == nil && g.begins && isEmpty(diags) {
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

// snapshot is what a configuration was read from, so that the state can keep
// what is in force: a start on a broken directory goes on with it, and what is
// removed is cleaned up by it.
type snapshot struct {
	Dir      string            `json:"dir"`
	Files    map[string][]byte `json:"files"`
	Vars     map[string]string `json:"vars,omitempty"`
	VarFiles []string          `json:"var_files,omitempty"`
	Environ  []string          `json:"environ,omitempty"`
	Revision string            `json:"revision,omitempty"`
}

func (g *globals) packSnapshot(c *spec.Config) ([]byte, error) {
	o := g.specOptions()
	s := snapshot{Dir: c.Dir(), Files: c.Sources(), Vars: o.Vars, VarFiles: absolute(o.VarFiles), Revision: c.Revision()}
	for _, e := range g.environ {
		if strings.HasPrefix(e, "TOKEND_VAR_") {
			s.Environ = append(s.Environ, e)
		}
	}
	return json.Marshal(s)
}

func (g *globals) unpackSnapshot(b []byte) (*spec.Config, error) {
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("reading back the configuration that was last in force: %w", err)
	}
	o := g.specOptions()
	o.Vars, o.VarFiles, o.Environ, o.Revision = s.Vars, s.VarFiles, s.Environ, s.Revision
	o.CheckSink, o.WasInForce = nil, true // a sink that cannot be written must not keep the others from going on
	cfg, diags := spec.LoadFiles(s.Dir, s.Files, o)
	if diags.HasErrors() {
		return nil, fmt.Errorf("the configuration that was last in force is not valid any more: %s", strings.Join(g.diagnosticLines(diags), "; "))
	}
	return cfg, nil
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
