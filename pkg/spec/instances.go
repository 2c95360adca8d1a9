package spec

import (
	"encoding/json"
	"slices"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// instances are those of one block with for_each or count. An instance costs
// its key; values are kept once, those of a set or of another block not at all.
type instances struct {
	kind keyKind
	keys []string // of for_each, sorted
	n    int      // of count
	vals []cty.Value
	of   *instancesOf
	// expr is for_each itself where its values are sensitive, or name secrets or
	// tokens: they are evaluated again each time, and not kept.
	expr hclsyntax.Expression
	refs []ref
	// traced: what in vals stands for something of another instance is an origin,
	// of a secret or credential as the worst of them.
	traced bool
	from   string
	// lost: for_each or count has a mistake, so that nobody can say which
	// instances there are. Only while loading.
	lost bool
	// guess: it is made up, for a block that has no instances, or none that can be
	// told. What each.value has is not known. Only while loading.
	guess bool
}

// instancesOf says that instances are one for each instance of another block.
type instancesOf struct {
	kind, typ, label string
	set              *instances
}

func (o *instancesOf) address(i int) Address { return name(o.kind, o.typ, o.label, o.set.key(i)) }

func (s *instances) len() int {
	if s.kind == numKey {
		return s.n
	}
	return len(s.keys)
}

func (s *instances) key(i int) instKey {
	if s.kind == numKey {
		return instKey{kind: numKey, num: i}
	}
	return instKey{kind: strKey, str: s.keys[i]}
}

// indexOf returns the position of a key, or -1.
func (s *instances) indexOf(k instKey) int {
	switch {
	case k.kind != s.kind:
		return -1
	case k.kind == numKey:
		if k.num < s.n {
			return k.num
		}
		return -1
	}
	i := sort.SearchStrings(s.keys, k.str)
	if i < len(s.keys) && s.keys[i] == k.str {
		return i
	}
	return -1
}

// itemRefs lists the references of the element of for_each that a key names, or
// of all of it where the text does not tell them apart.
func (s *instances) itemRefs(key string) []ref {
	if s.expr == nil {
		return nil
	}
	if obj, ok := unwrap(s.expr).(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range obj.Items {
			if k, ok := objectKey(item.KeyExpr); ok && k == key {
				return collectRefs(item.ValueExpr, nil)
			}
		}
	}
	return s.refs
}

// maxCount bounds count, so that a slip of a digit does not fill the memory.
const maxCount = 1_000_000

// instanceOf returns the instance that an address names.
func (c *Config) instanceOf(p parsed, res *resource) (*instance, error) {
	in := &instance{kind: p.kind, typ: p.typ, label: p.label, key: p.key, set: res.insts}
	if res.insts == nil {
		if p.key.kind != noKey {
			return nil, &UnknownAddressError{Addr: p.address()}
		}
		return in, nil
	}
	in.index = res.insts.indexOf(p.key)
	if in.index < 0 {
		return nil, &UnknownAddressError{Addr: p.address()}
	}
	return in, nil
}

// each calls f for every instance of a block.
func (c *Config) each(kind string, res *resource, f func(*instance)) {
	typ, label := res.names()
	if res.insts == nil {
		f(&instance{kind: kind, typ: typ, label: label})
		return
	}
	for i := range res.insts.len() {
		f(&instance{kind: kind, typ: typ, label: label, key: res.insts.key(i), set: res.insts, index: i})
	}
}

// checkKey checks that a reference names an instance that there is.
func (c *Config) checkKey(t *target, r *ref) *hcl.Diagnostic {
	set := t.res.insts
	switch {
	case set == nil && t.p.key.kind != noKey:
		return problem(r.rng, "Block without instances", "%s has neither for_each nor count, so there is nothing to index. Leave the index out.", t.p.block())
	case set == nil:
		return nil
	case set.lost && (t.p.key.kind != noKey || len(t.rest) > 0):
		return follows(problem(r.rng, "No such instance", "Which instances %s has is not known.", what))
	case t.p.key.kind == noKey:
		if n := stepName(t.rest, 0); n != "" && !isIndex(t.rest[0]) {
			example := `["KEY"]`
			if set.kind == numKey {
				example = "[0]"
			} else if len(set.keys) > 0 {
				example = `["` + quoteKey(set.keys[0]) + `"]`
			}
			what := t.p.block()
			return problem(r.rng, "Instance key missing", "%s has several instances; say which one: %s%s.%s, or [each.key].", what, what, example, n)
		}
		t.whole = true
		return nil
	case set.indexOf(t.p.key) < 0:
		hint := ""
		if t.p.key.kind == strKey && set.kind == strKey {
			keys := set.keys
			if len(keys) > maxCandidates {
				keys = keys[:maxCandidates]
			}
			hint = didYouMean(t.p.key.str, keys)
		}
		return problem(r.keyRange(), noSuchInstance, "%s has no instance %s.%s", t.p.block(), t.p.key.suffix(), hint)
	}
	return nil
}

// keyRange is where a reference says the key of an instance.
func (r *ref) keyRange() hcl.Range {
	if r.index != nil {
		return r.index.Range()
	}
	if len(r.trav) == 0 {
		return r.rng // of an address that is not in an expression
	}
	return stepRange(r.trav, addressParts(r.root())+1, r.rng)
}

func isIndex(s hcl.Traverser) bool { _, ok := s.(hcl.TraverseIndex); return ok }

// expand finds the instances of a block, and before it those of the blocks
// that its for_each names.
func (l *loader) expand(kind string, res *resource) {
	if !hasMeta(res) || l.expanded[res] {
		return
	}
	l.expanded[res] = true
	if l.bad[res] { // in a cycle
		res.insts = lostInstances(strKey)
		return
	}
	f, _ := newForm(res.src, int(res.row))
	forEach, count := f.arg("for_each"), f.arg("count")
	switch {
	case forEach != nil && count != nil:
		l.report(problem(count.nameRange, "for_each and count together", "A block has either for_each or count. Use for_each where instances have names of their own."))
		res.insts = lostInstances(strKey)
	case forEach != nil:
		res.insts = l.forEach(forEach)
	case count != nil:
		res.insts = l.count(count)
	}
}

// hasMeta reports whether a block has for_each or count, without parsing it.
func hasMeta(res *resource) bool {
	b := res.block()
	for _, r := range res.src.attrs[b.attrs:b.attrsEnd] {
		switch res.src.ident(r.name) {
		case "for_each", "count":
			return true
		}
	}
	return false
}

// lostInstances are those of a block whose for_each or count has a mistake. The
// block is checked with a made-up instance all the same.
func lostInstances(kind keyKind) *instances { return &instances{kind: kind, lost: true} }

// forEach evaluates for_each; what is wrong with it leaves no instances.
func (l *loader) forEach(a *argument) *instances {
	if a.expr == nil || !l.checkRefs(a, nil) || l.c.onBroken(a.refs) {
		return lostInstances(strKey)
	}
	if set, ok := l.forEachOf(a); ok {
		return set
	}
	if set := l.forEachList(a); set != nil {
		return set
	}
	v, diags := l.ev.eval(a.expr, a.refs, nil)
	if diags.HasErrors() {
		l.report(diags...)
		return lostInstances(strKey)
	}
	set, d := forEachValue(v, a)
	if d != nil {
		l.report(d)
		return lostInstances(strKey)
	}
	if set.expr != nil {
		if vals := l.trace(a, set.keys); vals != nil {
			set.from = set.sourceKind(l.c)
			set.traced, set.vals, set.expr, set.refs = true, vals, nil, nil
		}
	}
	return set
}

// forEachOf handles `for_each = credential.coinify.trader`: one for each
// instance of that block.
func (l *loader) forEachOf(a *argument) (*instances, bool) {
	t, ok := unwrap(a.expr).(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(t.Traversal) != 3 || !expands(t.Traversal.RootName()) {
		return nil, false
	}
	p, _, err := parseTraversal(t.Traversal)
	if err != nil {
		return nil, false
	}
	of := l.c.find(p.kind, p.typ, p.label)
	if of == nil {
		return nil, false
	}
	l.expand(p.kind, of)
	if of.insts != nil && of.insts.lost {
		set := lostInstances(strKey)
		set.of = &instancesOf{kind: p.kind, typ: p.typ, label: p.label, set: of.insts}
		return set, true
	}
	if of.insts != nil && of.insts.kind == numKey {
		l.report(problem(a.rng(), "Block without instances", "%[1]s has count and not for_each, so its instances are a list. Use count = length(%[1]s) here too, or for_each = { for i, c in %[1]s : \"i${i}\" => c }.", p.block()))
		return lostInstances(strKey), true
	}
	if of.insts == nil || of.insts.kind != strKey {
		l.report(problem(a.rng(), "Block without instances", "%s has no for_each, so there are no instances to go through. Leave for_each out and refer to it directly.", p.block()))
		return lostInstances(strKey), true
	}
	return &instances{kind: strKey, keys: of.insts.keys, of: &instancesOf{kind: p.kind, typ: p.typ, label: p.label, set: of.insts}}, true
}

// forEachList handles `for_each = toset(LIST)` without making the set, which
// costs far more than sorting its strings; nil: the general way.
func (l *loader) forEachList(a *argument) *instances {
	call, ok := unwrap(a.expr).(*hclsyntax.FunctionCallExpr)
	if !ok || call.Name != "toset" || len(call.Args) != 1 || call.ExpandFinal {
		return nil
	}
	if set := l.jsonList(call.Args[0], a.refs); set != nil {
		return set
	}
	v, diags := l.ev.eval(call.Args[0], a.refs, nil)
	if diags.HasErrors() || v.ContainsMarked() || !v.IsWhollyKnown() || v.IsNull() {
		return nil
	}
	if t := v.Type(); !t.IsTupleType() && !t.IsListType() {
		return nil
	}
	set := &instances{kind: strKey, keys: make([]string, 0, v.LengthInt())}
	for it := v.ElementIterator(); it.Next(); {
		_, x := it.Element()
		if x.IsNull() || x.Type() != cty.String {
			return nil
		}
		set.keys = append(set.keys, x.AsString())
	}
	slices.Sort(set.keys)
	set.keys = slices.Compact(set.keys)
	return set
}

// jsonList handles `jsondecode(TEXT)` of a list of strings without a value for
// each of them; nil: the general way, which also says what is wrong.
func (l *loader) jsonList(e hclsyntax.Expression, refs []ref) *instances {
	call, ok := unwrap(e).(*hclsyntax.FunctionCallExpr)
	if !ok || call.Name != "jsondecode" || len(call.Args) != 1 || call.ExpandFinal {
		return nil
	}
	v, diags := l.ev.eval(call.Args[0], refs, nil)
	if diags.HasErrors() || v.IsMarked() || !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return nil
	}
	var list []*string // a null is not ""
	if err := json.Unmarshal([]byte(v.AsString()), &list); err != nil || list == nil {
		return nil
	}
	set := &instances{kind: strKey, keys: make([]string, 0, len(list))}
	for _, s := range list {
		if s == nil {
			return nil
		}
		set.keys = append(set.keys, cty.NormalizeString(*s))
	}
	slices.Sort(set.keys)
	set.keys = slices.Compact(set.keys)
	return set
}

// forEachValue reads the value of for_each.
func forEachValue(v cty.Value, a *argument) (*instances, *hcl.Diagnostic) {
	u, marks := v.Unmark()
	switch {
	case hasKey(marks, sensitiveMark{}):
		return nil, problem(a.rng(), "Sensitive for_each", "The keys of for_each are part of addresses, which are shown everywhere, so that they cannot come from a sensitive value. Go through a set of names, and look the secret up by each.key.")
	case !u.IsKnown():
		return nil, problem(a.rng(), "for_each is not known", "for_each depends on a secret or a token. Its keys must be known when the directory is read; values may name secrets.")
	case u.IsNull():
		return nil, problem(a.rng(), "for_each is null", "for_each must be a map or a set of strings; an empty one declares no instances.")
	}
	t := u.Type()
	switch {
	case t.IsMapType() || t.IsObjectType():
		return mapInstances(u, a), nil
	case t.IsSetType():
		return setInstances(u, a)
	case t.IsTupleType() || t.IsListType():
		return nil, problem(a.rng(), "for_each of a list", "for_each must be a map or a set of strings. Write toset(…) around a list of names.")
	}
	return nil, problem(a.rng(), "Invalid for_each", "for_each must be a map or a set of strings, not %s.", t.FriendlyName())
}

func hasKey(marks cty.ValueMarks, k any) bool { _, ok := marks[k]; return ok }

func mapInstances(u cty.Value, a *argument) *instances {
	set := &instances{kind: strKey, keys: make([]string, 0, u.LengthInt()), vals: make([]cty.Value, 0, u.LengthInt())}
	known := true
	for it := u.ElementIterator(); it.Next(); { // in the order of keys
		k, v := it.Element()
		set.keys = append(set.keys, k.AsString())
		set.vals = append(set.vals, v)
		known = known && v.IsWhollyKnown() && !v.ContainsMarked()
	}
	if !known {
		set.vals = nil
		set.expr, set.refs = a.expr, a.refs
	}
	return set
}

func setInstances(u cty.Value, a *argument) (*instances, *hcl.Diagnostic) {
	set := &instances{kind: strKey, keys: make([]string, 0, u.LengthInt())}
	for it := u.ElementIterator(); it.Next(); {
		_, v := it.Element()
		if !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
			return nil, problem(a.rng(), "Invalid for_each", "The set of a for_each must have strings only, none of them null.")
		}
		set.keys = append(set.keys, v.AsString())
	}
	sort.Strings(set.keys)
	return set, nil
}

// count evaluates count.
func (l *loader) count(a *argument) *instances {
	none := lostInstances(numKey)
	if a.expr == nil || !l.checkRefs(a, nil) || l.c.onBroken(a.refs) {
		return none
	}
	v, diags := l.ev.eval(a.expr, a.refs, nil)
	if diags.HasErrors() {
		l.report(diags...)
		return none
	}
	u, marks := v.Unmark()
	if hasKey(marks, sensitiveMark{}) {
		l.report(problem(a.rng(), "Sensitive count", "The number of instances is shown everywhere, so that it cannot come from a sensitive value."))
		return none
	}
	if u, ok := asNumber(u); ok {
		if n, ok := numberOf(u); ok && n >= 0 && n <= maxCount {
			return &instances{kind: numKey, n: n}
		}
	}
	l.report(problem(a.rng(), "Invalid count", "count must be a whole number from 0 to %d that is known when the directory is read.", maxCount))
	return none
}
