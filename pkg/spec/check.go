package spec

import (
	"fmt"
	"net"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// checker checks blocks; each worker has one, so that they share nothing but
// the Config, which does not change any more.
type checker struct {
	l      *loader
	diags  Diagnostics
	claims []claim

	accounts []accountClaim
	readings []reading // files that blocks name in order to read them

	requests *requestCheck // nil until the first credential
	row      *Declared     // of the block at hand; nil: not asked for
	ev       *evaluator    // see evaluator; nil: not made yet
	digester *digester     // of rows; likewise
	section  *loader       // gathers what is wrong with one instance
	uses     []Address     // of the last row: the next often names the same
	provider Address       // likewise
}

// evaluator is one without secrets and tokens, for one block after the other:
// whatever it remembers is the same for all of them.
func (k *checker) evaluator() *evaluator {
	if k.ev == nil {
		k.ev = k.l.c.evaluator(Scope{})
	}
	return k.ev
}

// claim says where a sink writes.
type claim struct {
	what string
	real string // of a file: what, with links to its directory followed; "" where there are none
	kind string
	res  *resource
	addr Address
	at   hcl.Range
}

// place is the same for two claims of one place.
func (c *claim) place() string {
	if c.real != "" {
		return c.real
	}
	return c.what
}

func (k *checker) report(diags ...*hcl.Diagnostic) { k.diags = append(k.diags, diags...) }

// checkers is how many goroutines check blocks.
const checkers = 2

// batch is how many blocks a checker takes at a time: neighbours in a file.
const batch = 64

// checkBlocks evaluates every block with unknown secrets and tokens.
func (l *loader) checkBlocks() {
	type job struct {
		kind string
		list []resource
		rows []Declared // of the list; nil: not asked for
	}
	l.prepare()
	jobs := make(chan job)
	all := make([]*checker, checkers)
	var wg sync.WaitGroup
	for i := range all {
		k := &checker{l: l}
		all[i] = k
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := range jobs {
				for i := range j.list {
					if k.row = nil; j.rows != nil {
						k.row = &j.rows[i]
					}
					k.safely(j.kind, &j.list[i])
				}
			}
		}()
	}
	for _, kind := range []string{kindVault, kindSecret, kindHook, kindCredential, kindSink} {
		list, rows := l.c.resources[kind], l.c.ahead.rowsOf(l.c, kind)
		for len(list) > 0 {
			n := min(batch, len(list))
			j := job{kind, list[:n], nil}
			list = list[n:]
			if rows != nil {
				j.rows, rows = rows[:n], rows[n:]
			}
			jobs <- j
		}
	}
	close(jobs)
	wg.Wait()
	n := 0
	for _, k := range all {
		n += len(k.claims)
	}
	claims := make([]claim, 0, n)
	readings := l.readings
	var accounts []accountClaim
	for _, k := range all {
		l.report(k.diags...)
		accounts = append(accounts, k.accounts...)
		claims, readings = append(claims, k.claims...), append(readings, k.readings...)
	}
	l.prepared()
	own := l.newOwnFiles()
	if !l.o.WasInForce {
		own.resolve(claims)
	}
	l.checkClaims(claims)
	l.checkAccounts(accounts)
	l.checkOwn(own, claims, readings)
	l.c.claims = claimRows(l.c.seed, claims)
}

// safely is block, with a panic made a diagnostic: a directory that anybody can
// push to must not be able to end the daemon.
func (k *checker) safely(kind string, res *resource) {
	defer func() {
		if recover() != nil {
			k.ev, k.digester, k.section = nil, nil, nil // they were left in the middle of something
			k.report(problem(res.header(), evaluatorFailed, "Checking this block failed inside tokend. Write it in simpler steps, with locals, and report it."))
		}
	}()
	k.block(kind, res)
}

func (k *checker) block(kind string, res *resource) {
	if k.l.bad[res] {
		return
	}
	if kind == kindCredential {
		k.credential(res)
		return
	}
	p := k.l.c.blockPlan(kind, res)
	k.report(p.diags...)
	if p.schema == nil {
		k.namesAlone(kind, res, p.form)
		return
	}
	failed := map[*argument]bool{}
	sink := &sinkCheck{k: k, plan: p}
	k.instances(kind, res, func(in *instance, first bool) {
		m, diags := k.evaluator().args(p.form, p.schema, in, &selectArgs{check: true, varying: !first, failed: failed})
		k.report(diags...)
		k.readings = k.l.c.noteReadings(p.schema, in.address(), m, k.readings)
		switch kind {
		case kindSink:
			sink.instance(in, m, first, diags.HasErrors())
			k.claim(p, res, in, m)
			k.note(kind, in, p.form, p.uses, p.useRefs)
		case kindVault:
			k.vault(p, m)
			if k.l.o.CheckContents {
				k.report(absentFiles(p.form, p.schema, m, p.form.title())...)
			}
		}
	})
}

// namesAlone checks what the arguments of a block name whose kind, type or
// grant is not known, so that nothing else can be said of them.
func (k *checker) namesAlone(kind string, res *resource, f *form) {
	k.instances(kind, res, func(in *instance, first bool) {
		if !first {
			return
		}
		ev := k.l.c.evaluator(Scope{})
		for i := range f.args {
			if a := &f.args[i]; !isMeta(a.name) && a.name != "grant" {
				k.report(k.l.c.checkRefs(ev, a, in)...)
			}
		}
	})
}

// instances calls f for each instance; for a block that has none, once with a
// made-up one, so that its mistakes are found all the same.
func (k *checker) instances(kind string, res *resource, f func(in *instance, first bool)) {
	if res.insts != nil && res.insts.len() == 0 {
		typ, label := res.names()
		set := &instances{kind: res.insts.kind, keys: []string{"key"}, n: 1, vals: []cty.Value{cty.DynamicVal}, guess: true}
		if of := res.insts.of; of != nil {
			set.vals = nil
			set.of = &instancesOf{kind: of.kind, typ: of.typ, label: of.label, set: &instances{kind: strKey, keys: set.keys}}
		}
		f(&instance{kind: kind, typ: typ, label: label, key: set.key(0), set: set}, true)
		return
	}
	first := true
	k.l.c.each(kind, res, func(in *instance) {
		f(in, first)
		first = false
	})
}

func (k *checker) vault(p *blockPlan, m map[string]cty.Value) {
	if _, ok := m[authBlock]; ok {
		return
	}
	for _, b := range p.form.blocks {
		if b.typ == authBlock || b.typ == "dynamic" {
			return
		}
	}
	k.report(absence(problem(p.form.header(), "Missing block auth", `%s needs a block that says how to log in: auth "approle" { … }, or one of %s.`,
		p.form.title(), quoted(sortedKeys(k.l.c.auths))), ""))
}

// credential checks a credential block and its instances.
func (k *checker) credential(res *resource) {
	c := k.l.c
	p := c.credentialPlan(res)
	k.report(p.diags...)
	switch {
	case p.typ == nil:
		k.namesAlone(kindCredential, res, p.form)
		return
	case p.schema == nil:
		k.grantUnknown(p, res)
		return
	}
	if k.section == nil {
		k.section = &loader{c: c}
	}
	failed := map[*argument]bool{}
	requests := &credentialRequests{k: k, p: p}
	accounts := k.accountsOf(p, res)
	varyingInputs := false
	for i := range p.form.args {
		varyingInputs = varyingInputs || p.form.args[i].varies()
	}
	k.instances(kindCredential, res, func(in *instance, first bool) {
		if !first && !p.varies && !varyingInputs {
			accounts.instance(in, nil, false)
			return
		}
		ev := k.evaluator()
		m, diags := ev.args(p.form, p.schema, in, &selectArgs{check: true, varying: !first, failed: failed})
		k.report(diags...)
		requests.instance(in, m, first, diags.HasErrors())
		if !first && (!p.varies || diags.HasErrors()) {
			accounts.instance(in, m, false)
			return
		}
		given := m
		if !first {
			m, _ = ev.args(p.form, p.schema, in, &selectArgs{names: c.static})
		}
		// Bounds are looked at even where something else is wrong: what has no
		// value is not among the arguments.
		k.section.diags = nil
		cr := c.readCredential(p, section{l: k.section, f: p.form, v: NewValues(m), in: in})
		k.report(k.section.diags...)
		k.grantNeeds(p, &cr)
		if accounts != nil {
			accounts.provider = cr.Provider
			accounts.instance(in, given, first)
		}
		if d := k.note(kindCredential, in, p.form, p.uses, p.useRefs); d != nil {
			if k.provider != cr.Provider {
				k.provider = cr.Provider
			}
			d.Provider, d.Direct = k.provider, cr.Direct()
		}
		if first {
			k.callback(p, &cr)
			k.shutdown(p, &cr, m, diags.HasErrors())
		}
	})
}

// callback warns of a login whose redirect would come to where nobody listens.
func (k *checker) callback(p *credentialPlan, cr *Credential) {
	s := k.l.c.settings
	if p.grant.Authorize == nil || cr.RedirectURI != defaultCallback || s.PublicURL != "" || s.Listen == "" {
		return
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || port == defaultCallbackPort {
		return
	}
	d := problem(p.form.header(), "Redirect to another port", "A login of %s is redirected to %s, since there is no public_url, but listen is %s.", p.form.title(), defaultCallback, s.Listen)
	d.Severity = hcl.DiagWarning
	k.report(hinted(d, `set public_url in the tokend block, or redirect_uri here, to the address that the provider knows; or log in with --paste`))
}

// grantNeeds checks common arguments that only some grants can do with.
func (k *checker) grantNeeds(p *credentialPlan, cr *Credential) {
	if p.grant.Static {
		for _, n := range []string{"scopes", "redirect_uri", "default_lifetime", "expose_refresh_token"} {
			if a := p.form.arg(n); a != nil && p.grant.input(n) == nil {
				k.report(problem(a.nameRange, "Argument without effect", "The grant %s of %s is static: nothing is obtained, so that %s has no meaning. Leave it out.", p.grant.Name, p.typ.Name, n))
			}
		}
	}
}

func (g *GrantType) input(n string) *Field {
	for i := range g.Inputs {
		if g.Inputs[i].Name == n {
			return &g.Inputs[i]
		}
	}
	return nil
}

// unique lists the arguments that say where a sink is: those that the schema
// names, else a path, and with it the server that it is on.
func (s *Schema) unique() []string {
	if len(s.Unique) > 0 || s.attr("path") == nil {
		return s.Unique
	}
	var out []string
	for _, n := range []string{"vault", "mount", "path"} {
		if s.attr(n) != nil {
			out = append(out, n)
		}
	}
	return out
}

// claim notes where a sink instance writes.
func (k *checker) claim(p *blockPlan, res *resource, in *instance, m map[string]cty.Value) {
	unique := p.schema.unique()
	if len(unique) == 0 {
		return
	}
	what := ""
	path := len(unique) == 1 && unique[0] == "path"
	for _, n := range unique {
		v, ok := m[n]
		if !ok {
			a := p.form.arg(n)
			if a == nil {
				what += "\x00"
				continue
			}
			if a.expr == nil || a.varies() {
				return // it could not be evaluated, which is reported
			}
			got, diags := k.evaluator().arg(a, p.schema.attr(n), in, &selectArgs{})
			if diags.HasErrors() {
				return
			}
			v = got
		}
		u, _ := v.Unmark()
		if !u.IsKnown() || u.IsNull() || u.Type() != cty.String {
			return
		}
		if path {
			what = k.l.c.abs(u.AsString())
		} else {
			what += u.AsString() + "\x00"
		}
	}
	kind := in.typ
	if path {
		kind = "" // a path of one kind collides with that of another
	}
	if k.claims == nil {
		// There may be very many, and growing takes several times as much.
		n := len(k.l.c.resources[kindSink]) / checkers
		if res.insts != nil {
			n = max(n, res.insts.len())
		}
		k.claims = make([]claim, 0, n+n/8)
	}
	k.claims = append(k.claims, claim{what: what, kind: kind, res: res, addr: in.address(), at: rangeIn(p.form, unique[len(unique)-1])})
}

// checkClaims reports sinks that write to one place.
func (l *loader) checkClaims(claims []claim) {
	type place struct{ kind, what string }
	first := make(map[place]int, len(claims))
	for i := range claims {
		at := place{claims[i].kind, claims[i].place()}
		j, taken := first[at]
		if !taken {
			first[at] = i
			continue
		}
		a, b := &claims[j], &claims[i]
		if b.at.Filename < a.at.Filename || b.at.Filename == a.at.Filename && b.at.Start.Byte < a.at.Start.Byte || a.at == b.at && b.addr < a.addr {
			a, b = b, a
		}
		d := problem(b.at, "Two sinks with one path", "%s writes where %s writes already (%s:%d). Give each sink a place of its own.",
			b.addr, a.addr, a.at.Filename, a.at.Start.Line)
		if a.what != b.what {
			d.Detail = fmt.Sprintf("%s writes to %s and %s (%s:%d) to %s, which are the same file: a directory on the way is a link. Give each sink a place of its own.",
				b.addr, b.what, a.addr, a.at.Filename, a.at.Start.Line, a.what)
		} else if a.res == b.res {
			key := "each.key"
			if a.res.insts.kind == numKey {
				key = "count.index"
			}
			d.Detail = fmt.Sprintf("%s writes where %s writes already. Let the path depend on %s.", b.addr, a.addr, key)
		}
		l.report(d)
	}
}

// defaultVault is the only vault that is declared.
func (c *Config) defaultVault(f *form, required bool) (Address, *hcl.Diagnostic) {
	list := c.resources[kindVault]
	if len(list) == 1 {
		_, label := list[0].names()
		return name(kindVault, "", label, instKey{}), nil
	}
	if !required {
		return "", nil
	}
	if len(list) == 0 {
		return "", absence(problem(f.header(), "No vault declared", `%s needs a Vault server. Declare one with vault "NAME" { address = …, auth … }.`, f.title()), "vault")
	}
	return "", problem(f.header(), "Missing argument", "Several vaults are declared, so that %s must say which: vault = vault.NAME.%s", f.title(),
		didYouMean("", c.blockNames(kindVault, "")))
}

func (c *Config) unknownKind(kind, typ string, at hcl.Range) *hcl.Diagnostic {
	if kind == kindSink && contains(ReservedNames().Sinks, typ) {
		return problem(at, "Reserved kind of sink", "Sinks of kind %q are reserved for a later version.", typ)
	}
	return problem(at, "Unknown kind of "+kind, "There is no kind of %s named %q.%s", kind, typ, didYouMean(typ, sortedKeys(c.kinds[kind])))
}

func (c *Config) isJSON(fileName string) bool {
	s := c.source(fileName, false)
	return s != nil && s.json
}
