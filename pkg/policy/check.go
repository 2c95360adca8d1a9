package policy

import (
	"errors"
	"fmt"
	"sort"

	"github.com/hashicorp/hcl/v2"

	"tokend/pkg/spec"
)

// Origins lists the origins that a credential's requests can go to, as far as
// they are known without secrets.
type Origins func(c *spec.Config, credential spec.Address) []string

// Summary is that of every diagnostic of [Policy.Check].
const Summary = "Forbidden by the host's policy"

// check is one look at one configuration.
type check struct {
	p    *Policy
	c    *spec.Config
	said refusals
}

// Check says what of a configuration the policy forbids. before is one that was
// checked by the same policy, of which only what changed is looked at; nil: all
// is.
func (p *Policy) Check(c, before *spec.Config, origins Origins) hcl.Diagnostics {
	k := &check{p: p, c: c}
	k.settings()
	k.types()
	for _, a := range c.Vaults() {
		k.vault(a)
	}
	for _, a := range c.Secrets() {
		k.block(a, c.Secret, p.Secret)
	}
	for _, a := range c.Hooks() {
		k.block(a, c.Hook, p.Hook)
	}
	for _, a := range c.Providers() {
		k.provider(a)
	}
	for _, a := range k.changed(before) {
		switch a.Kind() {
		case "sink":
			if s, err := c.Sink(a); err == nil {
				k.forbid(a, p.Sink(s.Kind, s.Static))
			}
		case "credential":
			k.credential(a, origins)
		}
	}
	diags := k.said.diagnostics()
	sort.SliceStable(diags, func(i, j int) bool { return earlier(diags[i].Subject, diags[j].Subject) })
	return diags
}

func earlier(a, b *hcl.Range) bool {
	switch {
	case a == nil || b == nil:
		return a == nil && b != nil
	case a.Filename != b.Filename:
		return a.Filename < b.Filename
	}
	return a.Start.Byte < b.Start.Byte
}

func (k *check) changed(before *spec.Config) []spec.Address {
	if before == nil {
		return append(k.c.Credentials(), k.c.Sinks()...)
	}
	changed, _ := k.c.Changed(before)
	return changed
}

// forbid reports an error that says that something is forbidden.
func (k *check) forbid(a spec.Address, err error) {
	var v *Violation
	if !errors.As(err, &v) {
		return
	}
	k.said.add(k.c.Place(a, v.Arg), string(a), v.Why)
}

// block asks about a secret or a hook, with what is known without secrets.
func (k *check) block(a spec.Address, eval func(spec.Address, spec.Scope) (*spec.Block, error), ask func(string, spec.Values) error) {
	if b, err := eval(a, spec.Scope{}); err == nil {
		k.forbid(a, ask(b.Kind, b.Args))
	}
}

func (k *check) vault(a spec.Address) {
	b, err := k.c.Vault(a, spec.Scope{})
	if err != nil {
		return
	}
	k.asked(a, k.p.vault(b))
}

// asked reports what is forbidden of what a block uses.
func (k *check) asked(a spec.Address, all []asked) {
	for _, q := range all {
		if q.arg == "" {
			k.forbid(a, q.err)
		} else {
			k.nested(a, q.arg, q.err)
		}
	}
}

// nested reports a violation at the block that is nested in another.
func (k *check) nested(a spec.Address, arg string, err error) {
	var v *Violation
	if errors.As(err, &v) {
		k.said.add(k.c.Place(a, arg), string(a), v.Why)
	}
}

func (k *check) provider(a spec.Address) {
	p, err := k.c.Provider(a, spec.Scope{})
	if err != nil {
		return
	}
	k.asked(a, k.p.client(p.Type.Name, p.HTTP))
}

// credential asks about the origins of a credential's requests.
func (k *check) credential(a spec.Address, origins Origins) {
	if origins == nil {
		return
	}
	c, err := k.c.Credential(a)
	if err != nil {
		return
	}
	for _, o := range origins(k.c, a) {
		err := k.p.Origin(c.Type.Name, o)
		var v *Violation
		if !errors.As(err, &v) {
			continue
		}
		at := k.c.Place(c.Provider, "base_url")
		if at == nil {
			at = k.c.Place(a, "provider")
		}
		k.said.add(at, string(a), v.Why)
	}
}

// types asks about the provider types that the directory itself declares.
func (k *check) types() {
	own := k.c.Files()
	for _, t := range k.c.ProviderTypes() {
		if _, ok := own[t.DeclRange.Filename]; !ok {
			continue
		}
		var v *Violation
		if errors.As(k.p.Type(t.Name), &v) {
			at := t.DeclRange
			k.said.add(&at, fmt.Sprintf("provider_type %q", t.Name), v.Why)
		}
	}
}

// settings asks about those of the tokend block that a push could do harm by.
func (k *check) settings() {
	s := k.c.Settings().State
	for _, path := range []string{s.Path, s.KeyFile} {
		if path == "" {
			continue
		}
		var v *Violation
		if errors.As(k.p.State(path), &v) {
			k.said.add(nil, "tokend { state { … } }", v.Why)
		}
	}
	if s.SystemdCredential != "" {
		var v *Violation
		if errors.As(k.p.StateKey(s.SystemdCredential), &v) {
			k.said.add(nil, "tokend { state { systemd_credential } }", v.Why)
		}
	}
	if s.Transit != nil {
		var v *Violation
		if errors.As(k.p.Mount(s.Transit.Mount), &v) {
			k.said.add(nil, "tokend { state { transit { … } } }", v.Why)
		}
	}
}
