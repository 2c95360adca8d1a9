package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tokend/pkg/spec"
)

// The pauses between logins.
const (
	minLoginGap  = time.Second     // between two attempts at one Vault
	firstRefusal = 5 * time.Second // before refused credentials are sent again; four times as long each time
	maxRefusal   = 5 * time.Minute
)

// entry is one `vault` block's session and what is known of its server.
type entry struct {
	pool *Pool
	name spec.Address

	mu       sync.Mutex
	stale    bool // settings are to be read again
	endpoint *endpoint
	sess     *session
	attempt  *attempt // the login under way, if any
	tending  bool     // a renewal is under way
	lastTry  time.Time
	failure  *failure // of the last login; nil after a success
	mounts   map[string]mount
	noMeta   map[string]bool // mounts where custom metadata may not be written
}

// attempt is a login that its callers share.
type attempt struct {
	done chan struct{}
	sess *session
	err  error
}

func (a *attempt) wait(ctx context.Context) (*session, error) {
	select {
	case <-a.done:
		return a.sess, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for a Vault login: %w", ctx.Err())
	}
}

// failure is a login that failed, and until when no other is sent.
type failure struct {
	err   error
	proof proof
	count int // refusals in a row of the same proof
	until time.Time
}

// held is the remembered error, with the time for which it stays.
func (f *failure) held(now time.Time) error {
	e, ok := asError(f.err)
	if !ok {
		return f.err
	}
	c := *e
	c.RetryAfter = f.until.Sub(now)
	return &c
}

func (e *entry) log(level slog.Level, msg string, args ...any) {
	e.pool.log.Log(context.Background(), level, msg, append([]any{"vault", string(e.name)}, args...)...)
}

func (e *entry) changed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stale = true
	if e.failure != nil {
		e.failure.until = time.Time{}
	}
}

func (e *entry) status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := Status{Name: e.name}
	if e.endpoint != nil {
		st.Address, st.Auth = e.endpoint.settings.Address, e.endpoint.settings.AuthKind
	}
	if e.sess != nil {
		st.Since, st.Expires, st.Due = e.sess.since, e.sess.expires, e.sess.due()
	}
	if e.failure != nil {
		st.Err = e.failure.err
	}
	return st
}

// use returns the session, after a login when there is none to go on with, for
// one call; the caller releases it.
func (e *entry) use(ctx context.Context) (*session, error) {
	for {
		s, err := e.session(ctx)
		if err != nil {
			return nil, err
		}
		e.mu.Lock()
		if !s.retired { // else it was replaced between the two locks
			s.calls++
			e.mu.Unlock()
			return s, nil
		}
		e.mu.Unlock()
	}
}

// release ends a use. The last one of a session that was replaced gives its
// token up.
func (e *entry) release(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.calls--
	if s.retired && s.calls == 0 {
		e.giveUp(s)
	}
}

func (e *entry) session(ctx context.Context) (*session, error) {
	e.mu.Lock()
	if s := e.sess; s != nil && !e.stale && s.alive(e.pool.now()) && !s.proof.fileChanged(s.tried) {
		e.mu.Unlock()
		return s, nil
	}
	a, err := e.begin(ctx, false)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return a.wait(ctx)
}

// relogin makes a new session in place of old, unless that has happened
// already. Where the login fails and old still lives, old stays in force and is
// returned.
func (e *entry) relogin(ctx context.Context, old *session) (*session, error) {
	e.mu.Lock()
	if e.sess != nil && e.sess != old {
		s := e.sess
		e.mu.Unlock()
		return s, nil
	}
	a, err := e.begin(ctx, true)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return a.wait(ctx)
}

// begin joins the login under way or starts one, which goes on when this caller
// gives up. The caller holds the lock.
func (e *entry) begin(ctx context.Context, anew bool) (*attempt, error) {
	if e.attempt != nil {
		return e.attempt, nil
	}
	now := e.pool.now()
	if f := e.failure; f != nil && now.Before(f.until) && !f.proof.fileChanged("") {
		return nil, f.held(now)
	}
	a := &attempt{done: make(chan struct{})}
	e.attempt = a
	go func(ctx context.Context) {
		a.sess, a.err = e.logIn(ctx, anew)
		e.mu.Lock()
		e.attempt = nil
		e.mu.Unlock()
		close(a.done)
		e.pool.poke()
	}(context.WithoutCancel(ctx))
	return a, nil
}

// logIn reads the settings and logs in, unless the session at hand was made
// with just these.
func (e *entry) logIn(ctx context.Context, anew bool) (*session, error) {
	e.mu.Lock()
	old, endpoint := e.sess, e.endpoint
	e.stale = false // before the settings are read: a change meanwhile sets it again
	e.mu.Unlock()

	settings, proof, err := e.settings(ctx)
	if err != nil {
		return e.failed(err, proof, old)
	}
	moved := endpoint == nil || endpoint.settings.server() != settings.server()
	if moved || endpoint.stamps != settings.stamps() {
		if endpoint, err = newEndpoint(e.name, settings, e.pool); err != nil {
			if moved {
				e.move(nil, old)
				old = nil
			}
			return e.failed(err, proof, old)
		}
		e.move(endpoint, old)
		old = nil
	}
	if old != nil && !anew && old.proof == proof && old.alive(e.pool.now()) {
		e.settled(old)
		return old, nil
	}
	if err := e.pause(ctx); err != nil {
		return nil, err
	}
	endpoint = endpoint.with(settings)
	s, err := authKinds()[settings.AuthKind].login(ctx, endpoint, settings.Auth, e.pool.now())
	if err != nil {
		if failed, ok := asError(err); ok {
			failed.Login = true
		}
		return e.failed(err, proof, old)
	}
	s.proof = proof
	e.succeeded(s, old)
	return s, nil
}

// settings are those of the configuration in force.
func (e *entry) settings(ctx context.Context) (Settings, proof, error) {
	s, err := e.pool.resolve(ctx, e.name)
	if err != nil {
		return Settings{}, proof{}, fmt.Errorf("reading the settings of %s: %w", e.name, err)
	}
	if err := s.check(e.name); err != nil {
		return Settings{}, proof{}, err
	}
	p, err := s.proof()
	return s, p, err
}

// pause keeps two logins at one Vault apart.
func (e *entry) pause(ctx context.Context) error {
	e.mu.Lock()
	wait := e.lastTry.Add(minLoginGap).Sub(e.pool.now())
	e.mu.Unlock()
	if wait > 0 {
		t := time.NewTimer(min(wait, minLoginGap)) // a clock that stepped back is no reason to wait longer
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting to log in to %s: %w", e.name, ctx.Err())
		}
	}
	e.mu.Lock()
	e.lastTry = e.pool.now()
	e.mu.Unlock()
	return nil
}

// move goes to another server, or another way to it: nothing of the old one is
// used any more.
func (e *entry) move(to *endpoint, old *session) {
	e.mu.Lock()
	from := e.endpoint
	e.endpoint, e.sess, e.failure, e.mounts, e.noMeta = to, nil, nil, nil, nil
	e.mu.Unlock()
	if old != nil {
		e.retire(old)
	}
	if from != nil {
		from.http.CloseIdleConnections()
	}
}

// succeeded puts a new session in force.
func (e *entry) succeeded(s, old *session) {
	e.mu.Lock()
	e.endpoint, e.sess, e.failure, e.noMeta = s.endpoint, s, nil, nil
	e.mu.Unlock()
	if old != nil {
		e.retire(old)
	}
	e.log(slog.LevelDebug, "logged in to Vault", "address", s.endpoint.settings.Address, "auth", s.endpoint.settings.AuthKind, "ttl", s.ttl.String(), "renewable", s.renewable)
	if s.endpoint.settings.insecure() {
		e.log(slog.LevelWarn, "Vault is spoken to without TLS: tokens and secrets cross the network in clear", "address", s.endpoint.settings.Address)
	}
}

// settled: the session at hand is just what the settings ask for.
func (e *entry) settled(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.retryAt, e.failure = time.Time{}, nil
}

// failed remembers a login that failed. A session that still lives stays in
// force, since a new secret id that is wrong is no reason to be down before the
// old token ends.
func (e *entry) failed(err error, with proof, old *session) (*session, error) {
	now := e.pool.now()
	f := &failure{err: err, proof: with, until: now.Add(minLoginGap)}
	e.mu.Lock()
	if errors.Is(err, ErrDenied) {
		if e.failure != nil && e.failure.proof == with {
			f.count = e.failure.count
		}
		f.until = now.Add(min(firstRefusal<<(2*min(f.count, 10)), maxRefusal))
		f.count++
	}
	e.failure = f
	keep := old != nil && e.sess == old && old.alive(now) && !old.dead
	if keep {
		old.retryAt, old.tried = f.until, with.stamp // tried, or every use would try it again
	}
	e.mu.Unlock()
	e.log(slog.LevelDebug, "a Vault login failed", "error", err.Error(), "kept", keep)
	if keep {
		return old, nil
	}
	return nil, err
}

// retire takes a session out of use; its token is given up after the last call
// that uses it.
func (e *entry) retire(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !s.retired && s.calls == 0 {
		e.giveUp(s)
	}
	s.retired = true
}

// giveUp revokes a token of our own making that is not needed any more. The
// caller holds the lock.
func (e *entry) giveUp(s *session) {
	if !s.obtained || s.dead || !s.alive(e.pool.now()) {
		return
	}
	e.pool.giving.Go(func() {
		if err := s.revoke(context.Background()); err != nil {
			e.log(slog.LevelDebug, "an old Vault token could not be revoked and ends by itself", "error", err.Error(), "expires", s.expires)
		}
	})
}

func (e *entry) close(ctx context.Context) {
	e.mu.Lock()
	s, endpoint := e.sess, e.endpoint
	e.sess, e.stale = nil, true
	ours := s != nil && s.obtained && !s.dead
	e.mu.Unlock()
	if ours {
		if err := s.revoke(ctx); err != nil {
			e.log(slog.LevelDebug, "the Vault token could not be revoked and ends by itself", "error", err.Error(), "expires", s.expires)
		}
	}
	if endpoint != nil {
		endpoint.http.CloseIdleConnections()
	}
}
