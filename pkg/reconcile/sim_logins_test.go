package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
)

// simLogin is a login that a person is at.
type simLogin struct {
	addr    string // of the credential, as it was called when it began
	code    reconcile.LoginCode
	changes int  // of the configuration, before it began
	calm    bool // nothing was held, and no change was under way
}

// simCode is what an API knows of a code that it gives: it is for an account, and
// good at the address that the person was sent to.
type simCode struct{ account, origin string }

// drawLogin draws what a person does who takes a while for a login: begins one,
// brings one to its end, or is at one while something else happens.
func (s *simRun) drawLogin() {
	d := s.draws
	switch what := d.below("login", "", 10); {
	case what < 2:
		s.beginLogin()
		return
	case what < 4 && len(s.logins) > 0:
		s.finishLogin()
		return
	}
	if !s.beginLogin() {
		return
	}
	s.wait(d.longOrShort("at the login", "", 20*time.Millisecond, 10*time.Minute))
	if s.failed() {
		return
	}
	c, person := s.config, 2
	switch what := d.below("meanwhile", "", 8); {
	case what < 2:
		c.declared[person] = 1 + d.below("to what", "login", 2)
	case what < 4:
		c.style = one(d, "style", "login", 0, 6, 6, 8)
	case what < 5:
		c.declared[person] = 0
	case what < 6:
		s.armed.Store(int64(1 + d.below("dies after", "login", 12)))
	}
	if c != s.config {
		s.declare(c, d.chance("while down", "login", 0.2))
	}
	s.wait(d.longOrShort("the code comes", "", time.Millisecond, 3*time.Minute))
	if !s.failed() {
		s.finishLogin()
	}
}

// beginLogin has a person begin a login.
func (s *simRun) beginLogin() bool {
	l := simLogin{addr: s.config.nameOf("credential.person.c"), changes: s.declared, calm: !s.inForce.IsZero()}
	ep, call, _, err := s.p.loop.LoginCall(context.Background(), l.addr)
	if err != nil {
		return false
	}
	held, err := s.p.loop.Held(context.Background())
	l.calm = l.calm && err == nil && held == nil
	l.code.Began = call
	if l.code.Origins, err = ep.Origins(call.Grant, call.Inputs); err != nil {
		s.fail("asking where a login of %s goes: %v", l.addr, err)
		return false
	}
	account, err := call.Inputs.String("account")
	if err != nil {
		s.fail("a login of %s begins: %v", l.addr, err)
		return false
	}
	code := fmt.Sprint("begun", s.draws.below("code", "begun", 1<<40))
	l.code.Flow = providers.Flow{Code: secret.New(code)}
	s.mu.Lock()
	s.books.begun[code] = simCode{account, l.code.Origins[0]}
	s.mu.Unlock()
	s.note("login begins", l.addr, code+" "+account+" "+l.code.Origins[0], 0)
	s.logins = append(s.logins, l)
	return true
}

// finishLogin has a person who began a login come back with the code. It is sent
// where it is good, or the person is told why not.
func (s *simRun) finishLogin() {
	i := s.draws.below("which login", "", len(s.logins))
	l := s.logins[i]
	s.logins = append(s.logins[:i:i], s.logins[i+1:]...)
	s.note("login ends", l.addr, l.code.Flow.Code.Reveal(), 0)
	unchanged := l.calm && l.changes == s.declared
	p := s.p
	s.ask("login", l.addr, func(ctx context.Context, loop *reconcile.Loop) error {
		err := loop.Login(ctx, l.addr, l.code)
		if p.isDead() {
			return err
		}
		s.mu.Lock()
		used := s.books.codes[l.code.Flow.Code.Reveal()]
		s.mu.Unlock()
		var refused *reconcile.OrderError
		switch {
		case err == nil && used == 0:
			s.fail("a login of %s is done, and its code was never sent", l.addr)
		case errors.As(err, &refused) && strings.Contains(refused.Reason, "changed since") && (used > 0 || unchanged && l.changes == s.declared):
			s.fail("a login of %s is given up although nothing changed, or too late: %v", l.addr, err)
		}
		return err
	})
}

// checkCode: a code goes where the person was sent for it, for what it was asked
// for.
func (b *simBooks) checkCode(e *simEndpoint, account, code string) {
	if begun, ok := b.begun[code]; ok && begun != (simCode{account, e.base}) {
		b.s.fail("the code of a login for %s at %s is sent to %s for %s", begun.account, begun.origin, e.base, account)
	}
}
