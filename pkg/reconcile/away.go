package reconcile

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// public leaves out of the guard's log what a sensitive variable could be
// guessed from.
func (g guardLog) public() guardLog {
	out := guardLog{}
	for _, s := range g.Steps {
		s.Digest = "removed"
		out.Steps = append(out.Steps, s)
	}
	return out
}

// awayStore is a state made of an export: records without a secret, whose hashes
// are under the export's key.
type awayStore struct {
	state.Store
	x *Export
}

func (s awayStore) Hash(label string, b []byte) string { return s.x.hash(label, b) }

// Clock is the time that a plan against the export is made at: when the export was
// written, going on from there, so that what a token was given then it has still.
// What became due later is its host's daily work, whatever a checkout says. Of an
// export that does not say when it was written it is the machine's.
func (x *Export) Clock() func() time.Time {
	if x.MadeAt.IsZero() {
		return time.Now
	}
	began := time.Now()
	return func() time.Time { return x.MadeAt.Add(time.Since(began)) }
}

// Store makes a state of an export, in memory, for a Loop with Options.Away.
func (x *Export) Store(ctx context.Context) (state.Store, error) {
	m := state.NewMemory(state.MemoryOptions{})
	fill := func() error {
		for i := range x.Credentials {
			if err := x.Credentials[i].restore(ctx, m); err != nil {
				return err
			}
		}
		for i := range x.Sinks {
			if err := x.Sinks[i].restore(ctx, m); err != nil {
				return err
			}
		}
		imported, err := json.Marshal(x.Imported)
		if err != nil {
			return err
		}
		for key, b := range map[string][]byte{metaGuard: x.Guard, metaGuardLog: x.GuardLog, metaImports: imported} {
			if len(b) == 0 {
				continue
			}
			if err := m.Commit(ctx, state.Change{MetaKey: key, Meta: b}); err != nil {
				return err
			}
		}
		return nil
	}
	if err := fill(); err != nil {
		return nil, errors.Join(fmt.Errorf("reading an export: %w", err), m.Close())
	}
	return awayStore{m, x}, nil
}

func (c *ExportedCredential) restore(ctx context.Context, m state.Store) error {
	rec := state.Credential{
		Head:      state.Head{Address: c.Address, Kind: state.KindCredential, Generation: c.Generation, Due: c.Due, Flags: c.Flags, Digest: digestFrom(c.Digest)},
		Lifecycle: c.Lifecycle, Failure: c.Failure.restore(),
	}
	if !c.Removing.IsZero() {
		rec.Removing = &state.Removing{Since: c.Removing}
	}
	if c.Unread != "" {
		rec.Raw = &state.Raw{Op: c.Unread, Message: "see tokend status on its host"}
	}
	if c.Grant != nil {
		g, err := c.Grant.restore(ctx, m, c.Address, "in force")
		if err != nil {
			return err
		}
		g.InputHashes, rec.Grant = c.Inputs, &g
		rec.Head.ExpiresAt = g.ExpiresAt
	}
	for i := range c.Retiring {
		g, err := c.Retiring[i].restore(ctx, m, c.Address, fmt.Sprint("retired ", i))
		if err != nil {
			return err
		}
		rec.Retiring = append(rec.Retiring, g)
	}
	changes := []state.Change{{Credential: &rec}}
	if c.Intent != "" {
		changes = append(changes, state.Change{IntentFor: c.Address, Intent: &state.Intent{Op: c.Intent, Generation: c.Generation}})
	}
	return m.Commit(ctx, changes...)
}

// restore makes a grant whose tokens are only said to be there: two of them are
// alike where the real ones are.
func (g *ExportedGrant) restore(ctx context.Context, m state.Store, addr, which string) (state.Grant, error) {
	b, err := json.Marshal(g.Traits)
	if err != nil {
		return state.Grant{}, err
	}
	blob, err := m.PutBlob(ctx, b)
	if err != nil {
		return state.Grant{}, err
	}
	stand := func(kind string, same bool) secret.Text {
		if same {
			return secret.New(kind + " in force of " + addr)
		}
		return secret.New(kind + " " + which + " of " + addr)
	}
	out := state.Grant{
		Generation: g.Generation, Endpoint: blob, Provider: g.Provider, Type: g.Type, GrantType: g.Grant, AccessToken: stand("token", g.SameAccess),
		GrantedAt: g.GrantedAt, ObtainedAt: g.ObtainedAt, ExpiresAt: g.ExpiresAt, RefreshUntil: g.RefreshUntil,
		Rotation: g.Rotation, RefreshState: g.RefreshState, LostRefresh: g.LostRefresh, Late: g.Late, Origins: g.Origins,
	}
	if g.Unspent || g.Tokenless {
		out.AccessToken = secret.Text{}
	}
	if g.Refreshable {
		out.RefreshToken = stand("refresh token", g.SameRefresh)
	}
	if g.Cause != "" {
		out.Retired = &state.Retired{Cause: g.Cause, Since: g.Since, DeliveredAt: g.DeliveredAt, NextAt: g.NextAt}
	}
	return out, nil
}

func (f *ExportedFailure) restore() *state.Failure {
	if f == nil {
		return nil
	}
	return &state.Failure{Op: f.Op, Class: f.Class, Message: "see tokend status on its host", Count: f.Count, Reached: f.Reached, FirstAt: f.LastAt, LastAt: f.LastAt, NextAt: f.NextAt, Stopped: f.Stopped}
}

func (s *ExportedSink) restore(ctx context.Context, m state.Store) error {
	rec := state.Sink{
		Head:     state.Head{Address: s.Address, Kind: state.KindSink, Digest: digestFrom(s.Digest)},
		SinkKind: s.Kind, Written: withPlace(nil, s.Place), Delivered: s.Delivered, Notify: s.Notify, Failure: s.Failure.restore(), WrittenAt: time.Unix(0, 0), // when is not exported
	}
	for _, l := range s.Left {
		if rec.Left == nil {
			rec.Left = map[string]map[string]uint64{}
		}
		if rec.Left[l.Place] = l.Delivered; l.Place != "" {
			rec.Leaving = append(rec.Leaving, withPlace(nil, l.Place))
		}
	}
	return m.Commit(ctx, state.Change{Sink: &rec})
}

func digestFrom(text string) (d [16]byte) {
	b, err := hex.DecodeString(text)
	if err == nil {
		copy(d[:], b)
	}
	return d
}

// awayProviders opens providers for a plan away from the host: nothing on the
// host is read, and what issued a grant is known by what it can do.
type awayProviders struct{ Providers }

func (p awayProviders) Open(c *spec.Provider) (Endpoint, error) {
	bare := *c
	bare.HTTP = spec.HTTPSettings{Timeout: c.HTTP.Timeout}
	return p.Providers.Open(&bare)
}

func (awayProviders) Restore(b []byte) (Endpoint, error) {
	var t Traits
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, err
	}
	return awayEndpoint{traits: t}, nil
}

// awayEndpoint is an endpoint of which only its traits are known, and that is
// never called.
type awayEndpoint struct {
	Endpoint
	traits Traits
}

func (awayEndpoint) RateLimit() spec.RateLimit { return spec.RateLimit{} }

func (e awayEndpoint) Close() {}

func (e awayEndpoint) Traits(string) providers.Traits {
	t := e.traits
	return providers.Traits{
		Interactive: t.Interactive, Static: t.Static, Lockout: t.Lockout, HasRefresh: t.HasRefresh, HasRevoke: t.HasRevoke,
		RevokeOn: t.RevokeOn, RevokeNeeds: t.RevokeNeeds, RevokeNamesAccess: t.RevokeNamesAccess, Rotates: t.Rotates, ReplayWindow: t.ReplayWindow,
		InvalidatesAccessToken: t.InvalidatesAccessToken, Session: t.Session,
	}
}
