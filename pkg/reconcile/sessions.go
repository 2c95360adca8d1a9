package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Where an account has one session (one_per_account), a login ends the token of every
// other credential of that account. Two that log in again whenever theirs does not work
// would end each other's for ever. So one holds the session, and the others do not log
// in: the one that logged in last, as long as it is declared for that account and its
// token lives, or is about to be replaced. That stands in the records, so that a start
// changes nothing. What else the account's logins have in common is in logins.go.

const (
	// classSession is what the record says of a login that was not made, since it would
	// end the session that another credential holds.
	classSession = "session"
	// sessionLook is how often it is looked at whether it still does.
	sessionLook = 30 * time.Second
	// sessionGrace is how long one whose token has ended, and whose login did not fail,
	// has to log in anew before others may.
	sessionGrace = 5 * time.Minute
)

// rival is another credential that holds the session of an account.
type rival struct {
	address string
	since   time.Time // when it logged in
}

// sessions says that a login by a grant ends tokens of its account, or that they end
// together: it matters then which are of one.
func (t Traits) sessions() bool {
	return t.Session == spec.SessionSharedGrant || t.oneSession()
}

// oneSession says that a login by a grant ends the tokens of others of its account.
func (t Traits) oneSession() bool {
	return t.Session == spec.SessionOnePerAccount && !t.Interactive && !t.Static
}

// holder is who holds the session of the account that hashes name, other than addr;
// nil: nobody, or addr itself, since it logged in after them, at since.
func (w *worker) holder(ctx context.Context, j *job, ob *observed, hashes map[string]string, since time.Time) (*rival, error) {
	who, ok := ob.account(j.cfg, hashes)
	if !ok {
		return nil, nil
	}
	var found *rival
	err := w.eachOfAccount(ctx, j.addr, who, func(rec *state.Credential) {
		g, a := rec.Grant, rec.Head.Address
		if !g.GrantedAt.After(since) || !sameInputs(g.InputHashes, hashes) || !holdsSession(rec, ob.in.Now) {
			return
		}
		if found != nil && (g.GrantedAt.Before(found.since) || g.GrantedAt.Equal(found.since) && a > found.address) || !w.keepsAccount(j.cfg, a, g) || !sameSettings(ob, j.cfg, g) {
			return
		}
		found = &rival{a, g.GrantedAt}
	})
	return found, err
}

// account is that which a login would be of that sends these inputs; false where it is not
// known.
func (ob *observed) account(cfg *spec.Config, hashes map[string]string) (account, bool) {
	want := ob.in.Want
	if !tellAccount(hashes) {
		return account{}, false
	}
	values, err := cfg.Inputs(want.Addr, known(want), spec.Scope{})
	if err != nil {
		return account{}, false
	}
	origins, err := ob.ep.ep.Origins(want.Grant.Name, values)
	if err != nil {
		return account{}, false
	}
	sort.Strings(origins)
	by := wayInOf(want.Type.Name, want.Grant.Name, ob.in.Traits)
	return account{by, by.key(origins, hashes)}, true
}

// eachOfAccount hands out the records of all credentials but one whose token in force may
// be of an account.
func (w *worker) eachOfAccount(ctx context.Context, addr string, who account, f func(*state.Credential)) error {
	of := fate{account: who}
	held, _, err := w.othersOf(ctx, addr, of, 0, true)
	if err != nil {
		return err
	}
	return w.eachHolder(ctx, held, of, func(rec *state.Credential) bool {
		if who.of(rec.Grant) { // and not of one that it had a moment ago
			f(rec)
		}
		return true
	})
}

// holdsSession says that a token lives for all that is known, or that its credential
// is about to log in anew. One that cannot keeps nobody else from it.
func holdsSession(rec *state.Credential, now time.Time) bool {
	g, f := rec.Grant, rec.Failure
	stopped := f != nil && f.Op == opGrant && f.Stopped
	switch {
	case rec.Verified.Refused == g.Generation && stopped:
		return false
	case g.ExpiresAt.IsZero() || now.Before(g.ExpiresAt):
		return true
	}
	return f == nil && now.Before(g.ExpiresAt.Add(sessionGrace))
}

// keepsAccount says that a credential is declared, and for the account that its token
// is of. Where it is not, it waits for nobody either, so that two can change places.
func (w *worker) keepsAccount(cfg *spec.Config, addr string, g *state.Grant) bool {
	want, err := cfg.Credential(spec.Address(addr))
	if err != nil || want.Type.Name != g.Type || string(want.Provider) != g.Provider {
		return false
	}
	names := []string{}
	for _, in := range want.Inputs {
		if in.Given && !in.Deferred {
			names = append(names, in.Name)
		}
	}
	values, err := cfg.Inputs(want.Addr, names, spec.Scope{})
	if err != nil {
		return false
	}
	hashes, err := w.hashValues(want, names, values)
	return err == nil && !slices.ContainsFunc(changedInputs(g, want, hashes, false), func(n string) bool { return n != "scopes" })
}

// sameSettings says that a token came by the settings by which a credential would log in:
// another block may have others, a tenant say, at the same addresses.
func sameSettings(ob *observed, cfg *spec.Config, g *state.Grant) bool {
	want := ob.in.Want
	if string(want.Provider) == g.Provider {
		return true
	}
	settings := func(addr spec.Address) []byte {
		p, err := cfg.Provider(addr, ob.scope)
		if err != nil {
			return nil
		}
		b, err := p.Config.Seal(nil)
		if err != nil {
			return nil
		}
		return b
	}
	a := settings(want.Provider)
	return a != nil && bytes.Equal(a, settings(spec.Address(g.Provider)))
}

// observeSession notes who holds the session of a credential's account, where its own
// login was not made for that, or was followed by another's; a plan, where it would not
// be made.
func (w *worker) observeSession(ctx context.Context, j *job, ob *observed) error {
	in := &ob.in
	f, g := in.Record.Failure, in.Record.Grant
	if in.Want == nil || !in.Traits.oneSession() {
		in.Fresh = in.Fresh || in.Want != nil && f != nil && f.Class == classSession // its type says so no more
		return nil
	}
	var since time.Time
	if g != nil {
		since = g.GrantedAt
	}
	waits := f != nil && f.Class == classSession
	if waits && !in.Fresh {
		other, err := w.holder(ctx, j, ob, f.InputHash, since)
		if err != nil {
			return fmt.Errorf("looking who holds the session of %s: %w", j.addr, err)
		}
		in.Session, in.Fresh = other, other == nil
		return nil
	}
	if g == nil && f == nil && j.dry && !j.noSecrets {
		hashes, err := w.hashInputs(j, ob, true)
		if err != nil {
			return nil // what cannot be read is said by whoever needs it
		}
		in.Session, err = w.holder(ctx, j, ob, hashes, since)
		return err
	}
	if waits || g == nil || g.Type != in.Want.Type.Name || g.GrantType != in.Want.Grant.Name {
		return nil
	}
	other, err := w.holder(ctx, j, ob, g.InputHashes, since)
	if err != nil {
		return fmt.Errorf("looking who holds the session of %s: %w", j.addr, err)
	}
	if other != nil && other.since.After(g.ObtainedAt) {
		in.Session = other // it was not refreshed since
	}
	return nil
}

// heldBack keeps a login from being made that would end another credential's session,
// unless a person wants just that.
func (p *performer) heldBack(hashes map[string]string) bool {
	in := &p.ob.in
	if !in.Traits.oneSession() || in.Order.Kind == OrderRetry {
		return false
	}
	var since time.Time
	if g := in.Record.Grant; g != nil {
		since = g.GrantedAt
	}
	in.Now = p.w.now()
	other, err := p.w.holder(p.ctx, p.j, p.ob, hashes, since)
	if err != nil {
		err = fmt.Errorf("looking who holds the session of %s: %w", p.j.addr, err)
		p.r.next, p.r.standing = in.Now.Add(sessionLook), &Standing{State: Failing, Why: err.Error(), Next: "tried again", Mend: in.mend("retry")}
		p.fail(err)
		return true
	}
	if other == nil {
		return false
	}
	in.Session, in.Fresh = other, false
	in.losesSession(in.Now, hashes)
	s := in.waitsForSession()
	p.log().Warn("a login is not made, since it would end the session of another credential", "holder", other.address)
	if p.save("that a login is not made") {
		p.r.next, p.r.standing = earlier(s.Next, in.stoppedNext()), standingOf(s)
		p.stillReady()
	}
	p.fail(errors.New(s.Why))
	return true
}

// tookSession has the others of an account looked at once one has logged in: what they
// hold is of no use any more.
func (p *performer) tookSession(hashes map[string]string, before uint64) {
	in := &p.ob.in
	if !in.Traits.oneSession() || in.Record.Head.Generation <= before {
		return
	}
	if who, ok := p.ob.account(p.j.cfg, hashes); ok {
		_ = p.w.eachOfAccount(p.ctx, p.j.addr, who, func(rec *state.Credential) { // else they find out by themselves
			p.r.wakes = append(p.r.wakes, rec.Head.Address)
		})
	}
}

// waitsForSession is the step of a credential whose account another one is logged in
// with.
func (in *Input) waitsForSession() Step {
	other := in.Session
	why := fmt.Sprintf("its account allows one session, which %s holds since %s: logging in would end that one's token", other.address, other.since.UTC().Format(time.RFC3339))
	return Step{Action: ActWait, State: Stopped, Next: in.Now.Add(sessionLook), Reason: why, Why: why,
		Mend: "let its sinks name " + spec.Address(other.address).Short() + " and take it out, or give one of them another account; " + in.mend("retry") + " takes the session over"}
}

// losesSession notes that its login would end another's session, and that it is to be
// made as soon as it would not. Where that other one came after its own, the token held
// has ended with it, and is replaced then, however good it looks.
func (in *Input) losesSession(now time.Time, hashes map[string]string) {
	rec := &in.Record
	own := state.Failure{Op: opGrant, Class: classSession, Message: in.waitsForSession().Why, Stopped: true, Count: 1, FirstAt: now, LastAt: now, NextAt: now, InputHash: hashes}
	switch held := rec.Failure; {
	case held == nil:
	case held.Op == opRefresh:
		in.RefreshFailure = held
	case held.Op == opGrant:
		own.Reached = held.Reached // the account has counted them
	}
	rec.Failure = &own
	if g := rec.Grant; g != nil && in.Session.since.After(g.ObtainedAt) {
		rec.Head.Flags |= state.FlagTainted
	}
}

// overtaken is a credential whose token the login of another one has ended, which is
// not noted yet.
func overtaken(in *Input) (Step, bool) {
	g, f := in.Record.Grant, in.Record.Failure
	switch {
	case in.Session == nil || g == nil || f != nil && f.Class == classSession:
		return Step{}, false
	case spares(f, in.Now) && !in.Fresh && in.Order.Kind != OrderRetry:
		return Step{}, false // nothing is sent for another, and that it was refused is not to be forgotten
	case in.Order.Kind == OrderRefresh && canRefresh(in, g):
		return Step{}, false // it is refused, most likely, and that is what is asked for
	case in.Order.Kind == OrderRetry:
		return Step{Action: ActReplace, Cause: causeExpired, State: Pending, Reason: "a person wants it to have the session of its account, which " + in.Session.address + " holds"}, true
	}
	s := in.waitsForSession()
	s.Action, s.Cause, s.Next = ActNote, causeSession, time.Time{}
	return s, true
}
