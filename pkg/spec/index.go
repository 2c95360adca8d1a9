package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// resource is one declared block that has an address. There may be hundreds of
// thousands: names are read from the source when they are needed.
type resource struct {
	src   *source
	insts *instances // nil: neither for_each nor count
	row   uint32
}

func (r *resource) block() *blockRow  { return &r.src.blocks[r.row] }
func (r *resource) header() hcl.Range { return r.src.header(r.block()) }

// names returns the type and the name of the block as its address has them.
func (r *resource) names() (typ, label string) {
	b := r.block()
	if b.nlabels == 1 {
		return "", r.src.label(b, 0)
	}
	return r.src.label(b, 0), r.src.label(b, 1)
}

func (r *resource) less(typ, label string) bool { return r.compare(typ, label) < 0 }

// compare orders a block by its type and name beside another's. The name is read
// where the type is the same.
func (r *resource) compare(typ, label string) int {
	b := r.block()
	i := int(b.nlabels) - 1
	if i != 0 {
		i = 1
		if c := strings.Compare(r.src.label(b, 0), typ); c != 0 {
			return c
		}
	} else if typ != "" {
		return -1
	}
	return strings.Compare(r.src.label(b, i), label)
}

// blockLabels says how many labels each top-level block has.
func blockLabels(typ string) (int, bool) {
	switch typ {
	case "tokend", "locals", "moved", "removed", "import":
		return 0, true
	case "variable", "provider_type", "provider", kindVault:
		return 1, true
	case kindSecret, kindCredential, kindSink, kindHook:
		return 2, true
	}
	return 0, false
}

// topBlocks are the types of block that may stand in a file.
var topBlocks = [...]string{"tokend", "variable", "locals", "provider_type", "provider", kindVault, kindSecret,
	kindCredential, kindSink, kindHook, "moved", "removed", "import"}

// place is where a block stands.
type place struct {
	src *source
	row int
}

func (p place) header() hcl.Range { return p.src.header(&p.src.blocks[p.row]) }

// index sorts the blocks of all sources by what they declare.
func (l *loader) index() {
	c := l.c
	for _, s := range c.sources {
		for i := 0; i < len(s.blocks); i = int(s.blocks[i].next) {
			l.indexBlock(s, i)
		}
	}
	for _, kind := range []string{kindCredential, kindSink, kindSecret, kindVault, kindHook} {
		c.resources[kind] = l.withoutDuplicates(kind, sortResources(c.resources[kind]))
	}
}

// sortResources sorts by type and name, those with the same in the order of the
// files. Names are read once, because there may be very many.
func sortResources(list []resource) []resource {
	type named struct {
		typ, label string
		res        resource
	}
	all := make([]named, len(list))
	for i := range list {
		all[i].typ, all[i].label = list[i].names()
		all[i].res = list[i]
	}
	slices.SortStableFunc(all, func(a, b named) int {
		return cmp.Or(strings.Compare(a.typ, b.typ), strings.Compare(a.label, b.label))
	})
	for i := range all {
		list[i] = all[i].res
	}
	return list
}

func (l *loader) indexBlock(s *source, i int) {
	b := &s.blocks[i]
	typ := s.ident(b.typ)
	n, known := blockLabels(typ)
	if !known {
		l.report(unknownBlock(typ, s.rangeOf(b, b.typ)))
		return
	}
	var few [len(b.labels)]string
	labels := few[:min(int(b.nlabels), len(b.labels))]
	bad := int(b.nlabels) != n
	for k := range labels {
		labels[k] = s.label(b, k)
		bad = bad || !isIdent(labels[k])
	}
	if bad {
		ranges := make([]hcl.Range, len(labels))
		for k := range labels {
			ranges[k] = s.rangeOf(b, b.labels[k])
		}
		if d := checkLabels(typ, labels, ranges, s.header(b)); d != nil {
			l.report(d)
			return
		}
	}
	at := place{s, i}
	switch typ {
	case "tokend":
		l.tokend = append(l.tokend, at)
	case "variable":
		l.variables = append(l.variables, at)
	case "locals":
		l.localBlocks = append(l.localBlocks, at)
	case "provider":
		l.providers = append(l.providers, at)
	case "moved", "removed", "import":
		l.changes = append(l.changes, at)
	default:
		l.c.resources[typ] = append(l.c.resources[typ], resource{src: s, row: uint32(i)})
	}
}

// withoutDuplicates reports and drops blocks that declare an address again.
func (l *loader) withoutDuplicates(kind string, list []resource) []resource {
	out := list[:0]
	for i := range list {
		if n := len(out); n > 0 {
			t1, l1 := out[n-1].names()
			t2, l2 := list[i].names()
			if t1 == t2 && l1 == l2 {
				l.report(duplicate(string(name(kind, t1, l1, instKey{})), out[n-1].header(), list[i].header()))
				continue
			}
		}
		out = append(out, list[i])
	}
	return out
}

func duplicate(what string, first, second hcl.Range) *hcl.Diagnostic {
	if strings.Contains(what, " of ") || strings.HasPrefix(what, "import ") {
		return problem(second, "Duplicate "+what, "The same stands at %s:%d already; one of the two must go.", first.Filename, first.Start.Line)
	}
	return problem(second, "Duplicate "+what,
		"%s is declared at %s:%d already. Each may be declared once in a directory; rename one of the two, or remove it.",
		named(what), first.Filename, first.Start.Line)
}

// named begins a sentence with what is declared; an address stays as it is.
func named(what string) string {
	if strings.Contains(what, " ") {
		return sentence(what)
	}
	return what
}

// find returns the block that declares an address, or nil.
func (c *Config) find(kind, typ, label string) *resource {
	if i, found := c.position(kind, typ, label); found {
		return &c.resources[kind][i]
	}
	return nil
}

// position is where a block is among those of its kind.
func (c *Config) position(kind, typ, label string) (int, bool) {
	return slices.BinarySearchFunc(c.resources[kind], label, func(r resource, label string) int { return r.compare(typ, label) })
}

// maxCandidates bounds how many names a suggestion is looked for among.
const maxCandidates = 2000

// blockNames lists declared names of a kind: those of a type, or with typ ""
// all, as TYPE.NAME.
func (c *Config) blockNames(kind, typ string) []string {
	var out []string
	for i := range c.resources[kind] {
		t, l := c.resources[kind][i].names()
		switch {
		case len(out) >= maxCandidates:
			return out
		case t == typ:
			out = append(out, l)
		case typ == "":
			out = append(out, t+"."+l)
		}
	}
	return out
}

// lookup finds what an address names, or says that it is not declared.
func (c *Config) lookup(p parsed, at hcl.Range) (*resource, *hcl.Diagnostic) {
	if p.kind == kindProvider {
		return nil, c.checkProvider(p, at)
	}
	if res := c.find(p.kind, p.typ, p.label); res != nil {
		return res, nil
	}
	what := string(p.block())
	known := c.blockNames(p.kind, p.typ)
	suggestion := ""
	if n := nearest(p.label, known); n != "" {
		suggestion = fmt.Sprintf(" Did you mean %s?", name(p.kind, p.typ, n, instKey{}))
	} else if p.typ != "" {
		if n := nearest(p.typ+"."+p.label, c.blockNames(p.kind, "")); n != "" {
			suggestion = fmt.Sprintf(" Did you mean %s.%s?", p.kind, n)
		} else if n := c.withoutType(p); n != "" {
			suggestion = fmt.Sprintf(" The name follows the type: did you mean %s.%s?", n, p.label)
		}
	}
	block := fmt.Sprintf("%s %q", p.kind, p.label)
	if p.typ != "" {
		block = fmt.Sprintf("%s %q %q", p.kind, p.typ, p.label)
	}
	return nil, absence(problem(at, "Reference to undeclared "+p.kind, "No block declares %s.%s Declare it with %s { … }, or mend the reference.",
		what, suggestion, block), p.label)
}

// withoutType finds what secret.NAME.value or credential.NAME.header leave the
// type of out: the only block of that name.
func (c *Config) withoutType(p parsed) Address {
	attrs := []string{"value"}
	if p.kind == kindCredential {
		attrs = baseAttrs[:]
	}
	found := Address("")
	if (p.kind == kindSecret || p.kind == kindCredential) && contains(attrs, p.label) {
		for i := range c.resources[p.kind] {
			typ, label := c.resources[p.kind][i].names()
			if label != p.typ {
				continue
			}
			if found != "" {
				return ""
			}
			found = name(p.kind, typ, label, instKey{})
		}
	}
	return found
}

// checkLabels checks the number of a block's labels and that they are names.
func checkLabels(typ string, labels []string, ranges []hcl.Range, header hcl.Range) *hcl.Diagnostic {
	want, _ := blockLabels(typ)
	if len(labels) != want {
		form := typ + strings.Repeat(` "NAME"`, want) + " { … }"
		if want == 2 {
			form = typ + ` "TYPE" "NAME" { … }`
		}
		return problem(header, fmt.Sprintf("Wrong number of labels of %s", typ), "This block has %d, and is written %s.", len(labels), form)
	}
	for i, l := range labels {
		if isName(l) {
			continue
		}
		at := header
		if i < len(ranges) {
			at = ranges[i]
		}
		return problem(at, "Invalid name", "A name begins with a letter or underscore and goes on with letters, digits, underscores and dashes.")
	}
	return nil
}

// isName reports whether s can be a name in an address.
func isName(s string) bool {
	if isIdent(s) {
		return true
	}
	if s == "" || !utf8.ValidString(s) {
		return false
	}
	for i, r := range s {
		switch {
		case unicode.IsLetter(r) || r == '_':
		case i > 0 && (unicode.IsDigit(r) || r == '-'):
		default:
			return false
		}
	}
	return true
}

func strayArgument(n string, at hcl.Range) *hcl.Diagnostic {
	return hideSource(problem(at, "Argument outside a block", "%s stands at the top of the file, where only blocks may stand. Put it into a block, for instance locals { … }.", n))
}

func unknownBlock(typ string, at hcl.Range) *hcl.Diagnostic {
	if contains(ReservedNames().Blocks, typ) {
		return problem(at, "Reserved block type", "Blocks of type %q are reserved for a later version.", typ)
	}
	suggestion := ""
	switch typ {
	case "resource", "data":
		suggestion = ` Did you mean "credential"?`
	case "terraform":
		suggestion = ` Did you mean "tokend"?`
	default:
		suggestion = didYouMean(typ, topBlocks[:])
	}
	return problem(at, "Unknown block type", "There are no blocks of type %q.%s", typ, suggestion)
}

// sentence begins s with a capital letter.
func sentence(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
