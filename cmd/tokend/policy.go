package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/hooks"
	"tokend/pkg/policy"
	"tokend/pkg/providers"
	"tokend/pkg/sinks"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
)

// policyGate holds the host's policy, if there is one, for everyone who loads a
// configuration or acts by it. It is safe for concurrent use.
type policyGate struct {
	file  string // --policy; "": the default, when it is there
	shows bool   // a command that only shows: whose file it is does not matter

	mu      sync.Mutex
	asked   bool
	now     *policy.Policy // nil: nothing is limited
	broken  error          // why the file could not be read when it was read last
	checked *spec.Config   // the last configuration that it was found to allow
	by      *policy.Policy // what checked was allowed by
}

func (g *globals) policyFlag(c *cobra.Command) {
	c.Flags().StringVar(&g.policyFile, "policy", "", "`file` with what a configuration may do on this host (default "+policy.DefaultFile+", when it is there)")
}

// current is the policy in force; nil when nothing is limited.
func (l *policyGate) current() *policy.Policy {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// loadPolicy reads the policy, once; later calls say what came of it.
func (g *globals) loadPolicy() error {
	l := g.limit
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked {
		return l.broken
	}
	l.asked = true
	l.now, l.broken = g.readPolicy()
	return l.broken
}

// allowsState says whether the policy lets the configuration name a path of the
// state. It is asked about what a directory says that cannot be used.
func (g *globals) allowsState(path string) bool {
	if g.loadPolicy() != nil {
		return false // and nothing starts, in the end
	}
	p := g.limit.current()
	return p == nil || p.State(path) == nil
}

// reloadPolicy reads the policy anew. A broken one leaves the last in force.
func (g *globals) reloadPolicy() (changed bool, err error) {
	p, err := g.readPolicy()
	l := g.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && p == nil && l.now != nil {
		err = fmt.Errorf("the policy %s is gone; what it said stays in force until a restart", l.now.File())
	}
	if l.broken = err; err != nil || p.Same(l.now) {
		return false, err
	}
	l.now = p
	return true, nil
}

// policyPath is the file to read; "" when there is none.
func (g *globals) policyPath() string {
	if g.limit.file != "" {
		return g.limit.file
	}
	if _, err := os.Lstat(policy.DefaultFile); err == nil {
		return policy.DefaultFile
	}
	return ""
}

// policyWatched is the file whose changes matter, there or not.
func (g *globals) policyWatched() string {
	if abs, err := filepath.Abs(firstOf(g.limit.file, policy.DefaultFile)); err == nil {
		return abs
	}
	return policy.DefaultFile
}

// mendPolicy is what to do where there is no policy to read.
const mendPolicy = "write the policy there, or mend --policy; docs/policy.md has a whole one"

func (g *globals) readPolicy() (*policy.Policy, error) {
	file := g.policyPath()
	if file == "" {
		return nil, nil
	}
	if !g.limit.shows {
		err := policy.Trusted(file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, withHint(err, "%s", mendPolicy)
		}
		if err != nil {
			return nil, withHint(err, "nothing acts by a policy that others can change")
		}
	}
	dir, err := filepath.Abs(g.config)
	if err != nil {
		return nil, err
	}
	p, diags, err := policy.Load(file, policy.Options{Dir: dir, Path: g.getenv("PATH")})
	if err != nil {
		return nil, withHint(err, "%s", mendPolicy)
	}
	if diags.HasErrors() {
		diags = whereverNamed(diags)
		g.printDiagnostics(diags)
		return nil, withHint(fmt.Errorf("the policy %s cannot be used, %s: %s", file, countOf(errorCount(diags), "error"), g.diagnosticLines(diags)[0]), "mend what is marked above; without a policy that can be read nothing starts")
	}
	return p, nil
}

// whereverNamed are diagnostics of a file that is relative to the working directory, and
// not to that of the configuration.
func whereverNamed(diags hcl.Diagnostics) hcl.Diagnostics {
	out := make(hcl.Diagnostics, len(diags))
	for i, d := range diags {
		moved := *d
		if d.Subject != nil {
			at := *d.Subject
			at.Filename = absolute([]string{at.Filename})[0]
			moved.Subject = &at
		}
		out[i] = &moved
	}
	return out
}

// permitted loads a configuration and adds to what is wrong with it what the
// policy forbids.
func (g *globals) permitted(dir string, o spec.Options) (*spec.Config, spec.Diagnostics) {
	p := g.limit.current()
	if p == nil {
		return g.loadRevision(dir, o)
	}
	l := g.limit
	l.mu.Lock()
	checked, by := l.checked, l.by
	l.mu.Unlock()
	if by != p {
		o.Previous = nil // it may have read what may not be read any more
	}
	before := o.Previous
	if before != checked {
		before = nil
	}
	cfg, diags := g.loadRevision(dir, o)
	if diags.HasErrors() {
		return cfg, diags
	}
	o2 := newOrigins()
	defer o2.close()
	if forbidden := p.Check(cfg, before, o2.of); len(forbidden) > 0 {
		if o.Tried != nil {
			o.Tried(cfg.Reads())
		}
		return nil, append(diags, forbidden...)
	}
	l.mu.Lock()
	l.checked, l.by = cfg, p
	l.mu.Unlock()
	return cfg, diags
}

// origins finds where the requests of credentials go, as far as that is known
// without secrets.
type origins struct {
	endpoints map[spec.Address]*providers.Endpoint // nil: it cannot be told yet
}

func newOrigins() *origins { return &origins{map[spec.Address]*providers.Endpoint{}} }

func (o *origins) close() {
	for _, e := range o.endpoints {
		if e != nil {
			e.Close()
		}
	}
}

func (o *origins) of(c *spec.Config, a spec.Address) []string {
	want, err := c.Credential(a)
	if err != nil {
		return nil
	}
	e, known := o.endpoints[want.Provider]
	if !known {
		if p, err := c.Provider(want.Provider, spec.Scope{}); err == nil {
			e, _ = providers.NewEndpoint(p, providers.Options{}) // one that depends on a secret is asked about when it is used
		}
		o.endpoints[want.Provider] = e
	}
	if e == nil {
		return nil
	}
	inputs, err := c.Inputs(a, nil, spec.Scope{})
	if err != nil {
		return nil
	}
	given := map[string]cty.Value{}
	for _, n := range inputs.Names() {
		if v, _ := inputs.Cty(n).UnmarkDeep(); v.IsWhollyKnown() {
			given[n] = inputs.Cty(n)
		}
	}
	return e.KnownOrigins(want.Grant.Name, spec.NewValues(given)) // what is not known yet is asked about when it is
}

// allowRequest is asked before each request of a client: an endpoint outlives
// the policy under which it was opened.
func (l *policyGate) allowRequest(client *spec.HTTPSettings) func(typ, origin string) error {
	return func(typ, origin string) error {
		p := l.current()
		if p == nil {
			return nil
		}
		if err := p.Client(typ, *client); err != nil {
			return err
		}
		return p.Origin(typ, origin)
	}
}

// allowVault is asked where a Vault server sends a request on to another one.
func (l *policyGate) allowVault(address, namespace, serverName string) error {
	if p := l.current(); p != nil {
		return p.Vault(address, namespace, serverName)
	}
	return nil
}

// allowRead is asked before a file is read that a function or a sink names.
func (l *policyGate) allowRead(path string) error {
	if p := l.current(); p != nil {
		return p.Read(path)
	}
	return nil
}

// The kinds, each asked about again at the moment of use: by then what a
// configuration names may lead elsewhere, and a configuration that was accepted
// before may have met a stricter policy.

func (l *policyGate) sinks(kinds map[string]sinks.Sink) map[string]sinks.Sink {
	for name, kind := range kinds {
		kinds[name] = limitedSink{kind, name, l}
	}
	return kinds
}

type limitedSink struct {
	sinks.Sink
	kind  string
	limit *policyGate
}

// Becomes implements [sinks.Overtaker].
func (s limitedSink) Becomes(d sinks.Desired) string { return sinks.Becomes(s.Sink, d) }

// Render is asked before every look and every write.
func (s limitedSink) Render(args spec.Values) (sinks.Desired, error) {
	if p := s.limit.current(); p != nil {
		if err := p.Sink(s.kind, args); err != nil {
			return sinks.Desired{}, fmt.Errorf("%w: %w", sinks.ErrPermanent, err)
		}
	}
	return s.Sink.Render(args)
}

func (l *policyGate) sources(kinds map[string]sources.Source) map[string]sources.Source {
	for name, kind := range kinds {
		kinds[name] = limitedSource{kind, name, l}
	}
	return kinds
}

type limitedSource struct {
	sources.Source
	kind  string
	limit *policyGate
}

// Read is the kind's own, of what may be read.
func (s limitedSource) Read(ctx context.Context, args spec.Values) (cty.Value, error) {
	if p := s.limit.current(); p != nil {
		if err := p.Secret(s.kind, args); err != nil {
			return cty.NilVal, err
		}
	}
	return s.Source.Read(ctx, args)
}

func (l *policyGate) hooks(kinds map[string]hooks.Hook) map[string]hooks.Hook {
	for name, kind := range kinds {
		kinds[name] = limitedHook{kind, name, l}
	}
	return kinds
}

type limitedHook struct {
	hooks.Hook
	kind  string
	limit *policyGate
}

// Run is the kind's own, of what may be run.
func (h limitedHook) Run(ctx context.Context, args spec.Values, changed []spec.Address) error {
	if p := h.limit.current(); p != nil {
		if err := p.Hook(h.kind, args); err != nil {
			return err
		}
	}
	return h.Hook.Run(ctx, args, changed)
}

// policyView is how the policy does, for status.
type policyView struct {
	File  string `json:"file"`
	Error string `json:"error,omitempty"` // why the file, as it is now, is not in force
}

func (l *policyGate) view() *policyView {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil && l.broken == nil {
		return nil
	}
	v := &policyView{File: l.file}
	if l.now != nil {
		v.File = l.now.File()
	}
	if l.broken != nil {
		v.Error = l.broken.Error()
	}
	return v
}

// repolicy takes a changed policy over, and has everything looked at by it.
func (d *service) repolicy(ctx context.Context) {
	if d.g.limit == nil {
		return
	}
	changed, err := d.g.reloadPolicy()
	if err != nil {
		d.log.Error("the policy cannot be used; the last one stays in force", "error", err)
		return
	}
	if !changed {
		return
	}
	d.log.Info("policy taken over", "file", d.g.limit.current().File())
	_ = d.tryReload(ctx, reloadOptions{}) // which is in the log
	d.pool.Changed()
	d.touched(ctx, nil, true)
}

// errForeignPolicy: a daemon has a policy of its own.
func errForeignPolicy() error {
	return withHint(errors.New("a daemon answers, which has a policy of its own"), "leave --policy out to ask that daemon; `tokend validate --policy FILE` checks by another one")
}

// isForbidden: what a policy forbids is told with its rule, also in one line.
func isForbidden(d *hcl.Diagnostic) bool { return d.Summary == policy.Summary }
