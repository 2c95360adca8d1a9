package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"tokend/pkg/secret"
)

// session is one Vault token in use. What changes in it is guarded by its
// entry's lock.
type session struct {
	endpoint *endpoint
	api      *api.Client
	token    secret.Text
	proof    proof  // what it was made with
	tried    string // stamp of a later state of the token file that did not do

	obtained  bool          // by a login of ours, so it is ours to give up
	renewable bool          // as far as is known
	ttl       time.Duration // as it was first granted; 0: it does not expire
	since     time.Time
	expires   time.Time // zero: it does not expire
	renewAt   time.Time // when to renew, or to log in again; zero: never
	retryAt   time.Time // when to try again what the settings ask for now and a login failed to give; zero: never
	dead      bool      // Vault said that it is no token
	calls     int       // under way
	retired   bool      // replaced: given up after the last call
	verified  time.Time // when Vault last confirmed it after refusing a call
	opaque    bool      // it may not look itself up, so a refusal says little
}

// alive reports whether the token should still work by the clock.
func (s *session) alive(now time.Time) bool {
	return s.expires.IsZero() || now.Before(s.expires)
}

// grant takes over a lifetime from Vault: the token is due at two thirds of it.
func (s *session) grant(ttl time.Duration, now time.Time) {
	if ttl <= 0 {
		s.expires, s.renewAt = time.Time{}, time.Time{}
		return
	}
	if s.ttl == 0 {
		s.ttl = ttl
	}
	s.expires = now.Add(ttl)
	s.renewAt = now.Add(ttl * 2 / 3)
}

// due is when there is something to do; zero: never.
func (s *session) due() time.Time {
	if s.renewAt.IsZero() || !s.retryAt.IsZero() && s.retryAt.Before(s.renewAt) {
		return s.retryAt
	}
	return s.renewAt
}

// endsSoon reports whether a renewal gave clearly less than what the token once
// had: its maximal lifetime is near, and what follows is a new login.
func (s *session) endsSoon(ttl time.Duration) bool { return ttl < s.ttl*9/10 }

// pause is how long to wait after an attempt that failed without an answer:
// short enough to have several before the token ends.
func (s *session) pause(now time.Time) time.Duration {
	const longest = 30 * time.Second
	if s.expires.IsZero() {
		return longest
	}
	return min(max(s.expires.Sub(now)/6, time.Second), longest)
}

// lookup asks Vault about the session's own token.
func (s *session) lookup(ctx context.Context) (*api.Secret, error) {
	return s.endpoint.once(ctx, "looking up the own token", []secret.Text{s.token}, func(ctx context.Context) (*api.Secret, error) {
		return s.api.Auth().Token().LookupSelfWithContext(ctx)
	})
}

// renew asks Vault to prolong the session's own token and returns what is left.
func (s *session) renew(ctx context.Context) (ttl time.Duration, renewable bool, err error) {
	answer, err := s.endpoint.once(ctx, "renewing the own token", []secret.Text{s.token}, func(ctx context.Context) (*api.Secret, error) {
		return s.api.Auth().Token().RenewSelfWithContext(ctx, int(s.ttl/time.Second))
	})
	if err != nil {
		return 0, false, err
	}
	if answer == nil || answer.Auth == nil {
		return 0, false, s.endpoint.fail("renewing the own token", ErrUnreadable, "the answer has no auth part")
	}
	return time.Duration(answer.Auth.LeaseDuration) * time.Second, answer.Auth.Renewable, nil
}

// revoke gives the token up. Whatever was made with it ends with it.
func (s *session) revoke(ctx context.Context) error {
	_, err := s.endpoint.once(ctx, "revoking the own token", []secret.Text{s.token}, func(ctx context.Context) (*api.Secret, error) {
		return nil, s.api.Auth().Token().RevokeSelfWithContext(ctx, "")
	})
	return err
}

// fail makes an error that Vault did not give.
func (e *endpoint) fail(op string, class error, format string, a ...any) *Error {
	return &Error{Op: op, Vault: e.name, Address: e.settings.Address, Class: class, Message: fmt.Sprintf(format, a...)}
}

// dead reports whether a refusal says that the token itself is none: Vault adds
// "invalid token" to its "permission denied", older ones said "bad token".
func dead(err error) bool {
	e, ok := asError(err)
	return ok && e.Class == ErrDenied && (strings.Contains(e.Message, "invalid token") || strings.Contains(e.Message, "bad token"))
}

// seconds reads a number of an answer's data as a duration.
func seconds(data map[string]any, name string) time.Duration {
	n, ok := data[name].(json.Number)
	if !ok {
		return 0
	}
	i, err := n.Int64()
	if err != nil {
		return 0
	}
	return time.Duration(i) * time.Second
}
