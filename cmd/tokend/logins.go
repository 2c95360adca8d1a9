package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/providers/login"
	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
)

// logins are the logins that persons are at, and those that came to their end a
// while ago: a browser visits twice, and who waited may ask again. They are kept
// in the state, so that a restart between a login's two ends loses none.
type logins struct {
	saving sync.Mutex // held while they are written, so that the newest is written last; before mu
	mu     sync.Mutex
	known  map[string]*openLogin // nil: not read from the state yet
}

// openLogin is one login, between its beginning and a while after its end.
type openLogin struct {
	id       string
	address  string
	pending  login.Pending
	endpoint *providers.Endpoint // nil after a restart
	call     providers.Call      // that it began with
	inputs   map[string]string   // keyed hashes of those whose change makes it one for something else
	origins  []string            // that its grant asks
	device   *deviceCode         // nil for a login by a redirect
	older    bool                // the state has it in the form of an earlier version
	began    time.Time
	until    time.Time

	turn sync.Mutex // of who hands a redirect over
	// The rest is guarded by logins.mu.
	sent      time.Time     // when its code was sent; zero: not yet
	obtained  bool          // the exchange brought a token
	exchanged chan struct{} // closed when the token is recorded, or the login is over
	done      chan struct{} // closed when the sinks hold the token, or the login is over
	err       error         // why it failed
}

// loginLasts is how long a person has for a login.
const loginLasts = 15 * time.Minute

// errLoginOver is for a login that is not known, any more.
func errLoginOver(addr string) error {
	return withHint(errors.New("this login has ended: it was completed already, or it took too long"), "begin again: tokend login %s", reconcile.ShellAddress(addr))
}

// begunLogin is what a login begins with.
type begunLogin struct {
	endpoint *providers.Endpoint
	call     providers.Call
	want     *spec.Credential
}

// beginLogin looks at what a login is for.
func (e *engine) beginLogin(ctx context.Context, addr string) (begunLogin, error) {
	ep, call, want, err := e.loop.LoginCall(ctx, addr)
	if err != nil {
		return begunLogin{}, err
	}
	if !want.Grant.Interactive() {
		return begunLogin{}, withHint(fmt.Errorf("%s needs no login: its grant %q works by itself", want.Addr.Short(), want.Grant.Name), "`tokend status %s` says how it does", reconcile.ShellAddress(string(want.Addr)))
	}
	endpoint, ok := ep.(*providers.Endpoint)
	if !ok {
		return begunLogin{}, fmt.Errorf("logging in to %s: its endpoint is of another kind", want.Addr.Short())
	}
	return begunLogin{endpoint, call, want}, e.loop.Discover(ctx, want, endpoint, call)
}

// LoginStart begins a login. Who asks says whether the redirect will be pasted, or
// which port was opened for it where the redirect URI leaves that open.
func (e *engine) LoginStart(ctx context.Context, in loginRequest) (loginReply, error) {
	b, err := e.beginLogin(ctx, in.Address)
	if err != nil {
		return loginReply{}, err
	}
	if b.want.Grant.Device != nil {
		return e.startDevice(ctx, in, b)
	}
	reply := loginReply{Redirect: b.call.Flow.RedirectURI, Served: e.serves(b.call.Flow.RedirectURI)}
	if l, ok := login.ParseLoopback(reply.Redirect); ok && l.Port == 0 {
		if in.Port == 0 && !in.Paste {
			return reply, nil
		}
		reply.Redirect = l.At(in.Port)
		b.call.Flow.RedirectURI = reply.Redirect
	}
	l, err := e.newLogin(in.Address, b)
	if err != nil {
		return loginReply{}, err
	}
	if l.pending, err = login.Start(b.endpoint, b.call); err != nil {
		return loginReply{}, err
	}
	e.keepLogin(ctx, l)
	e.expireInBackground(l)
	reply.ID, reply.URL, reply.Until = l.id, l.pending.URL, l.until
	reply.Stray = b.want.Grant.Authorize.State == spec.StateIfReturned
	return reply, nil
}

// newLogin makes a login of what it begins with.
func (e *engine) newLogin(addr string, b begunLogin) (*openLogin, error) {
	origins, err := b.endpoint.Origins(b.call.Grant, b.call.Inputs)
	if err != nil {
		return nil, err
	}
	compared := []string{}
	for _, i := range b.want.Inputs {
		if i.OnChange == spec.OnChangeReplace {
			compared = append(compared, i.Name)
		}
	}
	inputs, err := e.loop.LoginInputs(b.call.Inputs, compared)
	if err != nil {
		return nil, err
	}
	now := time.Now().Round(0) // by the wall clock: time asleep counts
	return &openLogin{id: rand.Text(), address: addr, endpoint: b.endpoint, call: b.call, origins: origins, inputs: inputs, began: now, until: now.Add(loginLasts),
		exchanged: make(chan struct{}), done: make(chan struct{})}, nil
}

// code is what a login brought, with what it began with.
func (l *openLogin) code(flow providers.Flow) reconcile.LoginCode {
	return reconcile.LoginCode{Flow: flow, Began: l.call, Origins: l.origins, Inputs: l.inputs}
}

// LoginFinish hands a redirect over and waits until the sinks hold what it brought.
func (e *engine) LoginFinish(ctx context.Context, in loginFinish) error {
	l, err := e.loginOf(in.ID, in.Address)
	if err != nil {
		return err
	}
	if in.Visited && !l.pending.Answers(login.StateIn(in.Redirect)) {
		return fmt.Errorf("finishing the login: %w", login.ErrState)
	}
	if err := e.redirected(ctx, l, in.Redirect); err != nil {
		return err
	}
	return e.loginEnd(ctx, l, l.done)
}

// exchangeLogin hands a redirect over and waits for the exchange alone.
func (e *engine) exchangeLogin(ctx context.Context, in loginFinish) error {
	l, err := e.loginOf(in.ID, in.Address)
	if err != nil {
		return err
	}
	if err := e.redirected(ctx, l, in.Redirect); err != nil {
		return err
	}
	return e.loginEnd(ctx, l, l.exchanged)
}

// LoginWait waits until a login has come to its end.
func (e *engine) LoginWait(ctx context.Context, in loginID) error {
	l, err := e.loginOf(in.ID, in.Address)
	if err != nil {
		return err
	}
	return e.loginEnd(ctx, l, l.done)
}

// LoginCancel gives a login up whose code was not sent.
func (e *engine) LoginCancel(ctx context.Context, in loginID) error {
	l, err := e.loginOf(in.ID, in.Address)
	if err != nil {
		return nil //nolint:nilerr // it is over
	}
	e.keepLogins(func() bool {
		waits := l.waits(time.Now())
		if waits { // at once, or its code is sent in between
			delete(e.logins.known, l.id)
			l.end(withHint(errors.New("this login was given up"), "begin again: tokend login %s", reconcile.ShellAddress(l.address)))
		}
		return waits
	})
	return nil
}

// redirected takes what a redirect brought. Its code is sent once, however often
// it is handed in, and also when who handed it in does not wait for the answer.
func (e *engine) redirected(ctx context.Context, l *openLogin, given string) error {
	if l.device != nil {
		return fmt.Errorf("%s logs in by a code that is entered at the provider: there is nothing to hand over", spec.Address(l.address).Short())
	}
	l.turn.Lock()
	defer l.turn.Unlock()
	e.logins.mu.Lock()
	waits := l.waits(time.Now())
	e.logins.mu.Unlock()
	if !waits {
		return nil // it has its redirect: what came of that is the answer
	}
	endpoint, call, err := e.endpointOf(ctx, l)
	if err != nil {
		return err
	}
	flow, err := l.pending.Finish(endpoint, call, given)
	if errors.Is(err, providers.ErrRefused) {
		e.endLogin(l, err)
		return nil
	}
	if err != nil {
		return err // what was brought was not it
	}
	if sends, err := e.sendLogin(l); err != nil || !sends {
		return err
	}
	e.ended.Add(1)
	go func() {
		defer e.ended.Done()
		e.completeLogin(l, l.code(flow))
	}()
	return nil
}

// sendLogin notes that a login's code is sent, before it is: one that was given up
// meanwhile is not sent, nor one of which a restart would not know.
func (e *engine) sendLogin(l *openLogin) (sends bool, err error) {
	e.logins.mu.Lock()
	if sends = l.waits(time.Now()); sends {
		l.sent = time.Now()
	}
	e.logins.mu.Unlock()
	if !sends {
		return false, nil
	}
	if err := e.saveLogins(e.ctx); err != nil {
		e.logins.mu.Lock()
		l.sent = time.Time{}
		e.logins.mu.Unlock()
		if e.ctx.Err() != nil {
			return false, reconcile.ErrClosed
		}
		return false, withHint(fmt.Errorf("noting in the state that the code of this login is sent: %w: it was not sent", err), "see to the state, and begin again: tokend login %s", reconcile.ShellAddress(l.address))
	}
	return true, nil
}

// completeLogin exchanges a code and delivers what that brought.
func (e *engine) completeLogin(l *openLogin, code reconcile.LoginCode) {
	err := e.loop.Login(e.ctx, e.addressOf(l), code)
	switch {
	case err == nil:
		e.obtainedLogin(l)
	case e.ctx.Err() == nil:
		e.endLogin(l, err)
	} // else what came of it the next start finds out
}

// obtainedLogin delivers what a login brought.
func (e *engine) obtainedLogin(l *openLogin) {
	e.noteObtained(l)
	if err := e.deliver(e.ctx, e.addressOf(l), reconcile.OrderLogin, false); err == nil || e.ctx.Err() == nil {
		e.endLogin(l, err)
	}
}

// noteObtained notes that there is a token, also where the login was ended in the
// middle of the exchange.
func (e *engine) noteObtained(l *openLogin) {
	e.keepLogins(func() bool {
		l.obtained = true
		if !isClosed(l.exchanged) {
			close(l.exchanged)
		}
		return true
	})
}

// endLogin says how a login came to its end, once.
func (e *engine) endLogin(l *openLogin, err error) {
	e.keepLogins(func() bool { return l.end(err) })
}

// end notes a login's end, unless it has come to one. The caller holds logins.mu.
func (l *openLogin) end(err error) bool {
	if isClosed(l.done) {
		return false
	}
	l.err = err
	if !isClosed(l.exchanged) {
		close(l.exchanged)
	}
	close(l.done)
	return true
}

// loginEnd waits for one of a login's ends, or until it has taken too long.
func (e *engine) loginEnd(ctx context.Context, l *openLogin, end <-chan struct{}) error {
	over := time.Until(l.until)
	if l.device != nil {
		over += deviceGrace // who polls has the last word
	}
	late := time.NewTimer(over)
	defer late.Stop()
	for {
		select {
		case <-end:
			e.settled()
			e.logins.mu.Lock()
			defer e.logins.mu.Unlock()
			if end == l.exchanged && l.obtained {
				return nil // delivering it may have failed since
			}
			return l.err
		case <-ctx.Done():
			return ctx.Err()
		case <-e.ctx.Done():
			return reconcile.ErrClosed
		case <-late.C:
			e.logins.mu.Lock()
			waits := l.waits(l.began)
			e.logins.mu.Unlock()
			if waits {
				return loginLate(l)
			} // else its answer comes
		}
	}
}

// waits reports whether a login waits for its redirect. The caller holds logins.mu.
func (l *openLogin) waits(now time.Time) bool {
	return l.sent.IsZero() && !isClosed(l.done) && !now.After(l.until)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// endpointOf is whom a login's redirect is judged by: those that it began with,
// or after a restart what the configuration says now. Where that is something else
// the exchange is refused.
func (e *engine) endpointOf(ctx context.Context, l *openLogin) (*providers.Endpoint, providers.Call, error) {
	if l.endpoint != nil {
		return l.endpoint, l.call, nil
	}
	b, err := e.beginLogin(ctx, e.addressOf(l))
	return b.endpoint, b.call, err
}

// serves says who receives a redirect: the daemon's pages where they are at its
// address, else the command that began the login where that is of its machine.
func (e *engine) serves(uri string) string {
	e.mu.Lock()
	pages := e.pages
	e.mu.Unlock()
	local, isLocal := login.ParseLoopback(uri)
	if pages != "" && pageServes(pages, e.loop.Config().Settings().PublicURL, uri, local, isLocal) {
		return servedByDaemon
	}
	if isLocal {
		return servedByCommand
	}
	return ""
}

// addressOf is the address that a login is for: that under which it began or, once a
// moved block has renamed its credential, the one that this has now.
func (e *engine) addressOf(l *openLogin) string { return e.loop.AddressNow(l.address) }

// callback is the page that redirects come to, for the daemon's pages.
func (e *engine) callback() *login.Callback {
	return &login.Callback{Finish: e.visited}
}

// visited is a browser that came to the daemon's pages. The redirect says by its
// state which login it answers, and that it answers one: any web page can have a
// browser come here.
func (e *engine) visited(ctx context.Context, path, redirected string) (string, error) {
	select {
	case <-e.declared:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	e.knownLogins()
	state := login.StateIn(redirected)
	e.logins.mu.Lock()
	var found *openLogin
	waiting := false
	for _, l := range e.logins.known {
		switch {
		case l.pending.Answers(state):
			found = l
		case l.device == nil && l.waits(time.Now()) && l.comesTo(path):
			waiting = true
		}
	}
	e.logins.mu.Unlock()
	switch {
	case found != nil:
	case waiting:
		return "", login.ErrState
	default:
		return "", login.ErrNone
	}
	if err := e.redirected(ctx, found, redirected); err != nil {
		return "", err
	}
	return spec.Address(e.addressOf(found)).Short(), e.loginEnd(ctx, found, found.exchanged)
}

// comesTo reports whether a login's redirect comes to a path of the daemon's pages.
func (l *openLogin) comesTo(path string) bool {
	return path == callbackPath || pathOf(l.pending.RedirectURI) == path
}

// callbackPath is where the redirects of `public_url` come to.
const callbackPath = "/callback"

// callbackAt reports whether a path of the daemon's pages is where a login that is
// known ends, also while the daemon still starts.
func (e *engine) callbackAt(path string) bool {
	if path == callbackPath {
		return true
	}
	e.knownLogins()
	e.logins.mu.Lock()
	defer e.logins.mu.Unlock()
	for _, l := range e.logins.known {
		if pathOf(l.pending.RedirectURI) == path {
			return true
		}
	}
	return false
}
