package spec

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// RescueTypes makes a configuration of the provider types alone that a directory
// declares which cannot be loaded: of those blocks that are right by themselves,
// whatever is wrong elsewhere. lost is the number of those that are not. Blocks
// behind the first place at which their file makes no sense are not found, nor
// those in JSON.
func RescueTypes(dir string, o Options) (c *Config, lost int, diags Diagnostics) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	o.Previous, o.VarFiles, o.Vars, o.Environ = nil, nil, nil, nil
	good := map[string][]byte{}
	files, _ := readDir(abs, nil)
	for _, f := range files {
		if strings.HasSuffix(f.Name, ".json") {
			continue
		}
		for _, text := range typeBlocks(f.Name, f.Bytes) {
			name := fmt.Sprintf("type%d.hcl", len(good))
			good[name] = text
			if _, diags := LoadFiles(abs, good, o); diags.HasErrors() {
				delete(good, name)
				lost++
			}
		}
	}
	c, diags = LoadFiles(abs, good, o)
	return c, lost, diags
}

// typeBlocks are the texts of the provider_type blocks of a file.
func typeBlocks(name string, text []byte) [][]byte {
	f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if f == nil {
		return nil
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	end := len(text)
	for _, d := range diags {
		if d.Subject != nil {
			end = min(end, d.Subject.Start.Byte)
		}
	}
	var out [][]byte
	for _, b := range body.Blocks {
		if r := b.Range(); b.Type == "provider_type" && r.End.Byte <= end {
			out = append(out, text[r.Start.Byte:r.End.Byte])
		}
	}
	return out
}
