package reconcile

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Export is what a plan needs of a state, away from its host, and nothing that
// is secret: no token, no sensitive input, neither in clear nor hashed. Inputs
// that are not sensitive are hashed under a key that was made for this export
// and stands in it, so that the state's own key is not given away.
type Export struct {
	Key         []byte               `json:"key"`
	MadeAt      time.Time            `json:"made_at"`
	Host        string               `json:"host"`
	Directory   string               `json:"directory"`
	Credentials []ExportedCredential `json:"credentials"`
	Sinks       []ExportedSink       `json:"sinks"`
	Guard       json.RawMessage      `json:"guard,omitempty"`     // its settings, as last accepted
	GuardLog    json.RawMessage      `json:"guard_log,omitempty"` // when what was given up, within the hour
	Imported    []string             `json:"imported,omitempty"`  // credentials that an import block has brought a refresh token, there still or not
}

// ExportedCredential is what is exported of one credential.
type ExportedCredential struct {
	Address    string            `json:"address"`
	Generation uint64            `json:"generation"`
	Digest     string            `json:"digest,omitempty"` // of its configuration; left out where a sensitive variable could be guessed from it
	Due        time.Time         `json:"due,omitzero"`
	Flags      state.Flags       `json:"flags,omitempty"`
	Lifecycle  state.Lifecycle   `json:"lifecycle"`
	Removing   time.Time         `json:"removing_since,omitzero"`
	Unread     string            `json:"unread,omitempty"` // operation of a reply that is kept
	Intent     string            `json:"intent,omitempty"` // operation whose outcome is unknown
	Failure    *ExportedFailure  `json:"failure,omitempty"`
	Grant      *ExportedGrant    `json:"grant,omitempty"`
	Inputs     map[string]string `json:"inputs,omitempty"` // hashes of what is not sensitive; "?" where it is, or cannot be told
	Retiring   []ExportedGrant   `json:"retiring,omitempty"`
}

// ExportedGrant is what is exported of a grant: when it ends and what its API
// can do, and of its tokens only that they are there.
type ExportedGrant struct {
	Generation   uint64             `json:"generation"`
	Provider     string             `json:"provider"`
	Type         string             `json:"type"`
	Grant        string             `json:"grant"`
	Traits       Traits             `json:"traits"`
	Refreshable  bool               `json:"refreshable"`       // it has a refresh token
	Unspent      bool               `json:"unspent,omitempty"` // and no access token yet: it was taken over
	GrantedAt    time.Time          `json:"granted_at,omitzero"`
	ObtainedAt   time.Time          `json:"obtained_at,omitzero"`
	ExpiresAt    time.Time          `json:"expires_at,omitzero"`
	RefreshUntil time.Time          `json:"refresh_until,omitzero"`
	Outputs      []string           `json:"outputs,omitempty"`   // the names of those that it has
	Tokenless    bool               `json:"tokenless,omitempty"` // it is a key, and has no access token
	Rotation     state.Rotation     `json:"rotation"`
	RefreshState state.RefreshState `json:"refresh_state"`
	LostRefresh  bool               `json:"lost_refresh,omitempty"` // a reply to a refresh of it was lost
	Late         time.Duration      `json:"late,omitempty"`         // how much later than that it may end
	Origins      []string           `json:"origins,omitempty"`
	Cause        string             `json:"cause,omitempty"` // of one that is given up
	Since        time.Time          `json:"since,omitzero"`
	DeliveredAt  time.Time          `json:"delivered_at,omitzero"`
	NextAt       time.Time          `json:"next_at,omitzero"`
	SameAccess   bool               `json:"same_access,omitempty"`  // its access token is the one in force
	SameRefresh  bool               `json:"same_refresh,omitempty"` // likewise its refresh token
}

// ExportedFailure is a failure without its message.
type ExportedFailure struct {
	Op      string    `json:"op"`
	Class   string    `json:"class"`
	Count   int       `json:"count"`
	Reached int       `json:"reached"`
	LastAt  time.Time `json:"last_at"`
	NextAt  time.Time `json:"next_at"`
	Stopped bool      `json:"stopped,omitempty"`
}

// ExportedSink is what is exported of one sink: where it is, which generations it
// holds, and of its content what the configuration says of that.
type ExportedSink struct {
	Address   string            `json:"address"`
	Kind      string            `json:"kind"`
	Digest    string            `json:"digest,omitempty"`   // likewise
	Place     string            `json:"place,omitempty"`    // where that is as declared
	Portrait  *ExportedPortrait `json:"portrait,omitempty"` // likewise; and where no sensitive variable reaches it
	Delivered map[string]uint64 `json:"delivered,omitempty"`
	Left      []ExportedPlace   `json:"left,omitempty"`   // places that it has still to leave
	Notify    []string          `json:"notify,omitempty"` // hooks that have not run since it changed
	Hooks     []string          `json:"hooks,omitempty"`  // hooks that run when it changes
	Failure   *ExportedFailure  `json:"failure,omitempty"`
}

// ExportedPlace is a place that a sink has still to leave, and which generations
// that holds; "" where it is only known that one of them does.
type ExportedPlace struct {
	Place     string            `json:"place,omitempty"`
	Delivered map[string]uint64 `json:"delivered,omitempty"`
}

// unknownHash stands for an input that is not exported.
const unknownHash = "?"

// Export writes down what a plan needs of the state, and nothing secret.
func (l *Loop) Export(ctx context.Context) (*Export, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return l.exportUnder(ctx, key)
}

func (l *Loop) exportUnder(ctx context.Context, key []byte) (*Export, error) {
	x := &Export{Key: key, MadeAt: l.o.Now().UTC(), Host: l.o.Host, Credentials: []ExportedCredential{}, Sinks: []ExportedSink{}}
	var jobs []*job
	err := l.do(ctx, func() {
		if l.cfg != nil {
			x.Directory = l.cfg.Dir()
		}
		for _, it := range l.items {
			if it.kind != kindHook && it.stored {
				j := l.job(it)
				j.order, j.noSecrets, j.dry = nil, true, true
				jobs = append(jobs, j)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	sort.Slice(jobs, func(a, b int) bool { return jobs[a].addr < jobs[b].addr })
	for _, j := range jobs {
		if j.kind == kindSink {
			err = l.w.exportSink(ctx, x, j)
		} else {
			err = l.w.exportCredential(ctx, x, j)
		}
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return nil, fmt.Errorf("exporting %s: %w", j.addr, err)
		}
	}
	if x.Imported, err = importsBefore(ctx, l.w.store); err != nil {
		return nil, fmt.Errorf("exporting: %w", err)
	}
	return x, l.w.exportGuard(ctx, x)
}

func (w *worker) exportGuard(ctx context.Context, x *Export) error {
	settings, err := w.store.Meta(ctx, metaGuard)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("exporting the guard's settings: %w", err)
	}
	log, err := w.store.Meta(ctx, metaGuardLog)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("exporting the guard's log: %w", err)
	}
	g, err := readGuardLog(log)
	if err != nil {
		return err
	}
	g = g.public()
	if x.GuardLog, err = json.Marshal(g); err != nil {
		return fmt.Errorf("exporting the guard's log: %w", err)
	}
	if len(settings) > 0 {
		x.Guard = settings
	}
	return nil
}

// declaredBy is the configuration by which a record was made: the one in force,
// or the one that what is held, or waits for another grant, lives on by; nil where
// that is not known any more.
func declaredBy(j *job, digest [16]byte) *spec.Config {
	for _, cfg := range []*spec.Config{j.force, j.cfg, j.earlier, j.last} {
		if cfg == nil {
			continue
		}
		if d, ok := cfg.Digest(spec.Address(j.addr)); ok && d == digest {
			return cfg
		}
	}
	return nil
}

// publicDigest is a digest as it is exported: not at all where a sensitive variable
// could be guessed from it.
func publicDigest(by *spec.Config, addr string, digest [16]byte) string {
	if by == nil || by.Hides(spec.Address(addr)) {
		return ""
	}
	return hex.EncodeToString(digest[:])
}

func (w *worker) exportSink(ctx context.Context, x *Export, j *job) error {
	rec, err := w.store.Sink(ctx, j.addr)
	if err != nil {
		return err
	}
	s := ExportedSink{Address: j.addr, Kind: rec.SinkKind, Delivered: rec.Delivered, Notify: rec.Notify, Hooks: hooksOf(j), Failure: exportFailure(rec.Failure)}
	if by := declaredBy(j, rec.Head.Digest); by != nil {
		s.Digest, s.Place = publicDigest(by, j.addr, rec.Head.Digest), placeOf(rec.Written) // a place cannot be made of what is sensitive
		s.Left = LeftOf(&rec)
		if err := w.exportPortrait(x, by, &s, accountOf(rec.Written)); err != nil {
			return err
		}
	}
	if s.Left == nil {
		s.Delivered = holdings(&rec)
	}
	x.Sinks = append(x.Sinks, s)
	return nil
}

// LeftOf are the places that a sink was moved away from and has still to leave, and
// what they hold.
func LeftOf(rec *state.Sink) []ExportedPlace {
	var out []ExportedPlace
	for _, of := range byPlace(elsewhere(rec.Leaving, placeOf(rec.Written))) {
		place := placeOf(of[0])
		out = append(out, ExportedPlace{Place: place, Delivered: rec.Left[place]})
	}
	if mixed := rec.Left[""]; len(out) > 0 && len(mixed) > 0 {
		out = append(out, ExportedPlace{Delivered: mixed})
	}
	return out
}

// hooksOf are the hooks that run when a sink changes, or is removed.
func hooksOf(j *job) []string {
	cfg := j.cfg
	if cfg == nil {
		cfg = j.last
	}
	if cfg == nil {
		return nil
	}
	s, err := cfg.Sink(spec.Address(j.addr))
	if err != nil {
		return nil // it was declared a moment ago
	}
	var hooks []string
	for _, h := range s.Notify {
		hooks = append(hooks, string(h))
	}
	return hooks
}

func (w *worker) exportCredential(ctx context.Context, x *Export, j *job) error {
	ob, err := w.observe(ctx, j)
	if err != nil {
		return err
	}
	rec := &ob.in.Record
	if j.cfg == nil && rec.Head.Generation == 0 && holdsNothing(rec) && ob.in.Intent == nil && rec.Failure == nil {
		return nil // what orphans it has is no matter of a plan
	}
	c := ExportedCredential{Address: j.addr, Generation: rec.Head.Generation, Due: rec.Head.Due, Flags: rec.Head.Flags, Lifecycle: rec.Lifecycle, Failure: exportFailure(rec.Failure)}
	c.Digest = publicDigest(declaredBy(j, rec.Head.Digest), j.addr, rec.Head.Digest)
	if rec.Removing != nil {
		c.Removing = rec.Removing.Since
	}
	if rec.Raw != nil {
		c.Unread = rec.Raw.Op
	}
	if ob.in.Intent != nil {
		c.Intent = ob.in.Intent.Op
	}
	if rec.Grant != nil {
		g := exportGrant(rec.Grant, nil, ob.in.Held)
		if c.Inputs = w.exportInputs(x, j, ob); !originsTold(j, ob.in.Want) {
			g.hideOrigins()
		}
		c.Grant = &g
	}
	for i := range rec.Retiring {
		g := exportGrant(&rec.Retiring[i], rec.Grant, ob.in.RetiredTraits[i])
		if c.Grant == nil || !slices.Equal(g.Origins, c.Grant.Origins) {
			g.hideOrigins() // what the configuration said then is not known
		}
		c.Retiring = append(c.Retiring, g)
	}
	x.Credentials = append(x.Credentials, c)
	return nil
}

func exportFailure(f *state.Failure) *ExportedFailure {
	if f == nil {
		return nil
	}
	return &ExportedFailure{Op: f.Op, Class: f.Class, Count: f.Count, Reached: f.Reached, LastAt: f.LastAt, NextAt: f.NextAt, Stopped: f.Stopped}
}

func exportGrant(g, cur *state.Grant, t Traits) ExportedGrant {
	x := ExportedGrant{
		Generation: g.Generation, Provider: g.Provider, Type: g.Type, Grant: g.GrantType, Traits: t, Refreshable: !g.RefreshToken.Empty(), Unspent: unspent(g), Tokenless: g.AccessToken.Empty() && !unspent(g),
		GrantedAt: g.GrantedAt, ObtainedAt: g.ObtainedAt, ExpiresAt: g.ExpiresAt, RefreshUntil: g.RefreshUntil,
		Rotation: g.Rotation, RefreshState: g.RefreshState, LostRefresh: g.LostRefresh, Late: g.Late, Origins: g.Origins,
	}
	if values, err := spec.OpenValues(g.Outputs); err == nil {
		x.Outputs = slices.DeleteFunc(values.Names(), func(n string) bool { return !values.Has(n) })
	}
	if r := g.Retired; r != nil {
		x.Cause, x.Since, x.DeliveredAt, x.NextAt = r.Cause, r.Since, r.DeliveredAt, r.NextAt
	}
	if cur != nil {
		x.SameAccess = !x.Unspent && cur.AccessToken.Equal(g.AccessToken)
		x.SameRefresh = x.Refreshable && cur.RefreshToken.Equal(g.RefreshToken)
	}
	return x
}

// originsTold says whether nothing that is sensitive reaches the addresses that a
// credential's grant was asked from: what its type makes them of is not.
func originsTold(j *job, want *spec.Credential) bool {
	if want == nil {
		return false
	}
	p, err := j.cfg.Provider(want.Provider, spec.Scope{})
	if err != nil {
		return false
	}
	for i := range want.Type.Config {
		if f := &want.Type.Config[i]; !f.Sensitive && spec.IsSensitive(p.Config.Cty(f.Name)) {
			return false
		}
	}
	inputs, err := j.cfg.Inputs(spec.Address(j.addr), known(want), spec.Scope{})
	return err == nil && !slices.ContainsFunc(want.Inputs, func(in spec.Input) bool {
		return !in.Sensitive && !in.Deferred && spec.IsSensitive(inputs.Cty(in.Name))
	})
}

// hideOrigins leaves out where a grant came from.
func (g *ExportedGrant) hideOrigins() {
	if len(g.Origins) > 0 {
		g.Origins = []string{unknownHash}
	}
}

// exportInputs hashes under the export's key what a grant was obtained with. The
// state has only hashes under its own: what the configuration says now is hashed
// anew where it is still that.
func (w *worker) exportInputs(x *Export, j *job, ob *observed) map[string]string {
	out := map[string]string{}
	for n := range ob.in.Record.Grant.InputHashes {
		out[n] = unknownHash
	}
	want := ob.in.Want
	if want == nil {
		return out
	}
	for _, in := range want.Inputs {
		if !in.Given || in.Deferred || in.Sensitive {
			continue
		}
		v, err := j.cfg.Inputs(spec.Address(j.addr), []string{in.Name}, spec.Scope{})
		if err != nil || v.Cty(in.Name).ContainsMarked() {
			continue
		}
		label := "input:" + in.Name
		if b, err := v.Canonical(in.Name); err == nil && w.store.Hash(label, b) == ob.in.Record.Grant.InputHashes[in.Name] {
			out[in.Name] = x.hash(label, b)
		}
	}
	if b := scopesBytes(want.Scopes); want.Scopes != nil && w.store.Hash("input:scopes", b) == ob.in.Record.Grant.InputHashes["scopes"] {
		out["scopes"] = x.hash("input:scopes", b)
	}
	return out
}

// hash is a hash under the export's key.
func (x *Export) hash(label string, b []byte) string {
	m := hmac.New(sha256.New, x.Key)
	m.Write(binary.AppendUvarint(nil, uint64(len(label))))
	m.Write([]byte(label))
	m.Write(b)
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil)[:16])
}
