package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/agext/levenshtein"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// OrderError says that an order cannot be carried out as things are: the decision
// has something else in the way.
type OrderError struct {
	Kind    OrderKind
	Address string
	Reason  string // what is in the way
	Why     string // the failure behind it; "" where there is none
	Mend    string // the command or the change that gets it out of the way; "" for none
}

func (e *OrderError) Error() string {
	s := fmt.Sprintf("%s of %s cannot be done: %s", e.Kind, spec.Address(e.Address).Short(), e.Reason)
	if e.Why != "" && e.Why != e.Reason {
		s += ": " + e.Why
	}
	return s
}

// ErrNothingFailed is the answer to an order to retry a credential of which nothing fails:
// nothing was sent.
var ErrNothingFailed = errors.New("nothing of it fails, so nothing was tried")

// NotFoundError: there is no such address.
type NotFoundError struct {
	Address string
	Near    string // a known address that is close; "" for none
	// Recordless says that a known address has no record, and why; "" for one that is not known.
	Recordless string
	// Instances are those of a block with for_each or count that was named as a
	// whole.
	Instances []string
}

func (e *NotFoundError) Error() string {
	if len(e.Instances) > 0 {
		return fmt.Sprintf("%s has several instances: name one of %s", spec.Address(e.Address).Short(), list(e.Instances))
	}
	if e.Recordless != "" {
		return e.Recordless
	}
	if e.Near != "" {
		return fmt.Sprintf("there is no %s; did you mean %s?", e.Address, spec.Address(e.Near).Short())
	}
	return "there is no " + e.Address
}

// Do gives an order and waits until it was carried out or refused.
func (l *Loop) Do(ctx context.Context, addr string, o Order) error {
	return l.order(ctx, addr, &waiter{order: o, done: make(chan error, 1)})
}

// Login hands a completed login over and waits for its exchange.
func (l *Loop) Login(ctx context.Context, addr string, code LoginCode) error {
	return l.order(ctx, addr, &waiter{order: Order{Kind: OrderLogin}, login: &code, done: make(chan error, 1)})
}

func (l *Loop) order(ctx context.Context, addr string, w *waiter) error {
	var missing error
	if !w.shares {
		l.readAnew()
	}
	if w.order.Kind == OrderRetry {
		if err := l.owed(ctx, addr); err != nil {
			return err
		}
	}
	err := l.do(ctx, func() {
		it, ok := l.items[addr]
		if !ok {
			missing = l.missing(addr)
			return
		}
		if l.stopping || l.farewell != nil {
			missing = errStopping
			return
		}
		if !w.shares {
			it.forgetsReads(func(*secretRead) bool { return true })
		}
		it.ext().orders = append(it.x.orders, w)
		it.x.follow = w.order.Kind == OrderRevoke // and obtain anew
		l.wake(it)
	})
	if err != nil || missing != nil {
		return errors.Join(err, missing)
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		_ = l.do(context.WithoutCancel(ctx), func() {
			if it, ok := l.items[addr]; ok {
				l.takeOrder(it, w)
			}
		})
		return ctx.Err()
	case <-l.ended:
		return ErrClosed
	}
}

// readAnew has each secret be read when it is used next, however short a while ago it was:
// who gives an order may have changed one just now, and no event has told of it yet.
func (l *Loop) readAnew() {
	l.w.secrets.forget(true)
	l.w.endpoints.forgetRead()
}

// ReadAnew has secrets read anew, for who asks for a plan, say.
func (l *Loop) ReadAnew() { l.readAnew() }

// Missing is the error for an address that there is not, with what may have been
// meant.
func (l *Loop) Missing(ctx context.Context, addr string) error {
	var missing error
	if err := l.do(ctx, func() { missing = l.missing(addr) }); err != nil {
		return &NotFoundError{Address: addr}
	}
	return missing
}

// missing is the error for an address that is not known, or of which there is no record.
func (l *Loop) missing(addr string) error {
	if it, ok := l.items[addr]; ok && !it.stored && !it.gone {
		name := spec.Address(addr).Short()
		why := "there is no record of " + name + ": nothing was obtained or written for it yet, or it was forgotten"
		if it.kind == kindHook {
			why = name + " has no record of its own: each sink's record has the hooks that have not run for it yet"
		}
		return &NotFoundError{Address: addr, Recordless: why}
	}
	e := &NotFoundError{Address: addr, Near: l.near(addr)}
	for a := range l.items {
		if strings.HasPrefix(a, addr+"[") {
			e.Instances = append(e.Instances, ShellAddress(a))
		}
	}
	sort.Strings(e.Instances)
	return e
}

// near is the known address that is closest to one that is not known.
func (l *Loop) near(addr string) string {
	const far = 6
	best, at := "", far
	for a := range l.items {
		if len(l.items) > 10000 {
			break
		}
		if a == addr {
			continue // which is no longer declared
		}
		if d := levenshtein.Distance(a, addr, nil); d < at || d == at && best != "" && a < best {
			best, at = a, d // of several that are as near always the same one
		}
	}
	return best
}

// Attributes gives what a credential's token is, refreshing it once first when
// less than minValid is left of it; with atMostHalf, half of its lifetime is
// enough. Without, a [ShortLivedError] says that no token of it has as much, and
// nothing is refreshed for that once one has told.
func (l *Loop) Attributes(ctx context.Context, addr string, minValid time.Duration, atMostHalf bool) (spec.Attributes, error) {
	at, err := l.w.attributes(ctx, spec.Address(addr))
	if life := at.ExpiresAt.Sub(at.ObtainedAt); atMostHalf && !at.ExpiresAt.IsZero() {
		minValid = min(minValid, life/2)
	}
	short := err == nil && !at.ExpiresAt.IsZero() && at.ExpiresAt.Sub(l.o.Now()) < minValid
	if err == nil && !short {
		return at, nil
	}
	if short && !atMostHalf {
		if err := shortLived(addr, at, minValid); err != nil {
			return at, err // another one would have no more
		}
	}
	if err != nil && !errors.Is(err, errNoToken) {
		return at, err
	}
	refresh := &waiter{order: Order{Kind: OrderRefresh}, shares: true, done: make(chan error, 1)}
	if derr := l.order(ctx, addr, refresh); derr != nil {
		if short && l.o.Now().Before(at.ExpiresAt) {
			return at, fmt.Errorf("less than %s is left of the token of %s and refreshing it failed: %w", minValid, spec.Address(addr).Short(), derr)
		}
		return at, derr
	}
	at, err = l.w.attributes(ctx, spec.Address(addr))
	if err == nil && !atMostHalf {
		err = shortLived(addr, at, minValid)
	}
	return at, err
}

// ShortLivedError: more was asked to be left of a token than those of its credential
// live.
type ShortLivedError struct {
	Address         spec.Address
	Lifetime, Asked time.Duration
}

func (e *ShortLivedError) Error() string {
	return fmt.Sprintf("a token of %s lives for %s, so that it never has %s left", e.Address.Short(), e.Lifetime, e.Asked)
}

// shortLived is nil where a token lives longer than is asked of it.
func shortLived(addr string, at spec.Attributes, asked time.Duration) error {
	life := at.ExpiresAt.Sub(at.ObtainedAt)
	if at.ExpiresAt.IsZero() || life > asked {
		return nil
	}
	whole := (life + time.Second - 1).Truncate(time.Second) // many an expiry is told in whole seconds
	return &ShortLivedError{Address: spec.Address(addr), Lifetime: whole, Asked: asked}
}

// LoginCall is what a login of a credential begins with: its endpoint, its
// grant, its inputs.
func (l *Loop) LoginCall(ctx context.Context, addr string) (Endpoint, providers.Call, *spec.Credential, error) {
	var cfg *spec.Config
	err := l.do(ctx, func() {
		cfg = l.cfg
		if it, ok := l.items[addr]; ok && !it.gone {
			cfg = l.configOf(it) // the code goes to where it will be exchanged, also while a change is held
		}
	})
	if err != nil {
		return nil, providers.Call{}, nil, err
	}
	if cfg == nil {
		return nil, providers.Call{}, nil, errors.New("no configuration is in force")
	}
	want, err := cfg.Credential(spec.Address(addr))
	var unknown *spec.UnknownAddressError
	if errors.As(err, &unknown) {
		return nil, providers.Call{}, nil, l.Missing(ctx, addr)
	}
	if err != nil {
		return nil, providers.Call{}, nil, err
	}
	scope := l.w.scope(ctx, cfg)
	ep, err := l.w.endpoints.configured(cfg, want.Provider, scope)
	if err != nil {
		return nil, providers.Call{}, nil, err
	}
	inputs, err := cfg.Inputs(spec.Address(addr), nil, scope)
	if err != nil {
		return nil, providers.Call{}, nil, err
	}
	c := providers.Call{Op: providers.OpExchange, Grant: want.Grant.Name, Inputs: inputs, Scopes: want.Scopes, DefaultLifetime: want.DefaultLifetime, Now: l.o.Now()}
	if !want.RedirectURIOmitted {
		c.Flow.RedirectURI = want.RedirectURI
	}
	return ep.ep, c, want, nil
}

// Touched says that files changed which secrets are read from, or that sinks
// wrote: what depends on them is looked at. Paths that nothing depends on are
// ignored; nil means that anything may have changed.
func (l *Loop) Touched(ctx context.Context, sinkPaths []string, secretsChanged bool) error {
	if secretsChanged {
		l.w.secrets.forget(false)
		l.w.endpoints.forget()
	}
	known := make([]watched, len(sinkPaths))
	err := l.do(ctx, func() {
		if secretsChanged {
			l.wakeSecretUsers()
			l.wakeUnmade()
		}
		for i, p := range sinkPaths {
			known[i] = l.byPath[p]
		}
	})
	if err != nil {
		return err
	}
	var changed []*item
	for i, p := range sinkPaths {
		// What we wrote ourselves is as we left it.
		if k := known[i]; k.it != nil && stampOf(p) != k.stamp {
			changed = append(changed, k.it)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return l.do(ctx, func() {
		for _, it := range changed {
			if l.items[it.addr] == it {
				l.wake(it)
			}
		}
	})
}

// wakeSecretUsers has everything looked at that names a secret.
func (l *Loop) wakeSecretUsers() {
	if l.cfg == nil {
		return
	}
	for _, it := range l.items {
		if it.gone || it.kind == kindHook {
			continue
		}
		if l.namesSecret(it) {
			it.forgetsReads(func(rd *secretRead) bool { return rd.file })
			l.wake(it)
		}
	}
}

func (l *Loop) namesSecret(it *item) bool {
	var uses []spec.Address
	if it.kind == kindSink {
		if s, err := l.cfg.Sink(spec.Address(it.addr)); err == nil {
			uses = s.Uses
		}
	} else if c, err := l.cfg.Credential(spec.Address(it.addr)); err == nil {
		uses = c.Uses
	}
	for _, u := range uses {
		if u.Kind() == "secret" {
			return true
		}
	}
	return false
}

// SinkPaths are the files to watch for what somebody else does to them.
func (l *Loop) SinkPaths(ctx context.Context) ([]string, error) {
	var paths []string
	err := l.do(ctx, func() {
		for p := range l.byPath {
			paths = append(paths, p)
		}
	})
	return paths, err
}

// SecretPaths are the files that secrets of the configuration are read from.
func (l *Loop) SecretPaths(cfg *spec.Config) []string {
	var paths []string
	for _, a := range cfg.Secrets() {
		b, err := cfg.Secret(a, spec.Scope{})
		if err != nil {
			continue
		}
		if k, ok := l.o.Sources[b.Kind]; ok && b.Args.Known() {
			paths = append(paths, k.Paths(b.Args)...)
		}
	}
	return paths
}

// Wake has addresses looked at now.
func (l *Loop) Wake(ctx context.Context, addrs []string) error {
	return l.do(ctx, func() {
		for _, a := range addrs {
			if it, ok := l.items[a]; ok {
				l.wake(it)
			}
		}
	})
}

// Forget deletes a record without revoking anything: `tokend state rm`. The tokens
// of a credential that is declared are counted as its orphans from then on. A hook that
// is declared no longer, and has a run left, is not run any more.
func (l *Loop) Forget(ctx context.Context, addr string) error {
	var missing error
	err := l.do(ctx, func() {
		addr := l.current(addr)
		it, ok := l.items[addr]
		switch {
		case ok && it.kind == kindHook && it.gone && it.phase != running:
			missing = l.dropGoneHook(ctx, it)
		case !ok || !it.stored && !(it.gone && it.phase == running):
			missing = l.missing(addr)
		case it.phase == running:
			missing = fmt.Errorf("%s is being worked on: try again", addr)
		default:
			change, orphans := l.forgotten(ctx, it)
			if missing = l.o.Store.Commit(ctx, append([]state.Change{change}, unexchanged(ctx, l.o.Store, addr)...)...); missing == nil {
				l.log.Info("a record was forgotten because a person said so; what it knew of lives on until it ends by itself", "address", addr, "generation", it.gen,
					"expires_at", fromNanos(it.expires), "earlier_tokens", it.retiring, "orphans", max(orphans.Living(l.o.Now()), it.orphans().Living(l.o.Now())))
				it.stored, it.gen, it.expires, it.retiring = change.Delete == "", 0, 0, 0
				it.remains = it.stored
				if it.x != nil || len(orphans) > 0 {
					it.ext().orphans = orphans
				}
				l.wake(it)
			}
		}
	})
	return errors.Join(err, missing)
}
