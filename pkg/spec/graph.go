package spec

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// node is something whose value can depend on other such things.
type node struct {
	name  string // as a reference says it, without an instance key
	local *local
	res   *resource
	kind  string
	edges []edge
	depth int // of locals that name locals

	index, low int
	onStack    bool
}

// edge is one reference from a node to another.
type edge struct {
	to *node
	at hcl.Range
}

// graph finds cycles among locals, secrets, credentials, vaults, providers and
// the for_each of sinks.
type graph struct {
	l     *loader
	nodes map[string]*node
	list  []*node

	next  int
	stack []*node
}

// cycles reports every cycle with each reference on the way, and takes what is
// in one out of the evaluation.
func (l *loader) cycles() {
	g := &graph{l: l, nodes: map[string]*node{}}
	for _, n := range sortedKeys(l.c.locals) {
		g.add(&node{name: "local." + n, local: l.c.locals[n]})
	}
	for _, a := range sortedAddressKeys(l.c.providers) {
		g.add(&node{name: string(a), kind: kindProvider})
	}
	for _, kind := range []string{kindVault, kindSecret, kindCredential, kindSink} {
		list := l.c.resources[kind]
		for i := range list {
			if kind == kindSink && !hasMeta(&list[i]) {
				continue // nothing can refer to it but a for_each, which needs its own
			}
			if kind == kindCredential && !list[i].mentions(kindCredential) {
				continue // it is in no cycle unless something refers to it; see edgesOf
			}
			typ, label := list[i].names()
			g.add(&node{name: string(name(kind, typ, label, instKey{})), res: &list[i], kind: kind})
		}
	}
	for i := 0; i < len(g.list); i++ { // which grows
		g.connect(g.list[i])
	}
	for _, n := range g.list {
		if n.index == 0 {
			g.visit(n)
		}
	}
	l.c.chained = g.chains()
}

func (g *graph) add(n *node) {
	g.nodes[n.name] = n
	g.list = append(g.list, n)
}

// connect makes the edges of a node from its references.
func (g *graph) connect(n *node) {
	switch {
	case n.local != nil:
		g.edgesOf(n, n.local.arg.refs)
	case n.kind == kindProvider:
		at := g.l.c.providers[Address(n.name)].at
		f, _ := newForm(at.src, at.row)
		f.walk(func(a *argument) { g.edgesOf(n, a.refs) })
	default:
		f, _ := newForm(n.res.src, int(n.res.row))
		named := false
		f.walk(func(a *argument) {
			if n.kind == kindSink && a.name != "for_each" && a.name != "count" {
				return
			}
			named = named || a.name == kindVault
			g.edgesOf(n, a.refs)
		})
		if n.kind == kindSecret && !named {
			g.defaultVaultEdge(n, f)
		}
	}
}

// defaultVaultEdge is the reference that a secret without `vault` leaves out.
func (g *graph) defaultVaultEdge(n *node, f *form) {
	sc := g.l.c.kinds[kindSecret][f.labels[0]]
	if sc == nil || sc.attr(kindVault) == nil || sc.attr(kindVault).Ref != kindVault {
		return
	}
	if v, d := g.l.c.defaultVault(f, false); d == nil && v != "" {
		if to := g.nodes[string(v)]; to != nil {
			n.edges = append(n.edges, edge{to: to, at: f.header()})
		}
	}
}

func (g *graph) edgesOf(n *node, refs []ref) {
	for i := range refs {
		r := &refs[i]
		g.edgesOf(n, r.indexRefs)
		key := ""
		if r.root() == "local" {
			key = "local." + r.attr(1)
		} else if addressParts(r.root()) > 0 {
			p, _, err := parseTraversal(r.trav)
			if err != nil {
				continue
			}
			key = string(p.block())
			g.need(key, p)
		}
		if to := g.nodes[key]; to != nil {
			n.edges = append(n.edges, edge{to: to, at: r.rng})
		}
	}
}

// need adds a credential that something refers to. One that nothing refers to is
// in no cycle, and with a hundred thousand of them reading each for its
// references would take longer than all the rest.
func (g *graph) need(key string, p parsed) {
	if p.kind != kindCredential || g.nodes[key] != nil {
		return
	}
	if res := g.l.c.find(p.kind, p.typ, p.label); res != nil {
		g.add(&node{name: key, res: res, kind: p.kind})
	}
}

// mentions reports whether a word stands in an argument of the block or of what
// is nested in it. In JSON it may be written otherwise.
func (r *resource) mentions(word string) bool {
	b := r.block()
	end := b.attrsEnd
	for _, nested := range r.src.blocks[r.row:b.next] {
		end = max(end, nested.attrsEnd)
	}
	for _, a := range r.src.attrs[b.attrs:end] {
		if r.src.json || strings.Contains(r.src.cut(a.expr), word) {
			return true
		}
	}
	return false
}

// visit is Tarjan's search for strongly connected components, with a stack of
// its own so that a long chain of locals does not become one of calls.
func (g *graph) visit(root *node) {
	type frame struct {
		n *node
		i int
	}
	begin := func(n *node) {
		g.next++
		n.index, n.low = g.next, g.next
		n.onStack = true
		g.stack = append(g.stack, n)
	}
	begin(root)
	calls := []frame{{n: root}}
	for len(calls) > 0 {
		f := &calls[len(calls)-1]
		if f.i < len(f.n.edges) {
			to := f.n.edges[f.i].to
			f.i++
			switch {
			case to.index == 0:
				begin(to)
				calls = append(calls, frame{n: to})
			case to.onStack:
				f.n.low = min(f.n.low, to.index)
			}
			continue
		}
		n := f.n
		calls = calls[:len(calls)-1]
		if len(calls) > 0 {
			up := calls[len(calls)-1].n
			up.low = min(up.low, n.low)
		}
		if n.low == n.index {
			g.component(n)
		}
	}
}

// component takes a finished component off the stack. Components come in the
// order of dependence, so that locals can be settled without recursion.
func (g *graph) component(root *node) {
	var members []*node
	for {
		n := g.stack[len(g.stack)-1]
		g.stack = g.stack[:len(g.stack)-1]
		n.onStack = false
		members = append(members, n)
		if n == root {
			break
		}
	}
	self := false
	for _, e := range root.edges {
		self = self || e.to == root
	}
	if len(members) == 1 && !self {
		g.measure(root)
		return
	}
	g.reportCycles(members)
	for _, n := range members {
		if n.local != nil {
			n.local.broken = true
		}
		if n.res != nil {
			g.l.bad[n.res] = true
		}
	}
}

// measure bounds how deep locals may name each other.
func (g *graph) measure(n *node) {
	if n.local == nil {
		return
	}
	n.depth = 1
	for _, e := range n.edges {
		if e.to.local != nil {
			n.depth = max(n.depth, e.to.depth+1)
		}
	}
	if n.depth > maxLocalDepth {
		n.local.broken = true
		g.l.report(problem(n.local.arg.nameRange, "Locals nested too deep", "Locals may name each other %d deep.", maxLocalDepth))
	}
}

// Bounds of what is reported of one knot of references.
const (
	maxCycles  = 20
	largeCycle = 200 // of more members one cycle is reported
)

// step is one reference on the way around a cycle.
type step struct {
	from *node
	edge int // of from's edges
}

func (s step) via() edge { return s.from.edges[s.edge] }

// reportCycles reports the cycles of a component, each by a way around it that
// uses no reference of another: taking one out of each unties the knot, or
// shows what is left of it.
func (g *graph) reportCycles(members []*node) {
	sort.Slice(members, func(i, j int) bool { return members[i].name < members[j].name })
	in, used := map[*node]bool{}, map[step]bool{}
	for _, n := range members {
		in[n] = true
	}
	reported, at := 0, 0
	for at < len(members) && reported < maxCycles && (reported == 0 || len(members) <= largeCycle) {
		path := around(members[at], in, used)
		if path == nil {
			at++
			continue
		}
		var lines []string
		for _, s := range path {
			used[s] = true
			lines = append(lines, fmt.Sprintf("%s refers to %s (%s:%d)", s.from.name, s.via().to.name, s.via().at.Filename, s.via().at.Start.Line))
		}
		d := problem(path[0].via().at, "Cycle of references", "%s.", strings.Join(lines, ", "))
		g.l.report(hinted(d, "take one of these references out"))
		reported++
	}
}

// around is a shortest way from a node back to itself, by references that are
// not used yet.
func around(first *node, in map[*node]bool, used map[step]bool) []step {
	came := map[*node]step{}
	queue := []*node{first}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for i, e := range n.edges {
			s := step{from: n, edge: i}
			if used[s] || !in[e.to] {
				continue
			}
			if e.to == first {
				path := []step{s}
				for n != first {
					path = append(path, came[n])
					n = came[n].from
				}
				slices.Reverse(path)
				return path
			}
			if _, seen := came[e.to]; !seen {
				came[e.to] = s
				queue = append(queue, e.to)
			}
		}
	}
	return nil
}
