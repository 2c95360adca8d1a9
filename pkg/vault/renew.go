package vault

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// maxSleep bounds a sleep, so that a suspended machine or a stepped clock
// cannot hide the end of a token.
const maxSleep = 30 * time.Second

// Run keeps the sessions' tokens alive until ctx ends, whose error it returns.
// Without it, sessions last as long as their tokens do and the next use after
// that logs in again. Call it once.
func (p *Pool) Run(ctx context.Context) error {
	var working sync.WaitGroup
	defer working.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.wake:
		case <-timer.C:
		}
		now := p.now()
		wait := maxSleep
		for _, e := range p.all() {
			due, is := e.due()
			switch {
			case !is:
			case due.After(now):
				wait = min(wait, due.Sub(now))
			case e.startTending():
				working.Go(func() {
					e.tend(ctx)
					e.stopTending()
					p.poke()
				})
			}
		}
		timer.Reset(wait)
	}
}

func (e *entry) due() (time.Time, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sess == nil || e.tending || e.sess.due().IsZero() {
		return time.Time{}, false
	}
	return e.sess.due(), true
}

func (e *entry) startTending() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tending || e.sess == nil {
		return false
	}
	e.tending = true
	return true
}

func (e *entry) stopTending() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tending = false
}

// tend does what is due: a login that the settings ask for and that failed
// before, a renewal, or a new login where the token cannot be renewed.
func (e *entry) tend(ctx context.Context) {
	e.mu.Lock()
	s, now := e.sess, e.pool.now()
	retry := s != nil && !s.retryAt.IsZero() && !now.Before(s.retryAt)
	renew := s != nil && !s.renewAt.IsZero() && !now.Before(s.renewAt)
	e.mu.Unlock()
	if retry && e.replace(ctx, s) || !renew {
		return
	}
	if s.renewable {
		e.renew(ctx, s)
	}
	if e.inForce(s) && !s.renewable {
		if !authKinds()[s.endpoint.settings.AuthKind].repeats {
			e.ending(s)
			return
		}
		e.replace(ctx, s)
	}
}

// replace puts a new login in place of s and reports whether s is out of use.
func (e *entry) replace(ctx context.Context, s *session) bool {
	_, err := e.relogin(ctx, s)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sess != s {
		return true
	}
	now := e.pool.now()
	next := now.Add(s.pause(now))
	if f := e.failure; f != nil {
		err = f.err
		if f.until.After(next) {
			next = f.until
		}
	}
	if err != nil && !s.alive(now) {
		// There is nothing left to keep alive, and perhaps nobody who needs it (its
		// block may be gone): the next use logs in.
		e.sess = nil
		e.log(slog.LevelWarn, "the Vault token has expired, and a new login failed; the next use tries again", "error", err.Error())
		return true
	}
	s.retryAt = next
	if !s.renewAt.IsZero() && !s.renewAt.After(now) {
		s.renewAt = next
	}
	if err != nil {
		e.log(slog.LevelWarn, "a new Vault login failed; the token at hand is used while it lives", "error", err.Error(), "expires", s.expires)
	}
	return false
}

func (e *entry) inForce(s *session) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sess == s
}

// renew prolongs the session's token. A token that cannot be prolonged any
// further, or not by as much as it once was granted, is marked as one that is
// not renewable.
func (e *entry) renew(ctx context.Context, s *session) {
	ttl, renewable, err := s.renew(ctx)
	now := e.pool.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil && ttl <= 0:
		s.renewAt = time.Time{}
	case err == nil:
		short := s.endsSoon(ttl)
		s.grant(ttl, now)
		if !renewable || short {
			s.renewable = false
		}
		e.log(slog.LevelDebug, "renewed the Vault token", "ttl", ttl.String(), "last", !s.renewable)
	case errors.Is(err, ErrDenied), errors.Is(err, ErrInvalid), pastMaximum(err):
		// Refused: by policy, at its maximal lifetime, or because it is dead.
		s.renewable = false
		s.dead = s.dead || dead(err)
		e.log(slog.LevelDebug, "Vault does not renew the token", "error", err.Error())
	default:
		s.renewAt = now.Add(s.pause(now))
		e.log(slog.LevelWarn, "renewing the Vault token failed, it is tried again", "error", err.Error(), "expires", s.expires)
	}
}

// ending is for a token of somebody else's that ends: nothing can be done about
// it here but to say so. A dead one is dropped, so that the next use reads it
// anew.
func (e *entry) ending(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.renewAt = time.Time{}
	if e.sess == s && s.dead {
		e.sess = nil
	}
	e.log(slog.LevelWarn, "the Vault token cannot be renewed any further: give tokend a new one before it ends", "expires", s.expires)
}

// pastMaximum recognises a refusal that Vault gives as an internal error.
func pastMaximum(err error) bool {
	e, ok := asError(err)
	return ok && e.Status == 500 && strings.Contains(e.Message, "past the max TTL")
}
