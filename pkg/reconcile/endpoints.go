package reconcile

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// endpoints keeps compiled providers: those of the configuration by what it
// says of them, and those that issued a grant by the blob that the grant names.
// An endpoint that is in both is one.
type endpoints struct {
	providers Providers
	blobs     *blobs

	mu         sync.Mutex
	byProvider map[providerKey]*openEndpoint
	byBlob     map[string]*openEndpoint
}

// providerKey tells a provider block from one of the same address that another
// configuration says differently.
type providerKey struct {
	addr   spec.Address
	digest [16]byte
	blind  bool // opened without its secrets, to be looked at and never called
}

// openEndpoint is one, opened once.
type openEndpoint struct {
	once   sync.Once
	ep     Endpoint
	limits spec.RateLimit
	err    error

	secret atomic.Bool // its block names one

	life    sync.Mutex
	opened  bool      // ep is there
	dropped bool      // nothing new is to be done with it
	failed  time.Time // when it could not be opened; zero: it was not, or has not been tried

	named sync.Mutex
	blob  string // where the state keeps it; "" until a call is about to be made
}

// configured is the endpoint of a provider block.
func (e *endpoints) configured(cfg *spec.Config, addr spec.Address, s spec.Scope) (*openEndpoint, error) {
	digest, _ := cfg.Digest(addr)
	k := providerKey{addr, digest, s.Secret == nil}
	e.mu.Lock()
	o, ok := e.byProvider[k]
	if !ok || o.again() {
		o = &openEndpoint{}
		e.byProvider[k] = o
	}
	e.mu.Unlock()
	switch {
	case o.isOpen():
		return o, nil
	case o.hasFailed():
		return nil, o.err
	}
	// Each that needs it reads the secrets that it names, as it does all others: what
	// one waits for, a plan say, holds up nobody else.
	if read := s.Secret; read != nil {
		s.Secret = func(a spec.Address) (cty.Value, error) {
			o.secret.Store(true)
			return read(a)
		}
	}
	p, err := cfg.Provider(addr, s)
	if err != nil {
		return nil, err
	}
	o.once.Do(func() {
		if err := e.open(o, p); err != nil {
			o.fail(err)
		}
	})
	if o.err != nil {
		return nil, o.err // which may lie in what a secret or a file says, and that may change
	}
	return o, nil
}

func (e *endpoints) open(o *openEndpoint, p *spec.Provider) (err error) {
	if o.ep, err = e.providers.Open(p); err != nil {
		return fmt.Errorf("opening %s: %w", p.Addr, err)
	}
	o.limits = o.ep.RateLimit()
	o.open()
	return nil
}

// name is the blob that keeps an endpoint, written at the first call that needs
// it: looking and planning write nothing.
func (e *endpoints) name(ctx context.Context, o *openEndpoint) (string, error) {
	o.named.Lock()
	defer o.named.Unlock()
	if o.blob != "" {
		return o.blob, nil
	}
	b, err := o.ep.Encode()
	if err != nil {
		return "", fmt.Errorf("encoding a provider: %w", err)
	}
	name, err := e.blobs.put(ctx, b)
	if err != nil {
		return "", fmt.Errorf("recording a provider: %w", err)
	}
	o.blob = name
	return name, nil
}

// recorded is the endpoint that issued a grant.
func (e *endpoints) recorded(ctx context.Context, blob string) (*openEndpoint, error) {
	e.mu.Lock()
	o, ok := e.byBlob[blob]
	if !ok || o.again() {
		o = &openEndpoint{blob: blob}
		e.byBlob[blob] = o
	}
	e.mu.Unlock()
	o.once.Do(func() {
		if o.ep != nil {
			return
		}
		var b []byte
		if b, o.err = e.blobs.get(ctx, blob); o.err == nil {
			ep, err := e.providers.Restore(b)
			if err != nil {
				o.fail(err)
				return
			}
			o.ep, o.limits = ep, ep.RateLimit()
			o.open()
		}
	})
	if o.err != nil || o.ep == nil {
		e.mu.Lock()
		if e.byBlob[blob] == o && !o.hasFailed() {
			delete(e.byBlob, blob)
		}
		e.mu.Unlock()
		return nil, fmt.Errorf("reading back the provider that issued a grant: %w", o.err)
	}
	return o, nil
}

// forget drops what the configuration opened, after a secret that a provider
// block may name has changed.
func (e *endpoints) forget() { e.keep(nil) }

// forgetRead drops what was opened by a secret, and has what could not be opened tried
// again at once: a file of it may be there by now.
func (e *endpoints) forgetRead() {
	var left []*openEndpoint
	e.mu.Lock()
	for k, o := range e.byProvider {
		if o.secret.Load() || o.hasFailed() {
			delete(e.byProvider, k)
			left = append(left, o)
		}
	}
	e.forgetFailed()
	e.mu.Unlock()
	for _, o := range left {
		o.close()
	}
}

// forgetFailed is for the endpoints of grants; the lock is held.
func (e *endpoints) forgetFailed() {
	maps.DeleteFunc(e.byBlob, func(_ string, o *openEndpoint) bool { return o.hasFailed() })
}

// keep closes what a configuration that is in force now does not declare, or
// declares differently. Who works with one goes on with it, and what is still
// needed (by a change that is held) is opened again.
func (e *endpoints) keep(cfg *spec.Config) {
	var left []*openEndpoint
	e.mu.Lock()
	for k, o := range e.byProvider {
		if cfg != nil && !k.blind {
			if digest, ok := cfg.Digest(k.addr); ok && digest == k.digest {
				continue
			}
		}
		delete(e.byProvider, k)
		left = append(left, o)
	}
	if cfg == nil {
		e.forgetFailed()
	} else {
		for blob, o := range e.byBlob {
			delete(e.byBlob, blob) // of what is given up: it is read back when it is its turn
			left = append(left, o)
		}
	}
	e.mu.Unlock()
	for _, o := range left {
		o.close()
	}
}

// openAgain is how long what could not be opened is taken to be as it was: a file that it
// names may be gone, and a hundred thousand credentials ask for it. What changes is told
// by events, which have it tried at once.
const openAgain = time.Second

// fail notes why it could not be opened.
func (o *openEndpoint) fail(err error) {
	o.life.Lock()
	defer o.life.Unlock()
	o.err, o.failed = err, time.Now()
}

func (o *openEndpoint) hasFailed() bool {
	o.life.Lock()
	defer o.life.Unlock()
	return !o.failed.IsZero()
}

// again says that it could not be opened, long enough ago to be tried once more.
func (o *openEndpoint) again() bool {
	o.life.Lock()
	defer o.life.Unlock()
	return !o.failed.IsZero() && time.Since(o.failed) >= openAgain
}

// isOpen says that it is there, and can be used.
func (o *openEndpoint) isOpen() bool {
	o.life.Lock()
	defer o.life.Unlock()
	return o.opened
}

// open says that it is there. Where it was dropped meanwhile nobody else will
// close it.
func (o *openEndpoint) open() {
	o.life.Lock()
	defer o.life.Unlock()
	if o.opened = true; o.dropped {
		o.ep.Close()
	}
}

// close ends what is idle, now or once it is there.
func (o *openEndpoint) close() {
	o.life.Lock()
	defer o.life.Unlock()
	if o.dropped = true; o.opened {
		o.ep.Close()
	}
}
