package spec

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// scanPlain fills the tables of a file in native syntax without the parser, in
// a twentieth of its time, where the file holds nothing but plain blocks, as
// large directories do: names, strings with references in them, numbers, calls,
// lists and objects of these. It says what the parser would say, to the byte, or
// false, and then has touched nothing: whatever is unusual, deep or wrong is
// left to the parser, which also knows how to report it.
func scanPlain(s *source) bool {
	p := &scanner{text: s.text, line: 1}
	// Room for what there is at most, so that tables grow once and keep little.
	all := table{
		blocks: make([]blockRow, 0, strings.Count(s.text, "{")-strings.Count(s.text, "${")),
		attrs:  make([]attrRow, 0, strings.Count(s.text, "=")),
	}
	if !p.file(&all) || p.wide && !utf8.ValidString(s.text) {
		return false
	}
	s.blocks, s.attrs = slices.Clip(all.blocks), slices.Clip(all.attrs)
	if cap(all.blocks) > len(all.blocks)+len(all.blocks)/8 {
		s.blocks = slices.Clone(all.blocks)
	}
	if cap(all.attrs) > len(all.attrs)+len(all.attrs)/8 {
		s.attrs = slices.Clone(all.attrs)
	}
	return true
}

// Bounds of what is scanned without the parser: far below those of what is
// parsed at all.
const (
	plainDepth = 50   // brackets inside each other
	plainSteps = 1000 // dots and brackets in one argument
	plainAttrs = 100  // arguments in one block, whose names are compared with each other
	plainDigit = 30
)

// table is what a source says of its blocks.
type table struct {
	blocks []blockRow
	attrs  []attrRow
}

// take appends the rows of another table, which begin at nothing there.
func (t *table) take(o *table) {
	blocks, attrs := uint32(len(t.blocks)), uint32(len(t.attrs))
	for _, b := range o.blocks {
		b.attrs += attrs
		b.attrsEnd += attrs
		b.next += blocks
		t.blocks = append(t.blocks, b)
	}
	t.attrs = append(t.attrs, o.attrs...)
}

// scanner reads a file from its beginning to its end. Its methods are false
// where the text is not plain.
type scanner struct {
	text  string
	at    int
	line  uint32
	depth int
	steps int  // of the argument at hand
	wide  bool // there are bytes beyond ASCII, in strings or comments
}

// byte is the next byte, or 0 at the end.
func (p *scanner) byte() byte {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// eat takes a byte if it is the next.
func (p *scanner) eat(c byte) bool {
	if p.byte() != c || p.at == len(p.text) {
		return false
	}
	p.at++
	return true
}

func (p *scanner) spaces() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

// newline takes a line end, with a comment before it perhaps.
func (p *scanner) newline() bool {
	if c := p.byte(); c == '#' || c == '/' && strings.HasPrefix(p.text[p.at:], "//") {
		for p.at < len(p.text) && p.text[p.at] != '\n' {
			switch c := p.text[p.at]; {
			case c >= utf8.RuneSelf:
				p.wide = true
			case c == '\r' && strings.HasPrefix(p.text[p.at:], "\r\n"):
			case c < ' ' && c != '\t':
				return false
			}
			p.at++
		}
	}
	if strings.HasPrefix(p.text[p.at:], "\r\n") {
		p.at++
	}
	if !p.eat('\n') {
		return false
	}
	p.line++
	return true
}

// skip takes everything up to the next thing that says something.
func (p *scanner) skip() {
	for p.spaces(); p.newline(); p.spaces() {
	}
}

// ends takes the end of the line after a block or an argument.
func (p *scanner) ends() bool {
	p.spaces()
	return p.newline() || p.at == len(p.text)
}

func (p *scanner) name() (span, bool) {
	from := p.at
	p.at = identEnd(p.text, from)
	return p.since(from), p.at > from
}

func (p *scanner) since(from int) span { return span{uint32(from), uint32(p.at)} }

func (p *scanner) deeper() bool { p.depth++; return p.depth <= plainDepth }

func (p *scanner) file(out *table) bool {
	for {
		p.skip()
		if p.at == len(p.text) {
			return true
		}
		if strings.HasPrefix(p.text[p.at:], "provider_type") || !p.block(out) {
			return false
		}
	}
}

// block reads a block and what is nested in it.
func (p *scanner) block(out *table) bool {
	row := blockRow{line: p.line, attrs: uint32(len(out.attrs))}
	ok := false
	if row.typ, ok = p.name(); !ok {
		return false
	}
	for p.spaces(); p.byte() != '{'; p.spaces() {
		label, ok := p.label()
		if !ok || int(row.nlabels) == len(row.labels) {
			return false
		}
		row.labels[row.nlabels] = label
		row.nlabels++
	}
	open := p.at
	p.at++
	at := len(out.blocks)
	out.blocks = append(out.blocks, row)
	var nested table
	if !p.deeper() || !p.body(out, &nested, int(row.attrs)) {
		return false
	}
	p.depth--
	b := &out.blocks[at]
	b.body, b.attrsEnd = p.since(open), uint32(len(out.attrs))
	out.take(&nested)
	out.blocks[at].next = uint32(len(out.blocks))
	return p.ends()
}

func (p *scanner) label() (span, bool) {
	from := p.at
	if !p.eat('"') {
		return p.name()
	}
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.since(from), true
		case c == '\\' || c == '$' || c == '%' || c < ' ':
			return span{}, false
		case c >= utf8.RuneSelf:
			p.wide = true
		}
	}
	return span{}, false
}

// body reads what stands in a block up to its closing brace: the arguments into
// one table, and the blocks, which come after them, into another.
func (p *scanner) body(out, nested *table, first int) bool {
	p.spaces()
	if !p.newline() && p.byte() != '}' { // one argument on the line of the block
		n, ok := p.name()
		if p.spaces(); !ok || p.byte() != '=' || !p.argument(out, n, first) {
			return false
		}
		p.spaces()
		return p.eat('}')
	}
	for {
		p.skip()
		if p.eat('}') {
			return true
		}
		from := p.at
		n, ok := p.name()
		if !ok {
			return false
		}
		if p.spaces(); p.byte() == '=' {
			ok = p.argument(out, n, first) && p.ends()
		} else {
			p.at = from
			ok = p.block(nested)
		}
		if !ok {
			return false
		}
	}
}

// argument reads what an argument is set to. That it is not set before is
// looked for among the rows from first on.
func (p *scanner) argument(out *table, n span, first int) bool {
	p.at++
	if len(out.attrs)-first >= plainAttrs {
		return false
	}
	word := p.text[n.off:n.end]
	for _, a := range out.attrs[first:] {
		if p.text[a.name.off:a.name.end] == word {
			return false
		}
	}
	p.spaces()
	from := p.at
	if p.steps = 0; !p.expression() {
		return false
	}
	out.attrs = append(out.attrs, attrRow{name: n, expr: p.since(from)})
	return true
}

// expression reads an expression. What follows it is for the caller to look at:
// an operator, for instance, is nothing that may.
func (p *scanner) expression() bool {
	switch c := p.byte(); {
	case c == '"':
		return p.quoted()
	case '0' <= c && c <= '9':
		return p.number()
	case c == '[':
		return p.list(']')
	case c == '{':
		return p.object()
	}
	n, ok := p.name()
	if !ok {
		return false
	}
	switch p.text[n.off:n.end] {
	case "true", "false", "null":
		return true
	}
	if p.byte() == '(' && !p.list(')') {
		return false
	}
	return p.path()
}

// path reads the steps of a reference after its first name.
func (p *scanner) path() bool {
	for {
		switch p.byte() {
		case '.':
			p.at++
			if _, ok := p.name(); !ok {
				return false
			}
		case '[':
			p.at++
			p.skip()
			if !p.deeper() || !p.expression() {
				return false
			}
			p.depth--
			if p.skip(); !p.eat(']') {
				return false
			}
		default:
			return true
		}
		if p.steps++; p.steps > plainSteps {
			return false
		}
	}
}

// isFor reports whether a `for` expression begins here.
func (p *scanner) isFor() bool { return p.text[p.at:identEnd(p.text, p.at)] == "for" }

// list reads expressions in brackets, a comma after each but perhaps the last.
func (p *scanner) list(end byte) bool {
	p.at++
	if p.steps++; !p.deeper() || p.steps > plainSteps {
		return false
	}
	for p.skip(); !p.eat(end); p.skip() {
		if p.isFor() || !p.expression() {
			return false
		}
		if p.skip(); !p.eat(',') && p.byte() != end {
			return false
		}
	}
	p.depth--
	return true
}

// object reads the items of an object, each on a line or followed by a comma.
func (p *scanner) object() bool {
	p.at++
	if p.steps++; !p.deeper() || p.steps > plainSteps {
		return false
	}
	for p.skip(); !p.eat('}'); p.skip() {
		if p.isFor() {
			return false
		}
		if _, ok := p.label(); !ok {
			return false
		}
		p.spaces()
		if !p.eat('=') && !p.eat(':') {
			return false
		}
		if p.spaces(); !p.expression() {
			return false
		}
		if p.spaces(); !p.eat(',') && p.byte() != '}' && !p.newline() {
			return false
		}
	}
	p.depth--
	return true
}

func (p *scanner) number() bool {
	from := p.at
	digits := func() bool {
		begin := p.at
		for c := p.byte(); '0' <= c && c <= '9'; c = p.byte() {
			p.at++
		}
		return p.at > begin
	}
	digits()
	if p.eat('.') && !digits() {
		return false
	}
	return p.at-from <= plainDigit
}

// quoted reads a string, with references in it perhaps.
func (p *scanner) quoted() bool {
	for p.at++; p.at < len(p.text); {
		c := p.text[p.at]
		p.at++
		switch {
		case c == '"':
			return true
		case c == '\\':
			if strings.IndexByte(`nrt"\`, p.byte()) < 0 {
				return false
			}
			p.at++
		case c == '$' && p.eat('{'):
			p.skip()
			if p.steps++; !p.deeper() || p.steps > plainSteps || !p.expression() {
				return false
			}
			p.depth--
			if p.skip(); !p.eat('}') {
				return false
			}
		case c == '$' || c == '%':
			if n := p.byte(); identEnd(p.text, p.at) == p.at && (n < '0' || n > '9') && n != ' ' {
				return false // an escape, a directive, or close to one
			}
		case c >= utf8.RuneSelf:
			p.wide = true
		case c < ' ' && c != '\t':
			return false
		}
	}
	return false
}
