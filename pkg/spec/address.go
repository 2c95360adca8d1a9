package spec

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// The kinds of things that have an address.
const (
	kindCredential = "credential"
	kindSink       = "sink"
	kindSecret     = "secret"
	kindProvider   = "provider"
	kindVault      = "vault"
	kindHook       = "hook"
)

// addressParts says how many names follow each kind in an address.
func addressParts(kind string) int {
	switch kind {
	case kindCredential, kindSink, kindSecret, kindProvider, kindHook:
		return 2
	case kindVault:
		return 1
	}
	return 0
}

// instKey is the key of one instance of a block: none, the string of for_each
// or the number of count.
type instKey struct {
	kind keyKind
	str  string
	num  int
}

type keyKind uint8

const (
	noKey keyKind = iota
	strKey
	numKey
)

// suffix is the key as an address ends with it.
func (k instKey) suffix() string {
	switch k.kind {
	case strKey:
		return `["` + quoteKey(k.str) + `"]`
	case numKey:
		return "[" + strconv.Itoa(k.num) + "]"
	}
	return ""
}

// value is the key as expressions see it.
func (k instKey) value() cty.Value {
	switch k.kind {
	case strKey:
		return cty.StringVal(k.str)
	case numKey:
		return cty.NumberIntVal(int64(k.num))
	}
	return cty.NullVal(cty.String)
}

// keyOf reads an index as an instance key; ok is false for what cannot be one.
func keyOf(v cty.Value) (instKey, bool) {
	v, _ = v.Unmark()
	if v.IsNull() || !v.IsKnown() {
		return instKey{}, false
	}
	switch v.Type() {
	case cty.String:
		return instKey{kind: strKey, str: v.AsString()}, true
	case cty.Number:
		f := v.AsBigFloat()
		n, acc := f.Int64()
		if acc != 0 || n < 0 {
			return instKey{}, false
		}
		return instKey{kind: numKey, num: int(n)}, true
	}
	return instKey{}, false
}

// quoteKey writes s as the inside of an HCL string.
func quoteKey(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c == '$' || c == '%' || c == 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		case (r == '$' || r == '%') && strings.HasPrefix(s[i+1:], "{"):
			b.WriteRune(r)
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// name joins the parts of an address.
func name(kind, typ, label string, key instKey) Address {
	switch {
	case typ == "":
		return Address(kind + "." + label + key.suffix())
	case key.kind == strKey:
		return Address(kind + "." + typ + "." + label + `["` + quoteKey(key.str) + `"]`) // in one piece: it is made very often
	}
	return Address(kind + "." + typ + "." + label + key.suffix())
}

// parsed is an address taken apart.
type parsed struct {
	kind, typ, label string
	key              instKey
}

func (p parsed) address() Address { return name(p.kind, p.typ, p.label, p.key) }

// block is the address without its instance key.
func (p parsed) block() Address { return name(p.kind, p.typ, p.label, instKey{}) }

// ParseAddress reads an address as people write it, a leading "credential."
// left out or not, and returns its canonical form.
func ParseAddress(s string) (Address, error) {
	p, err := parseAddress(strings.TrimSpace(s))
	if err != nil {
		return "", fmt.Errorf("reading address %q: %w", s, err)
	}
	return p.address(), nil
}

func parseAddress(s string) (parsed, error) {
	if p, ok := splitPlain(s); ok {
		return p, nil
	}
	trav, diags := hclsyntax.ParseTraversalAbs([]byte(s), "", hcl.InitialPos)
	if diags.HasErrors() {
		return parsed{}, fmt.Errorf("an address looks like coinify.trader[\"alice\"] or sink.file.trader")
	}
	if addressParts(trav.RootName()) == 0 {
		trav = append(hcl.Traversal{hcl.TraverseRoot{Name: kindCredential}}, asAttrs(trav)...)
	}
	p, rest, err := parseTraversal(trav)
	if err != nil {
		return parsed{}, err
	}
	if len(rest) > 0 {
		return parsed{}, fmt.Errorf("there is more after the address of the %s", p.kind)
	}
	return p, nil
}

// asAttrs turns the root of a traversal into an attribute step.
func asAttrs(t hcl.Traversal) hcl.Traversal {
	out := hcl.Traversal{hcl.TraverseAttr{Name: t.RootName(), SrcRange: t.SourceRange()}}
	return append(out, t[1:]...)
}

// splitPlain reads the canonical form of an address without a parser. What it
// does not understand at once it leaves to the parser.
func splitPlain(s string) (parsed, bool) {
	var p parsed
	head, key, keyed := strings.Cut(s, "[")
	if keyed {
		key, ok := strings.CutSuffix(key, "]")
		if !ok {
			return parsed{}, false
		}
		if q, ok := strings.CutPrefix(key, `"`); ok {
			q, ok = strings.CutSuffix(q, `"`)
			if !ok || strings.ContainsAny(q, "\"\\$%\n") || !isPrintableASCII(q) {
				return parsed{}, false
			}
			p.key = instKey{kind: strKey, str: q}
		} else {
			n, err := strconv.Atoi(key)
			if err != nil || n < 0 || strconv.Itoa(n) != key {
				return parsed{}, false
			}
			p.key = instKey{kind: numKey, num: n}
		}
	}
	var names [3]string
	n := 0
	for n < 3 {
		first, rest, more := strings.Cut(head, ".")
		if !isIdent(first) {
			return parsed{}, false
		}
		names[n] = first
		n++
		if !more {
			break
		}
		if n == 3 {
			return parsed{}, false
		}
		head = rest
	}
	parts := addressParts(names[0])
	switch {
	case parts == 2 && n == 3:
		p.kind, p.typ, p.label = names[0], names[1], names[2]
	case parts == 1 && n == 2 && !keyed:
		p.kind, p.label = names[0], names[1]
	case parts == 0 && n == 2:
		p.kind, p.typ, p.label = kindCredential, names[0], names[1]
	default:
		return parsed{}, false
	}
	if p.key.kind != noKey && !expands(p.kind) {
		return parsed{}, false
	}
	return p, true
}

// parseTraversal reads the address at the beginning of a traversal and returns
// what follows it.
func parseTraversal(t hcl.Traversal) (parsed, hcl.Traversal, error) {
	p := parsed{kind: t.RootName()}
	n := addressParts(p.kind)
	if n == 0 {
		return parsed{}, nil, fmt.Errorf("%q is nothing that has an address", p.kind)
	}
	names := make([]string, 0, 2)
	for _, step := range t[1:] {
		if len(names) == n {
			break
		}
		a, ok := step.(hcl.TraverseAttr)
		if !ok {
			break
		}
		names = append(names, a.Name)
	}
	if len(names) < n {
		if n == 1 {
			return parsed{}, nil, fmt.Errorf("%s must be followed by a name: %s.NAME", p.kind, p.kind)
		}
		return parsed{}, nil, fmt.Errorf("%s must be followed by a type and a name: %s.TYPE.NAME", p.kind, p.kind)
	}
	p.label = names[n-1]
	if n == 2 {
		p.typ = names[0]
	}
	rest := t[1+n:]
	if len(rest) > 0 && expands(p.kind) {
		if ix, ok := rest[0].(hcl.TraverseIndex); ok {
			key, ok := keyOf(ix.Key)
			if !ok {
				return parsed{}, nil, fmt.Errorf("the key of an instance is a string or a whole number")
			}
			p.key = key
			rest = rest[1:]
		}
	}
	return p, rest, nil
}

// expands reports whether blocks of this kind may have for_each and count.
func expands(kind string) bool {
	return kind == kindCredential || kind == kindSink || kind == kindSecret
}

// isIdent reports whether s is an identifier of ASCII letters, as nearly all are.
func isIdent(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case i > 0 && (c == '-' || '0' <= c && c <= '9'):
		default:
			return false
		}
	}
	return true
}

func isPrintableASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// sortAddresses sorts and removes duplicates in place.
func sortAddresses(list []Address) []Address {
	if len(list) < 2 {
		return list
	}
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	out := list[:1]
	for _, a := range list[1:] {
		if a != out[len(out)-1] {
			out = append(out, a)
		}
	}
	return out
}
