package spec

import "github.com/hashicorp/hcl/v2"

// Place is where an argument of a block stands, for a diagnostic about its
// value: the header of the block where it is not given, and nothing where the
// block is left out.
func (c *Config) Place(a Address, arg string) *hcl.Range {
	p, err := parseAddress(string(c.own(a)))
	if err != nil {
		return nil
	}
	var f *form
	switch p.kind {
	case kindProvider:
		d, ok := c.providers[a]
		if !ok {
			return nil
		}
		f, _ = newForm(d.at.src, d.at.row)
	case kindCredential:
		if res := c.find(p.kind, p.typ, p.label); res != nil {
			f = c.credentialPlan(res).form
		}
	default:
		if res := c.find(p.kind, p.typ, p.label); res != nil {
			f = c.blockPlan(p.kind, res).form
		}
	}
	if f == nil {
		return nil
	}
	r := rangeIn(f, arg)
	for _, b := range f.blocks {
		if b.typ == arg {
			r = b.header()
		}
	}
	return &r
}
