package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"strings"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// snapshot is what a configuration was read from, so that the state can keep
// what is in force: a start on a broken directory goes on with it, and what is
// removed is cleaned up by it. A large one is kept in parts, each a snapshot that
// has nothing but files, so that a changed file costs one part and not all.
type snapshot struct {
	Dir      string            `json:"dir,omitempty"`
	Files    map[string][]byte `json:"files,omitempty"`
	Vars     map[string]string `json:"vars,omitempty"`
	VarFiles []string          `json:"var_files,omitempty"`
	Environ  []string          `json:"environ,omitempty"`
	Revision string            `json:"revision,omitempty"`
}

func (g *globals) packSnapshot(c *spec.Config) ([]byte, error) {
	// By what it was loaded with: one that is itself read back from a state may have
	// other values than this process would give it.
	vars, varFiles, environ := c.Given()
	s := snapshot{Dir: c.Dir(), Vars: vars, VarFiles: absolute(varFiles), Environ: environ, Revision: c.Revision()}
	if partsOf(c.SourceList()) == 0 {
		s.Files = c.Sources()
	}
	return json.Marshal(s)
}

// partSize is about how much of the sources one part has.
const partSize = 256 << 10

// partsOf is in how many parts sources are kept: a power of two, so that a
// directory that grows a little has the same parts, and 0 where there is little.
func partsOf(list []spec.Source) int {
	size := 0
	for _, s := range list {
		size += s.Size
	}
	n := 1
	for n*partSize < size {
		n *= 2
	}
	if n == 1 {
		return 0
	}
	return n
}

// snapshotParts puts each source into the part that its name says, whatever else
// there is.
func (g *globals) snapshotParts(c *spec.Config) []reconcile.Part {
	list := c.SourceList()
	n := partsOf(list)
	if n == 0 {
		return nil
	}
	names, sums := make([][]string, n), make([][]byte, n)
	for _, s := range list {
		h := fnv.New32a()
		_, _ = h.Write([]byte(s.Name)) // a hash never fails
		i := h.Sum32() % uint32(n)
		names[i] = append(names[i], s.Name)
		sums[i] = fmt.Appendf(sums[i], "%q %x\n", s.Name, s.Sum)
	}
	var parts []reconcile.Part
	for i := range n {
		if len(names[i]) == 0 {
			continue
		}
		parts = append(parts, reconcile.Part{Sum: sha256.Sum256(sums[i]), Pack: func() ([]byte, error) {
			return json.Marshal(snapshot{Files: c.SourcesOf(names[i])})
		}})
	}
	return parts
}

// readSnapshot reads what packSnapshot wrote and the parts after it.
func readSnapshot(b []byte) (snapshot, error) {
	var all snapshot
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&all); err != nil {
		return all, err
	}
	for {
		var part snapshot
		if err := d.Decode(&part); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		if all.Files == nil {
			all.Files = map[string][]byte{}
		}
		maps.Copy(all.Files, part.Files)
	}
}

func (g *globals) unpackSnapshot(b []byte) (*spec.Config, error) {
	s, err := readSnapshot(b)
	if err != nil {
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
