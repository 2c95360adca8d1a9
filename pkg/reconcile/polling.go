package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Asks is how often a device code is asked about ([login.Poll]).
//
// [login.Poll]: https://pkg.go.dev/tokend/pkg/providers/login#Poll
type Asks interface {
	// Interval is how long is waited between two answers, by now.
	Interval() time.Duration
	// Least is the least wait that the server allows before the next question.
	Least() time.Duration
	// After is how long to wait after a question that failed so; false: it ends the login.
	After(err error) (wait time.Duration, goesOn bool)
}

// Polling is a login by a device code (RFC 8628) that waits for its person.
type Polling struct {
	Address string
	Code    LoginCode
	Asks    Asks
	Until   time.Time       // by the wall clock: nobody approves it any more
	Done    <-chan struct{} // closed when another takes its place
	// Failed hears of each question that brought no token, if the login goes on or not.
	Failed func(error)
}

var (
	// ErrLate ends a login by a device code that nobody approved in time.
	ErrLate = errors.New("nobody approved it in time")
	// ErrUndecided: a login by a device code was not asked about to its end, since
	// another took its place, or tokend stops.
	ErrUndecided = errors.New("it waits still")
)

// Poll asks about a device code until there is an answer. Each question is an exchange
// in the durable order, like that of any code. It returns nil with a token, the answer
// that ended the login, [ErrLate], or [ErrUndecided].
func (l *Loop) Poll(ctx context.Context, p Polling) error {
	for wait := p.Asks.Interval(); ; {
		if now := l.o.Now(); now.Add(wait).After(p.Until) {
			wait = min(wait, max(p.Until.Sub(now)+time.Second, p.Asks.Least())) // the last answer is the server's
		}
		select {
		case <-time.After(wait):
		case <-p.Done:
			return ErrUndecided
		case <-ctx.Done():
			return ErrUndecided // the next start goes on
		}
		select {
		case <-p.Done:
			return ErrUndecided
		default:
		}
		err := l.Login(ctx, l.AddressNow(p.Address), p.Code)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ErrUndecided
		}
		var goesOn bool
		wait, goesOn = p.Asks.After(pollFailure(err))
		if p.Failed != nil {
			p.Failed(err)
		}
		switch {
		case !goesOn:
			return err
		case l.o.Now().After(p.Until):
			return ErrLate
		}
	}
}

// AddressNow is the address that a credential has by now: where it is no longer declared
// and a moved block says what it is called, that one.
func (l *Loop) AddressNow(addr string) string {
	cfg := l.config.Load()
	if cfg == nil || cfg.Declares(spec.Address(addr)) {
		return addr
	}
	if to, _, ok := cfg.RenamedTo(spec.Address(addr)); ok && cfg.Declares(to) {
		return string(to)
	}
	return addr
}

// pollFailure is what a question's failure counts as. What kept it from being sent
// (a secret that cannot be read now, a disk that is full) may be over soon.
func pollFailure(err error) error {
	var answer *providers.Error
	var inWay *OrderError
	var missing *NotFoundError
	if errors.As(err, &answer) || errors.As(err, &inWay) || errors.As(err, &missing) {
		return err
	}
	return &providers.Error{Op: providers.OpExchange, Class: providers.ClassTransient}
}

// metaExchanged is before the keyed hash of the address of a credential that a device
// code has brought an answer for: its value is that of the code. It is written together
// with what the code brought, and says without a clock that it was not sent in vain. (An
// address may be longer than a key.)
const metaExchanged = "exchanged/"

func exchangedKey(s state.Store, addr string) string {
	return metaExchanged + s.Hash("exchanged", []byte(addr))
}

// exchanged is what is recorded with the answer to a call: of a device code that it is
// spent.
func (p *performer) exchanged(c *call) []state.Change {
	changes := []state.Change{{IntentFor: p.j.addr, ClearIntent: true}}
	if c.poll && c.intent.TokenHash != "" {
		changes = append(changes, state.Change{MetaKey: exchangedKey(p.w.store, p.j.addr), Meta: []byte(c.intent.TokenHash)})
	}
	return changes
}

// unexchanged takes out what is recorded of a device code of an address, with the
// record: without that it says nothing.
func unexchanged(ctx context.Context, s state.Store, addr string) []state.Change {
	key := exchangedKey(s, addr)
	if _, err := s.Meta(ctx, key); errors.Is(err, state.ErrNotFound) {
		return nil
	}
	return []state.Change{{MetaKey: key}}
}

// movedExchanged has it go with the record to another address.
func movedExchanged(ctx context.Context, s state.Store, from, to string) ([]state.Change, error) {
	b, err := s.Meta(ctx, exchangedKey(s, from))
	if errors.Is(err, state.ErrNotFound) {
		return unexchanged(ctx, s, to), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which code of %s was answered: %w", from, err)
	}
	return []state.Change{{MetaKey: exchangedKey(s, from)}, {MetaKey: exchangedKey(s, to), Meta: b}}, nil
}

// exchanged reports whether a device code has brought an answer that is recorded, a
// token or a reply that cannot be read; told is false where the state does not tell,
// since none of its address ever did.
func (l *Loop) exchanged(ctx context.Context, addr string, code secret.Text) (answered, told bool, err error) {
	store := l.recorded()
	b, err := store.Meta(ctx, exchangedKey(store, addr))
	if errors.Is(err, state.ErrNotFound) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("reading which code of %s was answered: %w", addr, err)
	}
	return string(b) == state.HashText(store, "spent", code), true, nil
}
