package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// observed is what one look at a credential found.
type observed struct {
	in     Input
	scope  spec.Scope
	digest [16]byte
	// ep is the endpoint that the configuration wants it from; nil when it is
	// not declared.
	ep *openEndpoint
	// held is the endpoint that issued the token in force.
	held *openEndpoint
	// retired are those that issued what is given up.
	retired []*openEndpoint
	// hashes are those of the inputs that the configuration gives and that are
	// known without reading a secret.
	hashes map[string]string
	// had is the access token of the grant in force, as it was read.
	had secret.Text
	// hadUntil is when that ends.
	hadUntil time.Time
	// resettled: its record keeps other lifecycle settings than those that count.
	resettled  bool
	endsAtStop bool // it shall be revoked when the daemon stops, and was not to be
	// returned: its removal had begun, and it is declared again.
	returned bool
	// clockSet: its times were moved, since the clock was set.
	clockSet bool
	// changes counts those of what calls are made by, before this look: see [unmade].
	changes uint64
	// brings is a refresh token that is to be taken over and is still being read.
	brings *secretRead
	// unsure are inputs of which it is not known whether they changed, since no
	// secret was read.
	unsure []string
}

// observe gathers what deciding about a credential needs: its record, what the
// configuration says, what its sinks hold. It changes nothing.
func (w *worker) observe(ctx context.Context, j *job) (*observed, error) {
	ob := &observed{in: Input{
		Now: j.now, Address: j.addr, Spread: fraction(j.addr, w.o.Host),
		Guarded: j.guarded, Quiet: j.quiet, Unsettled: j.unsettled, Holding: j.holding, Unknown: j.waiting, Telling: j.telling, Untried: j.untried, Stuck: j.stuck, Needed: j.needed,
		Forgotten: j.cfg == nil && j.force != nil && j.force.Forgets(spec.Address(j.addr)), Turn: j.turn, Reading: readingsOf(j.waits),
	}}
	in := &ob.in
	ob.changes, in.Anew = w.unmade.now(), !w.unmade.tried(j.addr)
	if j.order != nil {
		in.Order = j.order.order
	}
	rec, intent, err := w.store.Credential(ctx, j.addr)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return ob, err // which says what could not be read
	}
	rec.Head.Address, rec.Head.Kind = j.addr, state.KindCredential
	if rec.Head.Generation == 0 {
		if in.Former, err = w.former(ctx, j); err != nil {
			return ob, err
		}
	}
	ob.clockSet = withClock(&rec, j.clockStep, j.now)
	in.Record, in.Intent = rec, intent
	if rec.Grant != nil {
		if f := rec.Failure; f != nil && f.Op == opGrant {
			in.RefreshFailure = overAfterSetBack(j.refreshes, j.now)
		}
		ob.had, ob.hadUntil, in.Repeats = rec.Grant.AccessToken, rec.Grant.ExpiresAt, j.repeats
		in.Dying = knownDead(&rec, rec.Grant) && w.tokens.dying(rec.Grant)
	}
	if j.cfg != nil {
		if err := w.observeWanted(ctx, j, ob); err != nil {
			return ob, err
		}
	} else if j.last != nil && rec.Removing == nil { // what a removal began by, it goes on by
		in.Record.Lifecycle = lastLifecycle(j, in.Record.Lifecycle)
	}
	if err := w.observeHeld(ctx, ob); err != nil {
		return ob, err
	}
	if err := w.observeSession(ctx, j, ob); err != nil {
		return ob, err
	}
	ob.takeLifecycle(rec.Lifecycle, j.allowed)
	if in.Want != nil && in.Record.Grant != nil {
		in.Verify = in.Want.Verify
		// Of those whose tokens are as old as each other, another one is asked first each time.
		spread := fraction(j.addr, w.o.Host, strconv.FormatUint(in.Record.Grant.Generation, 10))
		in.Measured = startMeasuring(j.measured, &in.Record, in.Verify, j.now, spread)
		in.Measured.next = in.verifyAt()
	}
	if in.Intent != nil {
		in.SinceIntent, in.SinceIntentOK = w.elapsed(in.Intent)
	}
	return ob, nil
}

// observeWanted adds what the configuration says of it.
func (w *worker) observeWanted(ctx context.Context, j *job, ob *observed) error {
	in := &ob.in
	addr := spec.Address(j.addr)
	want, err := j.cfg.Credential(addr)
	if err != nil {
		return err
	}
	in.Declared, in.Want = true, want
	ob.scope = w.scope(ctx, j.cfg)
	if j.noSecrets {
		ob.scope.Secret = nil
	}
	ob.digest, _ = j.cfg.Digest(addr)
	if ob.ep, err = w.endpoints.configured(j.cfg, want.Provider, ob.scope); err != nil {
		return err
	}
	in.Traits = traitsOf(ob.ep.ep, want.Grant.Name)
	in.Record.Lifecycle = lifecycleOf(want.Lifecycle)
	ob.returned, in.Record.Removing = in.Record.Removing != nil, nil
	if f := in.Record.Failure; f != nil && len(f.InputHash) > 0 {
		in.Fresh = w.inputsChanged(j, ob, f.InputHash)
		w.observeAccount(ctx, ob, j.now)
	}
	if err := w.observeImport(ctx, j, ob); err != nil {
		return err
	}
	g := in.Record.Grant
	if g == nil {
		return nil
	}
	watched := watchedSecrets(want, g)
	if in.Record.Head.Digest == ob.digest && !in.Traits.Static && len(watched) == 0 {
		// The configuration says what it said, but the issuer may name other
		// addresses by now.
		if ob.ep.ep.Traits(want.Grant.Name).Discovers {
			return w.observeOrigins(ctx, j, ob, g)
		}
		return nil
	}
	// That another grant is wanted is known without its secrets, and where they
	// cannot be read the token in force is looked after all the same.
	static := in.Traits.Static && !j.noSecrets && g.GrantType == want.Grant.Name
	if ob.hashes, err = w.hashInputs(j, ob, static); err != nil {
		return err
	}
	if len(watched) > 0 && !static {
		w.hashWatched(j, ob, watched)
	}
	in.WantsNew = changedInputs(g, want, ob.hashes, static)
	if in.Traits.Static && j.noSecrets {
		ob.unsure = deferred(want)
	}
	for _, in := range want.Inputs {
		if g.InputHashes[in.Name] == unknownHash && !in.Deferred && in.OnChange == spec.OnChangeReplace {
			ob.unsure = append(ob.unsure, in.Name)
		}
	}
	return w.observeOrigins(ctx, j, ob, g)
}

// observeOrigins notices that the wanted grant would be asked from another
// address than the one that issued the token in force.
func (w *worker) observeOrigins(ctx context.Context, j *job, ob *observed, g *state.Grant) error {
	if len(g.Origins) == 0 {
		return nil
	}
	if g.Origins[0] == unknownHash { // they were not exported
		ob.unsure = append(ob.unsure, "the address of its API")
		return nil
	}
	want := ob.in.Want
	inputs, err := j.cfg.Inputs(spec.Address(j.addr), known(want), spec.Scope{})
	if err != nil {
		return err
	}
	discovers := ob.ep.ep.Traits(want.Grant.Name).Discovers
	if discovers && !j.dry {
		// Reading an issuer's metadata spends nothing. Where it fails the
		// addresses are not known, which is no change of them.
		_ = w.discover(ctx, j, ob.ep.ep, want.Grant.Name, inputs, nil)
	}
	origins, err := ob.ep.ep.Origins(want.Grant.Name, inputs)
	if err != nil && discovers {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the addresses that %s asks: %w", j.addr, err)
	}
	if ob.in.Traits.Static && len(origins) == 0 {
		return nil // it asks nobody
	}
	sort.Strings(origins)
	elsewhere := func(o string) bool { return !slices.Contains(g.Origins, o) }
	// An issuer may stop naming an address, to which then nothing is sent.
	if !slices.Equal(origins, g.Origins) && (!discovers || slices.ContainsFunc(origins, elsewhere)) {
		ob.in.Origins = fmt.Sprintf("its API's address changed from %s to %s", strings.Join(g.Origins, ", "), strings.Join(origins, ", "))
	}
	return nil
}

// known are the inputs whose value needs neither a secret nor another
// credential.
func known(c *spec.Credential) []string {
	names := []string{}
	for _, in := range c.Inputs {
		if !in.Deferred {
			names = append(names, in.Name)
		}
	}
	return names
}

// deferred are the inputs that were given and are known only once a secret or
// another credential was read.
func deferred(c *spec.Credential) []string {
	var names []string
	for _, in := range c.Inputs {
		if in.Given && in.Deferred {
			names = append(names, in.Name)
		}
	}
	return names
}

// observeHeld adds what is known of the endpoints that issued what is held.
func (w *worker) observeHeld(ctx context.Context, ob *observed) error {
	in := &ob.in
	if g := in.Record.Grant; g != nil {
		held, err := w.endpointOf(ctx, ob, g)
		if err != nil {
			return err
		}
		if held == ob.ep && in.Traits.Static && len(g.Origins) > 0 {
			// A grant that asked somebody is no key because its type says so by now:
			// what it obtained is given up as the type said that issued it.
			if held, err = w.endpoints.recorded(ctx, g.Endpoint); err != nil {
				return err
			}
		}
		ob.held, in.Held = held, traitsOf(held.ep, g.GrantType)
		if g.RefreshState == state.RefreshIndeterminate && !singleUse(in.Held, g) {
			// A restored copy is in doubt of all that is not known to stay the same;
			// the provider type knows that this one does.
			g.RefreshState = state.RefreshUsable
		}
	}
	for i := range in.Record.Retiring {
		g := &in.Record.Retiring[i]
		held, err := w.endpointOfRetired(ctx, ob, g)
		if err != nil {
			return err
		}
		ob.retired = append(ob.retired, held)
		in.RetiredTraits = append(in.RetiredTraits, traitsOf(held.ep, g.GrantType))
	}
	return nil
}

// endpointOf is the endpoint to ask about a grant: the configured one while it
// asks the same addresses (so that a mended provider type applies), else the
// one that issued it, which the state keeps.
func (w *worker) endpointOf(ctx context.Context, ob *observed, g *state.Grant) (*openEndpoint, error) {
	if ob.ep != nil && ob.in.Want != nil && ob.in.Want.Type.Name == g.Type && ob.in.Origins == "" && ob.in.Want.Grant.Name == g.GrantType {
		return ob.ep, nil
	}
	return w.endpoints.recorded(ctx, g.Endpoint)
}

// endpointOfRetired is the endpoint to ask about a grant that is given up. What
// is in force since may have come from other addresses, to which nothing of it
// is sent.
func (w *worker) endpointOfRetired(ctx context.Context, ob *observed, g *state.Grant) (*openEndpoint, error) {
	ep, err := w.endpointOf(ctx, ob, g)
	if err != nil || ep != ob.ep || len(g.Origins) == 0 {
		return ep, err
	}
	inputs, err := spec.OpenValues(g.Inputs)
	if err != nil {
		return nil, err
	}
	origins, err := ep.ep.Origins(g.GrantType, inputs)
	sort.Strings(origins)
	if err == nil && slices.Equal(origins, g.Origins) {
		return ep, nil
	}
	return w.endpoints.recorded(ctx, g.Endpoint)
}

func traitsOf(ep Endpoint, grant string) Traits {
	t := ep.Traits(grant)
	return Traits{
		Interactive: t.Interactive, Static: t.Static, Lockout: t.Lockout, HasRefresh: t.HasRefresh, HasRevoke: t.HasRevoke,
		RevokeOn: t.RevokeOn, RevokeNeeds: t.RevokeNeeds, RevokeNamesAccess: t.RevokeNamesAccess, RevokeNamesRefresh: t.RevokeNamesRefresh, Rotates: t.Rotates, ReplayWindow: t.ReplayWindow,
		InvalidatesAccessToken: t.InvalidatesAccessToken, Session: t.Session, Secrets: t.Secrets, Lifetime: t.DefaultLifetime, RefreshLifetime: t.RefreshTokenLifetime,
	}
}

func lifecycleOf(l spec.Lifecycle) state.Lifecycle {
	return state.Lifecycle{OnRemove: l.OnRemove, PreventDestroy: l.PreventDestroy, Overlap: l.Overlap, MaxOverlap: l.MaxOverlap, RevokeOnShutdown: l.RevokeOnShutdown}
}

// lastLifecycle are the settings by which a credential goes that is no longer
// declared: those of the configuration that declared it last, which a full disk may
// have kept from its record. That it must not be destroyed holds also where only
// the record says it.
func lastLifecycle(j *job, recorded state.Lifecycle) state.Lifecycle {
	want, err := j.last.Credential(spec.Address(j.addr))
	if err != nil {
		return recorded
	}
	l := lifecycleOf(want.Lifecycle)
	l.PreventDestroy = l.PreventDestroy || recorded.PreventDestroy
	return l
}

// tokenOf is a grant as an endpoint reads it.
func tokenOf(g *state.Grant) (providers.Token, error) {
	out, err := spec.OpenValues(g.Outputs)
	if err != nil {
		return providers.Token{}, err
	}
	return providers.Token{
		AccessToken: g.AccessToken, RefreshToken: g.RefreshToken, TokenType: g.TokenType, HeaderName: g.HeaderName, Header: g.Header,
		Scopes: g.Scopes, ExpiresAt: g.ExpiresAt, RefreshUntil: g.RefreshUntil, Outputs: out,
	}, nil
}

// elapsed is the time since an intent was journalled by the clock that runs
// since the boot, which nobody can step; ok is false after a reboot.
func (w *worker) elapsed(i *state.Intent) (time.Duration, bool) {
	boot, up := w.o.Uptime()
	if boot == "" || boot != i.Boot {
		return 0, false
	}
	return up - i.Monotonic, true
}
