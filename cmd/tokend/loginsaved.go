package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/providers/login"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// metaLogins is the value of the state, sealed like any, that has the logins.
const metaLogins = "logins"

// savedLogin is a login as the state has it. Of one that is over only how it ended
// is kept.
type savedLogin struct {
	ID      string    `json:"id"`
	Address string    `json:"address"`
	Began   time.Time `json:"began"`
	Until   time.Time `json:"until"`
	Pending []byte    `json:"pending,omitempty"`
	Grant   string    `json:"grant,omitempty"`
	Scopes  []string  `json:"scopes,omitempty"`
	Origins []string  `json:"origins,omitempty"`
	// Keyed hashes of the inputs that are compared. Earlier versions kept these as
	// they are.
	InputHashes map[string]string `json:"input_hashes,omitempty"`
	Inputs      []byte            `json:"inputs,omitempty"`
	// Of a login by a device code, which is kept until it is over.
	DeviceCode string        `json:"device_code,omitempty"`
	Interval   time.Duration `json:"interval,omitempty"`
	Sent       time.Time     `json:"sent,omitzero"`
	Got        bool          `json:"got,omitempty"` // a token, though perhaps its sinks do not hold it yet
	Done       bool          `json:"done,omitempty"`
	Error      string        `json:"error,omitempty"`
	Hint       string        `json:"hint,omitempty"`
}

// keepLogin remembers a login that begins, ends those whose place it takes, and
// forgets those that are long over. Of two that begin at the same moment one stays.
func (e *engine) keepLogin(ctx context.Context, l *openLogin) {
	e.knownLogins()
	e.changeLogins(ctx, func() bool {
		for id, old := range e.logins.known {
			if time.Since(old.until) > loginLasts {
				delete(e.logins.known, id)
			} else if e.takesPlaceOf(l, old) {
				old.end(errors.New("another login of it began meanwhile, and this one was given up"))
			}
		}
		e.logins.known[l.id] = l
		return true
	})
}

// changeLogins changes them under logins.mu, and writes them into the state where
// that changed anything. Who waits for a login's end hears of it once the state has
// it: see settled.
func (e *engine) changeLogins(ctx context.Context, change func() bool) {
	e.logins.saving.Lock()
	defer e.logins.saving.Unlock()
	e.logins.mu.Lock()
	changed := change()
	e.logins.mu.Unlock()
	if changed {
		_ = e.writeLogins(ctx)
	}
}

// keepLogins is changeLogins also while the daemon stops: the state is closed after
// who works on logins has ended.
func (e *engine) keepLogins(change func() bool) {
	e.changeLogins(context.WithoutCancel(e.ctx), change)
}

// settled returns once what was noted of logins before is in the state: the command
// that a login's end brings to its own closes the state.
func (e *engine) settled() {
	e.logins.saving.Lock()
	defer e.logins.saving.Unlock()
}

// loginOf is a login that began, also before a restart.
func (e *engine) loginOf(id, addr string) (*openLogin, error) {
	e.knownLogins()
	e.logins.mu.Lock()
	l := e.logins.known[id]
	e.logins.mu.Unlock()
	if l == nil || l.address != addr && e.addressOf(l) != addr {
		return nil, errLoginOver(addr)
	}
	return l, nil
}

// saveLogins is writeLogins for who does not hold logins.saving.
func (e *engine) saveLogins(ctx context.Context) error {
	e.logins.saving.Lock()
	defer e.logins.saving.Unlock()
	return e.writeLogins(ctx)
}

// writeLogins writes them into the state. Where that fails they live on in this
// process alone, and the log says so. The caller holds logins.saving.
func (e *engine) writeLogins(ctx context.Context) error {
	e.logins.mu.Lock()
	all := make([]savedLogin, 0, len(e.logins.known))
	for _, l := range e.logins.known {
		s, err := l.saved()
		if err != nil {
			e.log.Warn("a login will not outlive a restart", "address", l.address, "error", err)
			continue
		}
		all = append(all, s)
	}
	e.logins.mu.Unlock() // who looks at them waits for no disk
	change := state.Change{MetaKey: metaLogins}
	if len(all) > 0 {
		b, err := json.Marshal(all)
		if err != nil {
			e.log.Warn("logins will not outlive a restart", "error", "they cannot be encoded") // not err: it may quote
			return errors.New("they cannot be encoded")
		}
		change.Meta = b
	}
	err := e.store.Commit(ctx, change)
	if err != nil && ctx.Err() == nil {
		e.log.Warn("logins will not outlive a restart", "error", err)
	}
	return err
}

// saved is a login for the state. The caller holds logins.mu.
func (l *openLogin) saved() (savedLogin, error) {
	s := savedLogin{ID: l.id, Address: l.address, Began: l.began, Until: l.until, Sent: l.sent, Got: l.obtained, Done: isClosed(l.done)}
	if s.Done && l.err != nil {
		s.Error, s.Hint = l.err.Error(), hintOf(l.err)
	}
	if s.Done || s.Got || !l.sent.IsZero() {
		return s, nil // what its secrets were for is over
	}
	var err error
	if l.device != nil {
		s.DeviceCode, s.Interval = l.device.code.Reveal(), l.device.interval
	} else if s.Pending, err = l.pending.Seal(); err != nil {
		return s, err
	}
	s.Grant, s.Scopes, s.Origins, s.InputHashes = l.call.Grant, l.call.Scopes, l.origins, l.inputs
	return s, nil
}

// knownLogins reads what the state has of logins, once and for all: whoever asks
// first may go away meanwhile.
func (e *engine) knownLogins() {
	ctx := context.WithoutCancel(e.ctx)
	e.logins.mu.Lock()
	defer e.logins.mu.Unlock()
	if e.logins.known != nil {
		return
	}
	e.logins.known = map[string]*openLogin{}
	b, err := e.store.Meta(ctx, metaLogins)
	var all []savedLogin
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		if !errors.Is(err, state.ErrNotFound) {
			e.log.Warn("the logins that were under way cannot be read back; they have to begin again")
		}
		return
	}
	for _, s := range all {
		if l, err := e.openSaved(s); err == nil {
			e.logins.known[l.id] = l
			e.settleLogin(ctx, l)
		}
	}
}

// openSaved is a login that the state has.
func (e *engine) openSaved(s savedLogin) (*openLogin, error) {
	l := &openLogin{id: s.ID, address: s.Address, began: s.Began, until: s.Until, sent: s.Sent, origins: s.Origins, inputs: s.InputHashes,
		exchanged: make(chan struct{}), done: make(chan struct{})}
	if l.obtained = s.Got; s.Done || s.Got {
		if s.Error != "" {
			l.err = withHint(errors.New(s.Error), "%s", s.Hint)
		}
		close(l.exchanged)
		close(l.done)
	}
	var err error
	switch {
	case s.DeviceCode != "":
		l.device = &deviceCode{code: secret.New(s.DeviceCode), interval: s.Interval}
	case s.Pending == nil:
		return l, nil
	default:
		if l.pending, err = login.Open(s.Pending); err != nil {
			return nil, err
		}
	}
	l.call = providers.Call{Op: providers.OpExchange, Grant: s.Grant, Scopes: s.Scopes}
	if l.older = s.Inputs != nil; l.older {
		inputs, err := spec.OpenValues(s.Inputs)
		if err != nil {
			return nil, err
		}
		l.inputs, err = e.loop.LoginInputs(inputs, inputs.Names())
		return l, err
	}
	if l.inputs == nil {
		l.inputs = map[string]string{} // of none
	}
	return l, nil
}

// settleLogin finds out what came of a login whose code was sent before a restart:
// a code is never sent twice. That of a device was sent again and again, and goes on
// so unless it is spent: an answer may have been recorded of which the login does not
// know, and a code that is sent once more may cost the token that it brought. The
// caller holds logins.mu.
func (e *engine) settleLogin(ctx context.Context, l *openLogin) {
	since, device := l.sent, secret.Text{}
	if l.device != nil {
		since, device = l.began, l.device.code
	}
	if since.IsZero() || isClosed(l.done) {
		return
	}
	token, unread, _ := e.loop.Answered(ctx, e.addressOf(l), since, device) // what cannot be read says nothing
	switch {
	case token:
		l.obtained = true
	case l.device != nil && !unread:
		return
	case l.device != nil:
		l.err = withHint(errors.New("the answer to this login cannot be read, and is kept"), "see tokend status %s", reconcile.ShellAddress(l.address))
	default:
		l.err = withHint(errors.New("tokend stopped while the code of this login was being exchanged, and what came of that is not known"),
			"see tokend status %s", reconcile.ShellAddress(l.address))
	}
	close(l.exchanged)
	close(l.done)
	if l.device != nil {
		e.log.Info("a login that began before the restart has had its answer", "address", l.address)
	}
}
