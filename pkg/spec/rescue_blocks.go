package spec

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// rescuedBlocks makes a configuration of what opening a state takes: the state
// block, the vault blocks, and the secrets, variables and locals that these may
// name, as far as they are right by themselves, whatever is wrong elsewhere. Blocks
// behind the first place at which their file makes no sense are not found, nor
// those in JSON. It is nil where that does not do.
func rescuedBlocks(dir string, o Options, allowed func(path string) bool) *Config {
	texts := map[string]string{}
	found, _ := readDir(dir, nil)
	for _, f := range found {
		if !strings.HasSuffix(f.Name, ".json") {
			soundBlocks(f.Name, f.Bytes, texts)
		}
	}
	if texts["tokend"] == "" {
		return nil
	}
	o.Previous, o.Tried = nil, nil
	// What has a mistake of its own is often not needed.
	for _, kinds := range [][]string{
		{kindVault, kindSecret, "variable", "locals"}, {kindVault, kindSecret, "variable"}, {kindVault, kindSecret}, {kindVault}, {"variable", "locals"}, {"variable"},
	} {
		text, by := texts["tokend"], o
		for _, k := range kinds {
			text += texts[k]
		}
		if !slices.Contains(kinds, "variable") {
			by.Vars, by.VarFiles, by.Environ = nil, nil, nil
		}
		c, diags := LoadFiles(dir, map[string][]byte{"state.hcl": []byte(text)}, by)
		if diags.HasErrors() {
			continue
		}
		for _, path := range []string{c.settings.State.Path, c.settings.State.KeyFile} {
			if path != "" && allowed != nil && !allowed(path) {
				return nil
			}
		}
		return c
	}
	return nil
}

// soundBlocks adds the texts of a file's blocks that stand before its first error,
// by their type; of a tokend block that of the state.
func soundBlocks(name string, text []byte, into map[string]string) {
	f, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	if f == nil {
		return
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return
	}
	end := len(text)
	for _, d := range diags {
		if d.Subject != nil {
			end = min(end, d.Subject.Start.Byte)
		}
	}
	cut := func(b *hclsyntax.Block) string { return string(text[b.Range().Start.Byte:b.Range().End.Byte]) }
	for _, b := range body.Blocks {
		if b.Range().End.Byte > end {
			continue
		}
		if b.Type != "tokend" {
			into[b.Type] += cut(b) + "\n"
			continue
		}
		for _, in := range b.Body.Blocks {
			if in.Type == "state" {
				into[b.Type] += "tokend {\n" + cut(in) + "\n}\n"
			}
		}
	}
}
