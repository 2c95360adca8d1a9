package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Where an account has one session (one_per_account), a login ends the token of every
// other credential of that account. Two that log in again whenever theirs does not work
// would end each other's for ever. So one holds the session, and the others do not log
// in: the one that logged in last, as long as it is declared for that account and its
// token lives, or is about to be replaced. That stands in the records, so that a start
// changes nothing. What else the account's logins have in common is in accounts.go.

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

// sessions are the credentials by their accounts, as their records have it. It begins
// to know them once it is asked: types without such sessions pay nothing. It is safe
// for concurrent use.
type sessions struct {
	seed  maphash.Seed
	mu    sync.Mutex
	of    map[string]uint64   // the account, by address
	by    map[uint64][]string // the addresses, by account
	moves int                 // how often records got other addresses
	whole bool                // all records were read since then
}

func newSessions() *sessions { return &sessions{seed: maphash.MakeSeed()} }

// sessionKey names the account of a grant: what it was obtained with, but for the
// scopes; "" where that is not known.
func sessionKey(typ, grant string, hashes map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\x00%s", typ, grant)
	n := 0
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		switch {
		case hashes[name] == unknownHash:
			return ""
		case name == "scopes" || name == refusedTo:
			continue
		}
		n++
		fmt.Fprintf(&b, "\x00%s=%s", name, hashes[name])
	}
	if n == 0 {
		return ""
	}
	return b.String()
}

func (s *sessions) account(g *state.Grant) uint64 {
	if g == nil {
		return 0
	}
	key := sessionKey(g.Type, g.GrantType, g.InputHashes)
	if key == "" {
		return 0
	}
	return maphash.String(s.seed, key) | 1
}

// committed takes over what the state has just got.
func (s *sessions) committed(changes []state.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		return
	}
	for _, c := range changes {
		switch {
		case c.Credential != nil:
			s.set(c.Credential.Head.Address, s.account(c.Credential.Grant))
		case c.Delete != "":
			s.set(c.Delete, 0)
		}
	}
}

func (s *sessions) set(addr string, account uint64) {
	was, known := s.of[addr]
	if known && was == account {
		return
	}
	if was != 0 {
		s.by[was] = slices.DeleteFunc(s.by[was], func(a string) bool { return a == addr })
		if len(s.by[was]) == 0 {
			delete(s.by, was)
		}
	}
	s.of[addr] = account
	if account != 0 {
		s.by[account] = append(s.by[account], addr)
	}
}

// moved has it begin anew: records have other addresses now.
func (s *sessions) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of, s.by, s.whole = nil, nil, false
	s.moves++
}

// others lists the credentials but one that have an account.
func (s *sessions) others(key, addr string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, a := range s.by[maphash.String(s.seed, key)|1] {
		if a != addr {
			all = append(all, a)
		}
	}
	slices.Sort(all)
	return all
}

// leaves lists the others of an account that a credential has now and no more with
// another grant.
func (s *sessions) leaves(addr string, g *state.Grant) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.of[addr]
	if was == 0 || was == s.account(g) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.by[was]), func(a string) bool { return a == addr })
}

// learnSessions reads the records, if that was not done yet.
func (w *worker) learnSessions(ctx context.Context) error {
	s := w.sessions
	s.mu.Lock()
	if s.of == nil {
		s.of, s.by = map[string]uint64{}, map[uint64][]string{}
	}
	moves, whole := s.moves, s.whole
	s.mu.Unlock()
	if whole {
		return nil
	}
	err := w.eachToken(ctx, func(addr string, g *state.Grant) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, known := s.of[addr]; !known && moves == s.moves {
			s.set(addr, s.account(g))
		}
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if moves != s.moves {
		return errRecordsMoved
	}
	s.whole = true
	return nil
}

// oneSession says that a login by a grant ends the tokens of others of its account.
func (t Traits) oneSession() bool {
	return t.Session == spec.SessionOnePerAccount && !t.Interactive && !t.Static
}

// holder is who holds the session of the account that hashes name, other than addr;
// nil: nobody, or addr itself, since it logged in after them, at since.
func (w *worker) holder(ctx context.Context, j job, ob *observed, hashes map[string]string, since time.Time) (*rival, error) {
	want := ob.in.Want
	key := sessionKey(want.Type.Name, want.Grant.Name, hashes)
	if key == "" {
		return nil, nil
	}
	if err := w.learnSessions(ctx); err != nil {
		return nil, err
	}
	var found *rival
	for _, a := range w.sessions.others(key, j.addr) {
		rec, _, err := w.store.Credential(ctx, a)
		if errors.Is(err, state.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		g := rec.Grant
		if g == nil || !g.GrantedAt.After(since) || sessionKey(g.Type, g.GrantType, g.InputHashes) != key || !holdsSession(&rec, ob.in.Now) {
			continue
		}
		if found != nil && !g.GrantedAt.After(found.since) || !w.keepsAccount(j.cfg, a, g) || !sameAPI(ob, j.cfg, g) {
			continue
		}
		found = &rival{a, g.GrantedAt}
	}
	return found, nil
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

// sameAPI says that a token came from the API that a credential would be asked for:
// from the same addresses, by the same settings.
func sameAPI(ob *observed, cfg *spec.Config, g *state.Grant) bool {
	want := ob.in.Want
	if values, err := cfg.Inputs(want.Addr, known(want), spec.Scope{}); err == nil {
		if origins, err := ob.ep.ep.Origins(want.Grant.Name, values); err == nil {
			sort.Strings(origins)
			if !slices.Equal(origins, g.Origins) {
				return false
			}
		}
	}
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
func (w *worker) observeSession(ctx context.Context, j job, ob *observed) error {
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
	if in.Traits.oneSession() && in.Record.Head.Generation > before && p.w.learnSessions(p.ctx) == nil {
		p.r.wakes = append(p.r.wakes, p.w.sessions.others(sessionKey(in.Want.Type.Name, in.Want.Grant.Name, hashes), p.j.addr)...)
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
	case in.Order.Kind == OrderRefresh && canRefresh(in, g):
		return Step{}, false // it is refused, most likely, and that is what is asked for
	case in.Order.Kind == OrderRetry:
		return Step{Action: ActReplace, Cause: causeExpired, State: Pending, Reason: "a person wants it to have the session of its account, which " + in.Session.address + " holds"}, true
	}
	s := in.waitsForSession()
	s.Action, s.Cause, s.Next = ActNote, causeSession, time.Time{}
	return s, true
}
