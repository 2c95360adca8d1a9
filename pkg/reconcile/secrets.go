package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
)

// secretBurst is how long a secret that was read serves others that ask for it:
// long enough that ten thousand credentials with one password read it once,
// short enough that a use is a read.
const secretBurst = time.Second

// secretReader reads secrets when they are used. Reads of one secret at the
// same time are one read: see secretread.go.
type secretReader struct {
	kinds      map[string]sources.Source
	now        func() time.Time
	log        *slog.Logger
	credential func(context.Context, spec.Address) (spec.Attributes, error) // for what secrets name; nil: they name none
	life       context.Context                                              // its end ends all reads
	tell       func(*secretRead)                                            // of a read that is over and that a look was put back for; it may block

	mu      sync.Mutex
	read    map[secretKey]reading
	order   []readAt // what was read, the oldest first; a reading may have been replaced since
	under   map[secretKey]*secretRead
	groups  map[string]*readGroup
	running int
	idle    chan struct{} // closed once none is running; nil: nobody waits for that
}

// readAt is a secret that was read at a time.
type readAt struct {
	key secretKey
	at  time.Time
}

// secretKey tells a secret from one of the same address in another
// configuration that says it differently.
type secretKey struct {
	addr   spec.Address
	digest [16]byte
}

type reading struct {
	value cty.Value
	at    time.Time
}

func newSecretReader(life context.Context, kinds map[string]sources.Source, now func() time.Time) *secretReader {
	return &secretReader{life: life, kinds: kinds, now: now, log: slog.New(slog.DiscardHandler), read: map[secretKey]reading{}, under: map[secretKey]*secretRead{}, groups: map[string]*readGroup{}}
}

// reader is the Secret function of a scope.
func (r *secretReader) reader(ctx context.Context, cfg *spec.Config) func(spec.Address) (cty.Value, error) {
	look := lookOf(ctx)
	return func(a spec.Address) (cty.Value, error) {
		digest, _ := cfg.Digest(a)
		k := secretKey{addr: a, digest: digest}
		if v, ok := r.cached(k); ok {
			return v, nil
		}
		if rd := look.outcome(k); rd != nil {
			return rd.value, rd.err
		}
		return r.await(ctx, r.join(ctx, cfg, k, look), look)
	}
}

// fetch reads a secret, with what that needs itself (a Vault's login).
func (r *secretReader) fetch(ctx context.Context, cfg *spec.Config, rd *secretRead) (cty.Value, error) {
	a := rd.key.addr
	s := spec.Scope{Secret: r.reader(ctx, cfg)}
	if r.credential != nil {
		s.Credential = func(c spec.Address) (spec.Attributes, error) { return r.credential(ctx, c) }
	}
	b, err := cfg.Secret(a, s)
	if err != nil {
		return cty.NilVal, err
	}
	kind, ok := r.kinds[b.Kind]
	if !ok {
		return cty.NilVal, fmt.Errorf("reading %s: there is no kind of secret %q", a, b.Kind)
	}
	if len(kind.Paths(b.Args)) > 0 {
		r.mu.Lock()
		rd.file = true
		r.mu.Unlock()
	}
	return kind.Read(ctx, b.Args)
}

func (r *secretReader) cached(k secretKey) (cty.Value, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	got, ok := r.read[k]
	if !ok || !serves(got.at, r.now()) {
		return cty.NilVal, false
	}
	return got.value, true
}

// keep remembers a reading and forgets those that no longer serve. The lock is held.
func (r *secretReader) keep(k secretKey, v cty.Value) {
	now := r.now()
	n := 0
	for n < len(r.order) && !serves(r.order[n].at, now) {
		if old := r.order[n]; r.read[old.key].at.Equal(old.at) {
			delete(r.read, old.key)
		}
		n++
	}
	clear(r.order[:n]) // their names are not kept; the rest stays where it is, however much that is
	r.order = append(r.order[n:], readAt{k, now})
	r.read[k] = reading{value: v, at: now}
}

// serves says whether what was read at a time serves others still. What was read
// before the clock was set back does not.
func serves(at, now time.Time) bool { return now.Sub(at) < secretBurst && !now.Before(at) }

// vaultLook is how often a secret in Vault is looked at for a new version:
// Vault tells nobody of changes.
const vaultLook = time.Minute

// again is when to look at something that names these secrets because their
// sources tell nobody of changes: programs with an interval, and Vault. The
// zero time means never.
func (r *secretReader) again(cfg *spec.Config, uses []spec.Address, now time.Time) time.Time {
	var at time.Time
	for _, u := range uses {
		if u.Kind() != "secret" {
			continue
		}
		if d := interval(cfg, u); d > 0 && (at.IsZero() || now.Add(d).Before(at)) {
			at = now.Add(d)
		}
	}
	return at
}

func interval(cfg *spec.Config, a spec.Address) time.Duration {
	b, err := cfg.Secret(a, spec.Scope{})
	if err != nil {
		return 0
	}
	if b.Kind == "vault_kv" {
		return vaultLook
	}
	d, err := b.Args.Duration("interval", 0)
	if err != nil {
		return 0
	}
	return d
}

// texts are the secrets that were read lately, strings among nested values too.
func (r *secretReader) texts() []secret.Text {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []secret.Text
	for _, got := range r.read {
		_ = cty.Walk(got.value, func(_ cty.Path, v cty.Value) (bool, error) {
			if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
				out = append(out, secret.New(v.AsString()))
			}
			return true, nil
		})
	}
	return out
}

// forget drops all readings, so that the next use reads anew: also where a read is
// under way that began before, of a file or (all) of anything.
func (r *secretReader) forget(all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.read)
	r.order = nil
	for _, rd := range r.under {
		rd.late = rd.late || rd.begun.Load() && (all || rd.file)
	}
}

// Scope gives evaluations outside the loop (a Vault's login) the secrets and
// tokens that a configuration names. They are waited for: also where a look asks
// that would be put back itself, since others wait for the same login.
func (l *Loop) Scope(ctx context.Context, cfg *spec.Config) spec.Scope {
	return l.w.scope(withLook(ctx, nil), cfg)
}

// SecretScope reads secrets before there is a loop: for the key of the state
// itself.
func SecretScope(ctx context.Context, cfg *spec.Config, kinds map[string]sources.Source) spec.Scope {
	return spec.Scope{Secret: newSecretReader(ctx, kinds, time.Now).reader(withLook(ctx, nil), cfg)}
}
