package spec

import (
	"fmt"
	"maps"

	"github.com/zclconf/go-cty/cty"
)

// Content returns what is in the file that the named argument names, where the
// argument's schema says that this belongs to the configuration
// ([Attr].Content): as it was when the directory was read. The error says why it
// could not be read then. The caller must not change the bytes.
func (v Values) Content(name string) ([]byte, error) {
	c, ok := v.contents[name]
	if !ok {
		return nil, fmt.Errorf("reading %s: no content of a file came with it", name)
	}
	return c.bytes, c.err
}

// WithContent returns a copy in which the named argument's file has this
// content, or could not be read for this reason.
func (v Values) WithContent(name string, b []byte, err error) Values {
	contents := maps.Clone(v.contents)
	if contents == nil {
		contents = map[string]fileContent{}
	}
	contents[name] = fileContent{b, err}
	return Values{m: v.m, contents: contents}
}

// withContents adds to the arguments of a block what is in the files that they
// name, each of which is read once for a configuration.
func (c *Config) withContents(sc *Schema, v Values) Values {
	for i := range sc.Attrs {
		if at := &sc.Attrs[i]; at.Content {
			if path, ok := namedFile(v.Cty(at.Name)); ok {
				b, err := c.files.read(path)
				v = v.WithContent(at.Name, b, err)
			}
		}
	}
	return v
}

// namedFile is the value of an argument that names a file, if it names one.
func namedFile(v cty.Value) (string, bool) {
	v, _ = v.Unmark()
	if !v.IsKnown() || v.IsNull() || v.Type() != cty.String || v.AsString() == "" {
		return "", false
	}
	return v.AsString(), true
}
