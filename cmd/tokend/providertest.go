package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

const providerTestHelp = `Shows every request that the provider type of a credential makes for it, without
making any: what obtains a token, refreshes, verifies and revokes it, and the
type's actions. Neither network nor state nor secrets are needed: what is secret
is made up, and not shown.

Exit status: 0 all of them can be made, 1 not.`

func providerTestCommand(g *globals) *cobra.Command {
	return &cobra.Command{Use: "test ADDRESS", Short: "show a credential's requests without making them", Long: providerTestHelp, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		g.useCheckout(c.Context())
		a, err := parseCredential(args[0], "requests")
		if err != nil {
			return err
		}
		cfg, err := g.load(nil)
		if err != nil {
			return err
		}
		return dryRun(g.out, cfg, spec.Address(a))
	}}
}

// dryRun prints the requests of one credential.
func dryRun(w io.Writer, cfg *spec.Config, a spec.Address) error {
	cr, err := cfg.Credential(a)
	var unknown *spec.UnknownAddressError
	if errors.As(err, &unknown) {
		if of := instancesOf(cfg, a); len(of) > 0 {
			return &reconcile.NotFoundError{Address: string(a), Instances: of}
		}
		return withHint(fmt.Errorf("%s declares no %s", cfg.Dir(), a), "`tokend provider test` takes the address of a credential, such as coinify.trader; `tokend plan` shows them")
	}
	if err != nil {
		return err
	}
	if cr.Grant.Static {
		_, err := fmt.Fprintf(w, "%s makes no request: the grant %s of %s takes over what it is given.\n", a.Short(), cr.Grant.Name, cr.Type.Name)
		return err
	}
	p, err := cfg.Provider(cr.Provider, spec.Scope{})
	if err != nil {
		return err
	}
	p.Config = madeUp(p.Config, p.Type.Config)
	e, err := providers.NewEndpoint(p, providers.Options{MadeUpKeys: true})
	if err != nil {
		return err
	}
	defer e.Close()
	inputs, err := cfg.Inputs(a, nil, spec.Scope{})
	if err != nil {
		return err
	}
	call := providers.Call{
		Grant: cr.Grant.Name, Inputs: madeUp(inputs, cr.Grant.Inputs), Scopes: cr.Scopes, DefaultLifetime: cr.DefaultLifetime, Now: time.Now(),
		Flow: providers.Flow{State: "made-up-state", RedirectURI: cr.RedirectURI, Code: secret.New("made-up-code"), CodeVerifier: secret.New("made-up-verifier"), DeviceCode: secret.New("made-up-device-code")},
	}
	failed := 0
	for _, step := range stepsOf(e, cr, call) {
		text, err := step.show()
		switch {
		case errors.Is(err, providers.ErrNoEndpoint) && step.optional:
			continue
		case awaitsDiscovery(err):
			text = "its address is found by discovery, which asks the issuer and is not done here"
		case err != nil:
			failed++
			text = fmt.Sprintf("cannot be made: %v", err)
		}
		if _, err := fmt.Fprintf(w, "%s\n  %s\n\n", step.name, strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  "), "  \n", "\n")); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%s of %s cannot be made", countOf(failed, "request"), a.Short())
	}
	return nil
}

// awaitsDiscovery reports whether a request is not known before its issuer was
// asked.
func awaitsDiscovery(err error) bool {
	var e *providers.Error
	return errors.As(err, &e) && e.Class == providers.ClassTransient
}

// dryStep is one request that is shown.
type dryStep struct {
	name     string
	optional bool // a server need not have it
	show     func() (string, error)
}

// stepsOf lists the requests of a credential in the order of a token's life.
func stepsOf(e *providers.Endpoint, cr *spec.Credential, call providers.Call) []dryStep {
	var out []dryStep
	traits := e.Traits(call.Grant)
	held := call
	held.Token = providers.Token{
		AccessToken: secret.New("made-up-access-token"), RefreshToken: secret.New("made-up-refresh-token"), Header: secret.New("Bearer made-up-access-token"),
		TokenType: "bearer", HeaderName: traits.HeaderName,
	}
	prepare := func(name string, c providers.Call, op providers.Op, optional bool) {
		c.Op = op
		out = append(out, dryStep{name, optional, func() (string, error) {
			r, err := e.Prepare(c)
			if err != nil {
				return "", err
			}
			return r.Dump(), nil
		}})
	}
	switch {
	case traits.Device:
		prepare("login", call, providers.OpDevice, false)
		prepare("obtain", call, providers.OpExchange, false)
	case traits.Interactive:
		out = append(out, dryStep{name: "login", show: func() (string, error) {
			u, err := e.AuthorizeURL(call)
			return "GET " + u, err
		}})
		if !traits.Implicit {
			prepare("obtain", call, providers.OpExchange, false)
		}
	default:
		prepare("obtain", call, providers.OpGrant, false)
	}
	if traits.HasRefresh {
		prepare("refresh", held, providers.OpRefresh, false)
	}
	if cr.Verify != nil {
		c := held
		c.Path = cr.Verify.Path
		prepare("verify", c, providers.OpVerify, false)
	}
	if traits.HasRevoke {
		prepare("revoke", held, providers.OpRevoke, true)
	}
	for _, action := range cr.Type.Actions {
		c := held
		c.Action = action.Name
		prepare("action "+action.Name, c, providers.OpAction, false)
	}
	return out
}

// madeUp puts something in place of what only a secret or a token could say.
func madeUp(v spec.Values, fields []spec.Field) spec.Values {
	out := map[string]cty.Value{}
	for i := range fields {
		f := &fields[i]
		got, _ := v.Cty(f.Name).UnmarkDeep()
		if got == cty.NilVal || got.IsWhollyKnown() {
			if v.Has(f.Name) {
				out[f.Name] = v.Cty(f.Name)
			}
			continue
		}
		x := cty.StringVal("made-up-" + f.Name)
		switch t := f.Type; {
		case t == cty.Number:
			x = cty.NumberIntVal(1)
		case t == cty.Bool:
			x = cty.True
		case t.IsListType():
			x = cty.ListValEmpty(t.ElementType())
		case t.IsSetType():
			x = cty.SetValEmpty(t.ElementType())
		case t.IsMapType():
			x = cty.MapValEmpty(t.ElementType())
		}
		if f.Sensitive || spec.IsSensitive(v.Cty(f.Name)) {
			x = spec.Sensitive(x)
		}
		out[f.Name] = x
	}
	return spec.NewValues(out)
}

// instancesOf are the credentials of a block with for_each or count, as they are
// written on a command line.
func instancesOf(cfg *spec.Config, block spec.Address) []string {
	var of []string
	for _, a := range cfg.Credentials() {
		if strings.HasPrefix(string(a), string(block)+"[") {
			of = append(of, reconcile.ShellAddress(string(a)))
		}
	}
	return of
}
