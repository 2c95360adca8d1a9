package spec

import (
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// reads adds the content of the files that functions in an argument read, and of
// the one that the argument names.
func (d *digester) reads(f *form, a *argument) {
	d.files(a.expr)
	at := d.schemaOf(f, a)
	if at == nil || !at.Content {
		return
	}
	v, diags := d.ev.arg(a, at, d.in, &selectArgs{})
	if path, ok := namedFile(v); ok && !diags.HasErrors() {
		d.text(d.c.readSum(d.c.abs(path)))
	}
}

// files adds the content of the files that functions in an expression read; of
// those whose names cannot be told, of all that this configuration read.
func (d *digester) files(e hclsyntax.Expression) {
	if !callsFile(e) {
		return
	}
	all := false
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		if !ok || !readsFiles(call.Name) || len(call.Args) == 0 {
			return nil
		}
		path, known := d.pathArg(call, 0)
		switch {
		case !known:
			all = true
		case call.Name == "fileset":
			pattern, known := d.textArg(call, 1)
			if all = all || !known; known {
				d.text(d.c.readSum(filesetKey(path, filepath.ToSlash(pattern))))
			}
		case call.Name == "fileexists":
			d.text(d.c.readSum(existsKey(path)))
		default:
			d.text(d.c.readSum(path))
		}
		return nil
	})
	if all {
		d.c.ahead.tooEarly()
		d.hides = d.hides || d.c.hasSensitiveVariables() // files of variables are among them
		for _, path := range d.c.reads.all() {
			d.text(path)
			d.text(d.c.reads.sum(path))
		}
	}
}

// textArg is an argument of a call, where it can be told.
func (d *digester) textArg(call *hclsyntax.FunctionCallExpr, i int) (string, bool) {
	if i >= len(call.Args) {
		return "", false
	}
	v, diags := d.ev.eval(call.Args[i], collectRefs(call.Args[i], nil), d.in)
	u, _ := v.Unmark()
	if diags.HasErrors() || !u.IsKnown() || u.IsNull() || u.Type() != cty.String {
		return "", false
	}
	return u.AsString(), true
}

func (d *digester) pathArg(call *hclsyntax.FunctionCallExpr, i int) (string, bool) {
	s, known := d.textArg(call, i)
	if !known {
		return "", false
	}
	return d.c.abs(s), true
}

// readSum is a hash of what was read at a path, "" where nothing was: perhaps not
// yet.
func (c *Config) readSum(path string) string {
	s := c.reads.sum(path)
	if s == "" {
		c.ahead.tooEarly()
	}
	return s
}
