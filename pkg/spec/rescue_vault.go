package spec

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// rescuedSealed makes a configuration of what opening a state takes whose key a
// Vault keeps: the state block, the vault blocks, and the secrets and variables
// that these name, as far as they are right by themselves, whatever is wrong
// elsewhere. Blocks behind the first place at which their file makes no sense are
// not found, nor those in JSON. It is nil where there is no such key.
func rescuedSealed(dir string, o Options, allowed func(path string) bool) *Config {
	texts := map[string]string{}
	found, _ := readDir(dir, nil)
	for _, f := range found {
		if !strings.HasSuffix(f.Name, ".json") {
			soundBlocks(f.Name, f.Bytes, texts)
		}
	}
	if !strings.Contains(texts["tokend"], "transit") {
		return nil
	}
	o.Previous, o.Tried = nil, nil
	// What has a mistake of its own is often not needed.
	for _, kinds := range [][]string{{"variable", "locals", kindSecret}, {"variable", kindSecret}, {kindSecret}, nil} {
		text := texts["tokend"] + texts[kindVault]
		by := o
		if len(kinds) == 0 || kinds[0] != "variable" {
			by.Vars, by.VarFiles, by.Environ = nil, nil, nil
		}
		for _, k := range kinds {
			text += texts[k]
		}
		c, diags := LoadFiles(dir, map[string][]byte{"state.hcl": []byte(text)}, by)
		if diags.HasErrors() || c.settings.State.Transit == nil {
			continue
		}
		if path := c.settings.State.Path; path != "" && allowed != nil && !allowed(path) {
			return nil
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
