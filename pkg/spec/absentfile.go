package spec

import (
	"errors"
	"io/fs"
	"os"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// absentFiles warns of files that a block names in order to ask a server, and that
// are not there ([Attr.Asking]): they may come later, and another host may have
// them. It looks at no more than whether they are there.
func absentFiles(f *form, sc *Schema, m map[string]cty.Value, whose string) Diagnostics {
	var diags Diagnostics
	for i := range sc.Attrs {
		at := &sc.Attrs[i]
		path, named := namedFile(m[at.Name])
		if !at.Asking || !named || m[at.Name].HasMark(sensitiveMark{}) {
			continue
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			continue // what else is in its way, such as its owner, is another's on the host
		}
		d := problem(rangeIn(f, at.Name), "File is not there", "%s of %s: %s is not there. Nothing is asked of its server until it is; nothing else is concerned.", at.Name, whose, path)
		d.Severity = hcl.DiagWarning
		diags = append(diags, hinted(d, "create the file %s, or mend its name; it is looked for again by itself", path))
	}
	return diags
}

// absentOf is absentFiles of a block inside a block, where it is given.
func (l *loader) absentOf(f *form, sc *Schema, m map[string]cty.Value, name, whose string) {
	inner, given := section{f: f, v: NewValues(m)}.block(name)
	if !given {
		return
	}
	for i := range sc.Blocks {
		if b := &sc.Blocks[i]; b.Name == name {
			l.report(absentFiles(inner.f, &b.Schema, m[name].AsValueMap(), whose)...)
		}
	}
}
