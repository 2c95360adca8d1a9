package spec

import (
	"path/filepath"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// RescueState makes a configuration out of a directory that cannot be loaded
// which says no more than where the state is and what key seals it, with what
// asking a Vault for that takes. Where these blocks are not right by themselves,
// it has of them what a tokend block gives as text, with path.config and host.name
// at most, and stands before the first place at which its file makes no sense. A
// start on a broken directory finds the configuration that was last in force with
// it. It is empty where nothing of the kind can be read. Paths that allowed, if it is
// given, says no to are left out: a directory may be refused because of them.
func RescueState(dir string, o Options, allowed func(path string) bool) (*Config, Diagnostics) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	if c := rescuedBlocks(abs, o, allowed); c != nil {
		return c, nil
	}
	files := map[string][]byte{}
	if given := rescued(abs, o, allowed); len(given) > 0 {
		files["state.hcl"] = []byte("tokend {\n  state {\n" + strings.Join(given, "") + "  }\n}\n")
	}
	o.Previous, o.VarFiles, o.Vars, o.Environ = nil, nil, nil, nil
	return LoadFiles(abs, files, o)
}

// rescued are the arguments of the state block that can be read.
func rescued(dir string, o Options, allowed func(path string) bool) []string {
	files, _ := readDir(dir, nil)
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{
		"path": cty.ObjectVal(map[string]cty.Value{"config": cty.StringVal(dir)}),
		"host": cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(o.HostName)}),
	}}
	for _, f := range files {
		var out []string
		for _, b := range blocksBeforeErrors(f.Name, f.Bytes, "tokend", "state") {
			attrs, _ := b.JustAttributes()
			for _, n := range []string{"path", "key_file", "systemd_credential"} {
				a := attrs[n]
				if a == nil {
					continue
				}
				v, diags := a.Expr.Value(ctx)
				if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
					continue
				}
				if n != "systemd_credential" && allowed != nil && !allowed(v.AsString()) {
					continue
				}
				out = append(out, "    "+n+" = "+hclText(v.AsString())+"\n")
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// hclText writes a string as HCL's own syntax has it.
func hclText(s string) string { return `"` + quoteKey(s) + `"` }

// blocksBeforeErrors finds the bodies of blocks inside blocks that stand before
// the first error of a file.
func blocksBeforeErrors(name string, text []byte, outer, inner string) []hcl.Body {
	var f *hcl.File
	var diags hcl.Diagnostics
	if strings.HasSuffix(name, ".json") {
		if f, diags = json.Parse(text, name); diags.HasErrors() {
			return nil
		}
	} else {
		f, diags = hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	}
	if f == nil || f.Body == nil {
		return nil
	}
	end := len(text) + 1
	for _, d := range diags {
		if d.Subject != nil {
			end = min(end, d.Subject.Start.Byte)
		}
	}
	content, _, _ := f.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: outer}}})
	if content == nil {
		return nil
	}
	blocks := content.Blocks
	sort.SliceStable(blocks, func(i, j int) bool { return blocks[i].DefRange.Start.Byte < blocks[j].DefRange.Start.Byte })
	var out []hcl.Body
	for _, b := range blocks {
		if s, ok := b.Body.(*hclsyntax.Body); ok && s.SrcRange.End.Byte > end {
			continue
		}
		if in, _, _ := b.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: inner}}}); in != nil {
			for _, x := range in.Blocks {
				out = append(out, x.Body)
			}
		}
	}
	return out
}
