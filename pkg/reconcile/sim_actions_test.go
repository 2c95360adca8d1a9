package reconcile_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
)

// The actions that simulated APIs have: one that changes nothing for tokend, and
// one after which an account gets no token any more.
const (
	actionPoke = "poke"
	actionEnd  = "end"
)

// simActions declares them in a type.
const simActions = `
  action "` + actionPoke + `" {
    request {
      method  = "POST"
      url     = "${config.base_url}/poke"
      headers = { Authorization = "Bearer ${token.access_token}" }
    }
  }
  action "` + actionEnd + `" {
    destructive  = true
    ends_account = true
    request {
      method  = "POST"
      url     = "${config.base_url}/end"
      headers = { Authorization = "Bearer ${token.access_token}" }
    }
  }`

// simAct is an order for an action of one credential.
type simAct struct {
	asked bool // and not answered yet
	left  int  // how often its API may still be asked for one
}

func (s *simRun) act(addr string) *simAct {
	a, ok := s.acting[addr]
	if !ok {
		a = &simAct{}
		s.acting[addr] = a
	}
	return a
}

// drawAction has a person order an action.
func (s *simRun) drawAction() {
	d := s.draws
	addr := one(d, "acts", "", simCredentials[:simFew]...)
	o := reconcile.Order{Kind: reconcile.OrderAction, Action: one(d, "action", addr, actionPoke, actionPoke, actionEnd)}
	called, p := s.config.nameOf(addr), s.p
	s.mu.Lock()
	act := s.act(addr)
	if act.asked {
		s.mu.Unlock()
		return
	}
	act.asked = true
	act.left++
	before := act.left
	s.mu.Unlock()
	s.note("action", called, o.Action, 0)
	s.ask(o.Action, called, func(ctx context.Context, l *reconcile.Loop) error {
		err := l.Do(ctx, called, o)
		s.mu.Lock()
		defer s.mu.Unlock()
		act.asked = false
		switch {
		case p.isDead():
			act.left = 0 // who comes after it repeats nothing
		case errors.Is(err, context.DeadlineExceeded): // and what is under way may still be carried out
		case err == nil && act.left == before:
			s.fail("the action %q of %s is done, and was never sent", o.Action, called)
		default:
			act.left = 0
		}
		return err
	})
}

// perform is what an API makes of an action.
func (b *simBooks) perform(e *simEndpoint, c providers.Call) *providers.Error {
	a, s := b.access[c.Token.AccessToken.Reveal()], b.s
	if a == nil {
		s.fail("an action names a token that nobody issued")
		return nil
	}
	g := a.grant
	b.checkOrigin(e, g)
	rec := s.record(g.addr)
	switch {
	case rec.open != "action":
		s.fail("an action of %s is carried out, and no intent says so", g.addr)
	case rec.access != a.token:
		s.fail("an action of %s names %s, and %s is in force", g.addr, a.token, rec.access)
	case s.act(g.addr).left == 0:
		s.fail("an action of %s is carried out once more than it was ordered", g.addr)
	default:
		s.act(g.addr).left--
	}
	if !a.lives(s.real()) {
		return &providers.Error{Op: c.Op, Class: providers.ClassPermanent, Status: http.StatusUnauthorized, Message: "it is not honoured", Reached: true}
	}
	if c.Action == actionEnd {
		b.endAccount(g.account)
	}
	return nil
}

// endAccount ends all that was issued for an account, and refuses it from now on.
func (b *simBooks) endAccount(account string) {
	b.ended[account] = true
	for _, g := range b.grants {
		if g.account != account {
			continue
		}
		g.end()
		for _, a := range g.access {
			a.disowned = true
		}
	}
}

// told notes that tokend has heard that an account was ended: once that is on disk
// it is asked for no more than after a refusal.
func (e *simEndpoint) told(c providers.Call) {
	if c.Op != providers.OpAction || c.Action != actionEnd {
		return
	}
	s := e.p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.books.access[c.Token.AccessToken.Reveal()]; a != nil {
		s.books.refusals(a.grant.account).heard = s.passwords[a.grant.account]
	}
}

// reopen has every account that was ended get tokens again.
func (b *simBooks) reopen() {
	for account := range b.ended {
		b.reopened[account] = true
	}
	clear(b.ended)
}

// mendReopened has a person who opened accounts again say so of those for which a
// token was refused before that, and is needed only now.
func (s *simRun) mendReopened() {
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil {
		return
	}
	for _, l := range v.Credentials {
		i := slices.Index(simCredentials[:], firstName(l.Address))
		if l.State == reconcile.Stopped && s.books.reopened[s.config.account(i)] {
			s.mendAll()
			s.wait(time.Minute)
			return
		}
	}
}

// loginHelps says that a person who knows that an account was opened again goes on
// by a login.
func (s *simRun) loginHelps(l reconcile.Line) bool {
	return l.State == reconcile.Stopped && strings.HasPrefix(l.Address, "credential.person.") && strings.Contains(l.Why, "was ended by the action")
}
