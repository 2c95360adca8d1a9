package spec

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// quickLoad makes a Config of the previous one where only plain blocks of
// credentials and sinks were changed or added: it checks those and takes the
// rest over. False: the change is of another kind, or has a mistake that only
// the whole can tell, and everything has to be loaded.
func quickLoad(dir string, files []input, o Options) (*Config, Diagnostics, bool) {
	prev := o.Previous
	if prev == nil || prev.dir != dir || !prev.loadedWith(&o) || !prev.reads.unchanged() {
		return nil, nil, false
	}
	read := prev.reads.list()
	c, diags, ok := quickFrom(prev, dir, files, o)
	if c == nil {
		prev.reads.only(read) // what was tried is not what the previous one reads
	}
	return c, diags, ok
}

func quickFrom(prev *Config, dir string, files []input, o Options) (*Config, Diagnostics, bool) {
	l := newLoader(dir, nil, o)
	sources, changed, ok := quickSources(l, files)
	if !ok {
		return nil, nil, false
	}
	c := *prev
	l.c = &c
	c.sources, c.options.Revision, c.names = sources, o.Revision, nil
	c.plans, c.attrPlans, c.sums = newPlanCache(plansKept), newPlanCache(plansKept), newPlanCache(plansKept)
	c.resources, c.ahead = maps.Clone(prev.resources), nil
	l.ev = c.evaluator(Scope{})
	q := &quick{l: l, prev: prev, old: map[*source]bool{}, fresh: map[*source]bool{}}
	for _, ch := range changed {
		if ch.old != nil {
			q.old[ch.old], q.oneOld = true, ch.old
		}
		q.fresh[ch.new] = true
	}
	for _, kind := range []string{kindCredential, kindSink} {
		if !q.merge(kind) {
			return nil, nil, false
		}
	}
	if !q.keepsWhatIsNamed(changed) || !q.check() || !c.changesStillHold() || !c.sameStrays(prev) {
		return nil, nil, false
	}
	if diags := finish(l.diags, nil); diags.HasErrors() {
		return nil, diags, true
	}
	return &c, prev.warnings, true
}

// quick is one quick load.
type quick struct {
	l          *loader
	prev       *Config
	old, fresh map[*source]bool
	oneOld     *source                // one of the old, most often the only one
	added      map[string][]*resource // of fresh sources, by kind
}

// isOld is asked of everything that there is, so it looks into the map only where
// several files changed.
func (q *quick) isOld(s *source) bool { return s == q.oneOld || len(q.old) > 1 && q.old[s] }

// changedSource is a file in its old and its new form.
type changedSource struct{ old, new *source }

// quickSources reads what is different. A file that is gone, or that says more
// than plain blocks, is not for the quick way.
func quickSources(l *loader, files []input) ([]*source, []changedSource, bool) {
	prev := l.o.Previous
	sources := make([]*source, 0, len(files))
	var changed []changedSource
	var low *lowering
	known := 0
	for i := range files {
		f := &files[i]
		old := prev.source(f.Name, false)
		if old != nil {
			known++
			if f.src == old || f.src == nil && old.same(f.Bytes) {
				sources = append(sources, old)
				continue
			}
			if !old.plain() {
				return nil, nil, false
			}
		}
		if low == nil {
			low = &lowering{fns: prev.fns, shapes: l.shapes()}
		}
		s := newSource(f.Name, f.Bytes, low)
		if !s.plain() {
			return nil, nil, false
		}
		sources = append(sources, s)
		changed = append(changed, changedSource{old, s})
	}
	return sources, changed, known == len(prev.sources)
}

// plain reports whether a file declares nothing but credentials and sinks, each
// of them once.
func (s *source) plain() bool {
	if s.broken || len(s.diags) > 0 || len(s.types) > 0 {
		return false
	}
	for i := 0; i < len(s.blocks); i = int(s.blocks[i].next) {
		b := &s.blocks[i]
		typ := s.ident(b.typ)
		if typ != kindCredential && typ != kindSink || b.nlabels != 2 || !isName(s.label(b, 0)) || !isName(s.label(b, 1)) ||
			hasMeta(&resource{src: s, row: uint32(i)}) {
			return false
		}
	}
	return true
}

// loadedWith reports whether a configuration was loaded with the same options.
func (c *Config) loadedWith(o *Options) bool {
	p := &c.options
	return p.HostName == o.HostName && p.Version == o.Version && (p.CheckSink == nil) == (o.CheckSink == nil) && (p.Own == nil) == (o.Own == nil) && p.CheckContents == o.CheckContents && p.WasInForce == o.WasInForce &&
		maps.Equal(p.Vars, o.Vars) && slices.Equal(p.VarFiles, o.VarFiles) && maps.EqualFunc(p.VarContents, o.VarContents, bytes.Equal) && slices.Equal(variablesOf(p.Environ), variablesOf(o.Environ)) &&
		reflect.DeepEqual([]any{p.Sinks, p.Secrets, p.Hooks, p.Auths, p.Vault}, []any{o.Sinks, o.Secrets, o.Hooks, o.Auths, o.Vault}) &&
		c.sameCatalog(o.Catalog)
}

func variablesOf(environ []string) []string {
	var out []string
	for _, e := range environ {
		if strings.HasPrefix(e, EnvPrefix) {
			out = append(out, e)
		}
	}
	return out
}

func (c *Config) sameCatalog(catalog fs.FS) bool {
	if catalog == nil {
		return len(c.catalog) == 0
	}
	names, err := fs.Glob(catalog, "*.hcl")
	if err != nil || len(names) != len(c.catalog) {
		return false
	}
	for _, n := range names {
		b, err := fs.ReadFile(catalog, n)
		if s := c.source(catalogDir+n, true); err != nil || s == nil || !s.same(b) {
			return false
		}
	}
	return true
}

// merge puts the resources of fresh sources in the place of those of old ones.
// A duplicate is for the general way, which reports it.
func (q *quick) merge(kind string) bool {
	c := q.l.c
	var fresh []resource
	for _, s := range c.sources {
		if !q.fresh[s] {
			continue
		}
		for i := 0; i < len(s.blocks); i = int(s.blocks[i].next) {
			if s.ident(s.blocks[i].typ) == kind {
				fresh = append(fresh, resource{src: s, row: uint32(i)})
			}
		}
	}
	slices.SortFunc(fresh, compareResources)
	// Names are read from the text, so as few as can be are compared: what lies
	// between two fresh ones is in order, and has no equals.
	prev := q.prev.resources[kind]
	out := make([]resource, 0, len(prev)+len(fresh))
	keep := func(run []resource) {
		from := 0
		for i := range run {
			if q.isOld(run[i].src) {
				out = append(out, run[from:i]...)
				from = i + 1
			}
		}
		out = append(out, run[from:]...)
	}
	at := make([]int, len(fresh))
	for i, f := range fresh {
		n, found := slices.BinarySearchFunc(prev, f, compareResources)
		if found && !q.isOld(prev[n].src) || i > 0 && compareResources(fresh[i-1], f) == 0 {
			return false
		}
		keep(prev[:n])
		at[i] = len(out)
		prev, out = prev[n:], append(out, f)
	}
	keep(prev)
	c.resources[kind] = out
	if q.added == nil {
		q.added = map[string][]*resource{}
	}
	for _, i := range at {
		q.added[kind] = append(q.added[kind], &out[i])
	}
	return true
}

func compareResources(a, b resource) int {
	t1, l1 := a.names()
	t2, l2 := b.names()
	return cmp.Or(strings.Compare(t1, t2), strings.Compare(l1, l2))
}

// keepsWhatIsNamed reports whether all that the old sources declared is there
// still, with the attributes that others may name.
func (q *quick) keepsWhatIsNamed(changed []changedSource) bool {
	for _, ch := range changed {
		if ch.old == nil {
			continue
		}
		for i := 0; i < len(ch.old.blocks); i = int(ch.old.blocks[i].next) {
			was := resource{src: ch.old, row: uint32(i)}
			typ, label := was.names()
			is := q.l.c.find(ch.old.ident(ch.old.blocks[i].typ), typ, label)
			if is == nil {
				return false
			}
			for _, n := range []string{"grant", "expose_refresh_token"} {
				if was.argText(n) != is.argText(n) {
					return false
				}
			}
		}
	}
	return true
}

// argText is the text of a block's argument.
func (r *resource) argText(n string) string {
	b := r.block()
	for _, row := range r.src.attrs[b.attrs:b.attrsEnd] {
		if r.src.ident(row.name) == n {
			return r.src.cut(row.expr)
		}
	}
	return ""
}

// check evaluates the blocks of fresh sources. It is false where a cycle is
// possible, or a sink's path may be another's or tokend's own: the general way
// tells.
func (q *quick) check() bool {
	c := q.l.c
	k := &checker{l: q.l}
	readsBefore := len(c.reads.list())
	for _, kind := range []string{kindCredential, kindSink} {
		for _, res := range q.added[kind] {
			if kind == kindCredential && (c.chained || q.namesCredential(res)) {
				return false
			}
			k.block(kind, res)
		}
	}
	if q.ownsAny(k, readsBefore) {
		return false
	}
	q.l.report(k.diags...)
	rows := claimRows(c.seed, k.claims)
	merged := make([]claimRow, 0, len(q.prev.claims)+len(rows))
	for _, r := range q.prev.claims { // in order, as rows are
		if q.isOld(r.src) {
			continue
		}
		for len(rows) > 0 && rows[0].hash <= r.hash {
			merged, rows = append(merged, rows[0]), rows[1:]
		}
		merged = append(merged, r)
	}
	merged = append(merged, rows...)
	for i := 1; i < len(merged); i++ {
		if merged[i].hash == merged[i-1].hash {
			return false
		}
	}
	c.claims = merged
	return true
}

// namesCredential reports whether a credential block names a credential.
func (q *quick) namesCredential(res *resource) bool {
	plan := q.l.c.credentialPlan(res)
	found := false
	plan.form.walk(func(a *argument) {
		for _, r := range q.l.c.deepRefs(a.refs) {
			found = found || r.root() == kindCredential
		}
	})
	return found
}

// claimRow is where one sink instance writes, as a hash, and which file says so.
// A configuration has them in the order of the hashes.
type claimRow struct {
	hash uint64
	src  *source
}

func claimRows(seed maphash.Seed, claims []claim) []claimRow {
	out := make([]claimRow, 0, len(claims))
	for i := range claims {
		out = append(out, claimRow{hash: maphash.String(seed, claims[i].kind+"\x00"+claims[i].place()), src: claims[i].res.src})
	}
	slices.SortFunc(out, func(a, b claimRow) int { return cmp.Compare(a.hash, b.hash) })
	return out
}

// chains reports whether anything but a credential or a sink names a credential,
// so that a new reference could close a circle.
func (g *graph) chains() bool {
	for _, n := range g.list {
		if n.kind == kindCredential || n.kind == kindSink {
			continue
		}
		for _, e := range n.edges {
			if e.to.kind == kindCredential {
				return true
			}
		}
	}
	return false
}

// input is one file of a directory as it was found.
type input struct {
	File
	src   *source // of the previous configuration, where the file was not touched since
	stamp stamp
}
