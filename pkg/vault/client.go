package vault

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/api"

	"tokend/pkg/secret"
)

// Client makes calls with the session of one `vault` block. It is safe for
// concurrent use.
type Client struct{ entry *entry }

// Address is the server's URL as it was last known.
func (c *Client) Address() string { return c.entry.status().Address }

// call is one request: what it is for, what its error must not show, and
// whether Vault may be asked twice.
type call struct {
	op   string
	hide []secret.Text
	read bool
	send func(context.Context, *api.Client) (*api.Secret, error)
}

// do makes a call. When Vault refuses it because the token is dead, the client
// logs in anew, and sends a read once more.
func (c *Client) do(ctx context.Context, k call) (*api.Secret, error) {
	s, err := c.entry.use(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := c.send(ctx, s, k)
	c.entry.release(s)
	if err == nil || !errors.Is(err, ErrDenied) || !c.entry.rejected(ctx, s, err) {
		return answer, err
	}
	fresh, failed := c.entry.use(ctx)
	if failed != nil {
		return nil, failed
	}
	defer c.entry.release(fresh)
	if fresh == s || !k.read {
		return answer, err
	}
	return c.send(ctx, fresh, k)
}

// send waits for one of the places among the requests that are in flight, and asks
// then: a request's time begins when it is sent.
func (c *Client) send(ctx context.Context, s *session, k call) (*api.Secret, error) {
	if err := s.endpoint.enter(ctx, k.op); err != nil {
		return nil, err
	}
	defer s.endpoint.leave()
	return s.endpoint.once(ctx, k.op, append([]secret.Text{s.token}, k.hide...), func(ctx context.Context) (*api.Secret, error) {
		return k.send(ctx, s.api)
	})
}

// What a refused call is worth: a token that was confirmed this recently is not
// looked up again, and one that may not be looked up is replaced no sooner.
const (
	confirmedFor = time.Second
	opaqueFor    = 30 * time.Second
)

// rejected finds out whether a refusal was meant for the token rather than for
// the call, and takes a dead token out of use.
func (e *entry) rejected(ctx context.Context, s *session, refusal error) bool {
	now := e.pool.now()
	e.mu.Lock()
	confirmed := now.Sub(s.verified) < confirmedFor
	opaque := s.opaque && now.Sub(s.since) < opaqueFor
	e.mu.Unlock()
	if !dead(refusal) {
		if confirmed || opaque {
			return false
		}
		_, err := s.lookup(ctx)
		switch {
		case err == nil:
			e.mu.Lock()
			s.verified = now
			e.mu.Unlock()
			return false
		case !errors.Is(err, ErrDenied):
			return false // nobody knows; the refusal stands
		case !dead(err) && now.Sub(s.since) < opaqueFor:
			// A fresh token that may not even look itself up: its policies say so.
			e.mu.Lock()
			s.opaque = true
			e.mu.Unlock()
			return false
		}
	}
	e.drop(s)
	return true
}

// drop takes a dead session out of use.
func (e *entry) drop(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s.dead = true
	if e.sess == s {
		e.sess = nil
	}
}
