package reconcile_test

import (
	"context"
	"errors"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// simSource is the kind of secret that passwords are read from. Where a run has the
// story of slow ones they are files, of whose changes events tell.
type simSource struct{ p *simProcess }

var errSecret = errors.New("it did not answer in time")

func (r simSource) Read(ctx context.Context, args spec.Values) (cty.Value, error) {
	account, err := args.String("of")
	if err != nil {
		return cty.NilVal, err
	}
	s := r.p.s
	value := cty.StringVal(s.secretOf(account)) // as it was when that was begun
	if !s.isSlow(account) {
		return value, nil
	}
	d := s.draws.longOrShort("slow secret", account, time.Millisecond, slowest)
	s.note("slow secret", account, d.String(), 0)
	select {
	case <-time.After(d):
	case <-r.p.dead:
		return cty.NilVal, errDead
	case <-ctx.Done():
		return cty.NilVal, ctx.Err()
	}
	if s.draws.chance("secret fails", account, 0.2) {
		s.note("secret fails", account, "", 0)
		return cty.NilVal, errSecret
	}
	s.note("secret read", account, value.AsString(), 0)
	return value, nil
}

func (r simSource) Paths(args spec.Values) []string {
	account, err := args.String("of")
	if err != nil || !r.p.s.has(taleSecrets) {
		return nil
	}
	return []string{"/secrets/" + account}
}

func (s *simRun) secretOf(account string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passwords[account]
}

func (s *simRun) isSlow(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.slowSecrets[account] && !s.calm.Load()
}

// drawSecrets has secrets take their time from now on, or no longer, and passwords
// change meanwhile.
func (s *simRun) drawSecrets() {
	d := s.draws
	account := one(d, "slow account", "", "a1", "a2", "b1", "b2", "c1", "c2")
	s.mu.Lock()
	slow := d.chance("slow", account, 0.6)
	s.slowSecrets[account] = slow
	s.mu.Unlock()
	s.slowUntil = time.Now().Add(slowest)
	word := "fast"
	if slow {
		word = "slow"
	}
	s.note("secret is", account, word, 0)
	if d.chance("another password", account, 0.4) && account[0] != 'c' {
		s.repasswordOf(account)
	}
}
