package reconcile_test

import (
	"context"
	"fmt"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
)

// order draws what a person asks for.
func (s *simRun) order() {
	s.orderFor(one(s.draws, "ordered", "", simCredentials[:simFew]...))
}

// orderFor draws what a person asks for of one credential.
func (s *simRun) orderFor(addr string) {
	d := s.draws
	kind := one(d, "order", "", reconcile.OrderRefresh, reconcile.OrderRefresh, reconcile.OrderTaint, reconcile.OrderRevoke, reconcile.OrderRetry, reconcile.OrderRetry)
	o := reconcile.Order{Kind: kind, Forget: kind == reconcile.OrderRevoke && d.chance("forget", "", 0.2)}
	s.orderOf(addr, o)
}

// orderOf is an order.
func (s *simRun) orderOf(addr string, o reconcile.Order) {
	kind := o.Kind
	s.mu.Lock()
	if o.Forget {
		s.given[addr] = true
	}
	switch kind {
	case reconcile.OrderRetry:
		s.pardon(addr)
		s.retrying[addr]++
	case reconcile.OrderRevoke:
		s.revoking[addr]++
		s.said.revoked[addr] = true
	}
	s.mu.Unlock()
	called := s.config.nameOf(addr)
	s.note("order", called, string(kind), 0)
	s.ask(string(kind), addr, func(ctx context.Context, l *reconcile.Loop) error {
		err := l.Do(ctx, called, o)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch kind {
		case reconcile.OrderRetry:
			s.retrying[addr]--
		case reconcile.OrderRevoke:
			s.revoking[addr]--
		}
		return err
	})
}

// pardon allows one more try of what is held back.
func (s *simRun) pardon(addr string) {
	for account, r := range s.books.refused {
		if s.concerns(account, addr) {
			r.pardon(s.real())
		}
	}
}

// approve lets go ahead what the guard holds.
func (s *simRun) approve() {
	s.ask("approve", "", func(ctx context.Context, l *reconcile.Loop) error {
		held, err := l.Held(ctx)
		if err != nil || held == nil {
			return errNoSuch
		}
		s.mu.Lock()
		for _, a := range held.Revocations {
			s.approved[firstName(a)] = true
		}
		s.mu.Unlock()
		if err := l.Approve(ctx, held); err != nil {
			return err
		}
		held, err = l.Held(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.heldSinks = nil; held != nil {
			s.heldSinks = held.Sinks
		}
		if !s.inForce.IsZero() {
			s.inForce = s.real() // for what was held it is from now on
		}
		return err
	})
}

// login is a person who logs in.
func (s *simRun) login() {
	addr := s.config.nameOf("credential.person.c")
	s.note("login", addr, "", 0)
	n := s.draws.below("code", "", 1<<40)
	s.ask("login", addr, func(ctx context.Context, l *reconcile.Loop) error {
		return l.Login(ctx, addr, reconcile.LoginCode{Flow: providers.Flow{Code: secret.New(fmt.Sprint("code", n))}})
	})
}
