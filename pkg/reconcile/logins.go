package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Several credentials may log in with one account: for other scopes, say. Where their
// type says that refusals count against it (lockout), one of those logins is under way
// at a time, and what one of them is told holds for all that would send the same: each
// records the refusal as its own, and sends nothing. What is the same is what is sent,
// by keyed hashes: two accounts that happen to have the same password are told apart by
// the rest of their inputs, and a password that is another one says nothing of the first.

// refusedTo is the key of an InputHash under which a failure names the address whose
// login was refused in its stead. No input has such a name.
const refusedTo = "refused to"

// loginWait is when a credential looks again that waits for another one's login, if
// nothing tells it before that this is over.
const loginWait = 30 * time.Second

// logins are those of which there is one at a time for an account, or whose refusals count
// against it. Workers share it.
type logins struct {
	seeding turn // held while records are read
	seeded  atomic.Bool
	mu      sync.Mutex
	by      map[string]*sameLogin
}

// sameLogin is one of them, by what is sent, or by whose session it ends ([performer.turnOf]).
type sameLogin struct {
	busy    string         // the address whose login is under way; "": none
	waiting []string       // for that, in the order in which they came
	failed  *state.Failure // the last login that failed, and none succeeded since; nil: none
	from    string         // the address whose it was
	held    map[string]bool
	good    time.Time // when one succeeded
}

func (a *logins) of(key string) *sameLogin {
	if a.by == nil {
		a.by = map[string]*sameLogin{}
	}
	x := a.by[key]
	if x == nil {
		x = &sameLogin{held: map[string]bool{}}
		a.by[key] = x
	}
	return x
}

// loginKey names what a login sends, but for the scopes; "" where that is not known.
func loginKey(want *spec.Credential, hashes map[string]string) string {
	if want == nil || len(hashes) == 0 {
		return ""
	}
	names := make([]string, 0, len(hashes))
	for n := range hashes {
		if n != "scopes" && n != refusedTo {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	b := make([]byte, 0, 256) // in one piece: it is made for each login
	b = append(append(append(b, want.Type.Name...), 0), want.Provider...)
	b = append(append(b, 0), want.Grant.Name...)
	for _, n := range names {
		b = append(append(append(b, 0), n...), '=')
		b = append(b, hashes[n]...)
	}
	return string(b)
}

// spares says that a login that failed keeps all from being tried that would send the
// same, but for the scopes: one that was refused for these says nothing of the others.
func spares(f *state.Failure, now time.Time) bool {
	return f != nil && f.Op == opGrant && f.Class != classSession && !ofWhatWasAsked(f) && (f.Stopped || f.Reached >= lockoutCount && now.Before(f.NextAt)) && !accountEnded(f)
}

// ofWhatWasAsked says that a login was refused for what it asked for, and not for the
// account and its password (RFC 6749 section 5.2, RFC 8707 section 2, RFC 6750 section
// 3.1). The record has the code in its words alone.
func ofWhatWasAsked(f *state.Failure) bool {
	return f.Stopped && slices.ContainsFunc([]string{"invalid_scope", "insufficient_scope", "invalid_target", "access_denied"}, func(code string) bool {
		return strings.Contains(f.Message, code)
	})
}

// note remembers a login that failed, as a record tells of it.
func (a *logins) note(key, addr string, f *state.Failure) {
	if key == "" || f == nil || f.Op != opGrant || f.Class == classSession || !f.Stopped && f.Reached == 0 || ofWhatWasAsked(f) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.of(key)
	x.held[addr] = true
	if f.InputHash[refusedTo] != "" || f.LastAt.Before(x.good) {
		return
	}
	if x.failed == nil || x.from == addr || f.LastAt.After(x.failed.LastAt) {
		kept := *f
		x.failed, x.from = &kept, addr
	}
}

// since says that a login which would send the same succeeded after a time.
func (a *logins) since(key string, at time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.by[key]
	return x != nil && x.good.After(at)
}

// seed takes over what the records say of logins that failed before the start. Only
// records that are looked at at once can tell of one.
func (w *worker) seed(ctx context.Context, cfg *spec.Config) {
	if w.logins.seeded.Load() {
		return
	}
	w.logins.seeding.Lock()
	defer w.logins.seeding.Unlock()
	if w.logins.seeded.Load() {
		return
	}
	defer w.logins.seeded.Store(true)
	var some []string
	_ = w.store.Heads(ctx, func(h state.Head) error {
		if h.Kind == state.KindCredential && h.Due.IsZero() {
			some = append(some, h.Address)
		}
		return nil
	})
	for _, addr := range some {
		rec, _, err := w.store.Credential(ctx, addr)
		if err != nil || rec.Failure == nil || len(rec.Failure.InputHash) == 0 {
			continue
		}
		if want, err := cfg.Credential(spec.Address(addr)); err == nil {
			w.logins.note(loginKey(want, rec.Failure.InputHash), addr, rec.Failure)
		}
	}
}

// stillRefused says that the login of another credential, which would send the same,
// is recorded to have failed, so that it is not to be tried again.
func (w *worker) stillRefused(ctx context.Context, from string, want *spec.Credential, key string, now time.Time) (*state.Failure, bool) {
	rec, _, err := w.store.Credential(ctx, from)
	if err != nil {
		return nil, !errors.Is(err, state.ErrNotFound)
	}
	f := rec.Failure
	return f, spares(f, now) && f.InputHash[refusedTo] == "" && loginKey(want, f.InputHash) == key
}

// observeAccount notes what a failed login says of its account, and whether another
// one that would send the same has changed that.
func (w *worker) observeAccount(ctx context.Context, ob *observed, now time.Time) {
	in := &ob.in
	f := in.Record.Failure
	if f == nil || f.Op != opGrant || f.Class == classSession || !in.Traits.Lockout || in.Fresh || ofWhatWasAsked(f) {
		return
	}
	key := loginKey(in.Want, f.InputHash)
	if key == "" {
		return
	}
	w.logins.note(key, in.Address, f)
	if in.Fresh = w.logins.since(key, f.LastAt); in.Fresh {
		return
	}
	if from := f.InputHash[refusedTo]; from != "" {
		_, still := w.stillRefused(ctx, from, in.Want, key, now)
		in.Fresh = !still
	}
}

// login lets the login with an account go ahead, when no other is under way and none
// that would send the same was refused; else it says what is waited for, and the look
// is over. What follows it tells how it ended.
func (p *performer) login(hashes map[string]string) (end func(), ok bool) {
	in, a := &p.ob.in, &p.w.logins
	key := loginKey(in.Want, hashes)
	turn := p.turnOf(key, hashes)
	if key == "" { // grants that count against no account do not come here
		return func() {}, true
	}
	if in.Traits.Lockout {
		p.w.seed(p.ctx, p.j.cfg)
	}
	a.mu.Lock()
	x := a.of(turn)
	if x.busy != "" {
		busy := x.busy
		if !slices.Contains(x.waiting, p.j.addr) {
			x.waiting = append(x.waiting, p.j.addr)
		}
		a.mu.Unlock()
		why := "the login of " + spec.Address(busy).Short() + ", with the same account, is under way: there is one at a time, since "
		if in.Traits.Lockout {
			why += "refusals count against it"
		} else {
			why += "it has one session"
		}
		p.r.next = p.w.now().Add(loginWait)
		p.r.standing = &Standing{State: Pending, Why: why, Next: "its own login"}
		return nil, false
	}
	x.busy = p.j.addr
	var failed *state.Failure
	var from string
	if was := a.by[key]; was != nil {
		failed, from = was.failed, was.from
	}
	a.mu.Unlock()
	p.row = 0
	if failed != nil && from != p.j.addr && in.Order.Kind != OrderRetry {
		now := p.w.now()
		f, still := p.w.stillRefused(p.ctx, from, in.Want, key, now)
		switch {
		case still:
			if f == nil {
				f = failed // its record cannot be read just now
			}
			a.leave(turn, p.r, false)
			p.sparedFor(f, from, hashes)
			return nil, false
		case spares(failed, now):
			a.mu.Lock()
			a.of(key).failed = nil // the record says otherwise
			a.mu.Unlock()
		case failed.LastAt.Add(lockoutRow).After(now):
			p.row = failed.Reached
		}
	}
	before := in.Record.Head.Generation
	return func() { p.loggedIn(key, turn, before) }, true
}

// turnOf names what there is one login of at a time: what sends the same, through one
// provider block; and where a login ends all others of its account, the account, by
// whichever block it comes.
func (p *performer) turnOf(sent string, hashes map[string]string) string {
	if p.ob.in.Traits.oneSession() {
		if who, ok := p.ob.account(p.j.cfg, hashes); ok {
			return fmt.Sprint("session\x00", who.key, whose(hashes)) // it certainly is one
		}
	}
	return sent
}

// leave ends a turn, and has the next looked at that waits for it, or all of them.
func (a *logins) leave(key string, r *result, all bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.of(key)
	x.busy = ""
	n := min(1, len(x.waiting))
	if all {
		n = len(x.waiting)
	}
	r.wakes = append(r.wakes, x.waiting[:n]...)
	x.waiting = x.waiting[n:]
	a.tidy(key)
}

// tidy forgets what says nothing any more. Whoever calls it holds the lock.
func (a *logins) tidy(key string) {
	if x := a.by[key]; x != nil && x.busy == "" && x.failed == nil && len(x.waiting) == 0 && len(x.held) == 0 && x.good.IsZero() {
		delete(a.by, key)
	}
}

// loggedIn notes how a login ended, and ends its turn.
func (p *performer) loggedIn(key, turn string, before uint64) {
	a, f := &p.w.logins, p.ob.in.Record.Failure
	refused := p.ob.in.Traits.Lockout && spares(f, p.w.now())
	if f != nil && !p.ob.in.Traits.Lockout {
		a.leave(turn, p.r, false)
		return
	}
	if f != nil {
		a.note(key, p.j.addr, f)
	} else if p.ob.in.Record.Head.Generation > before {
		a.mu.Lock()
		x := a.of(key)
		delete(x.held, p.j.addr)
		p.r.wakes = append(p.r.wakes, slices.Sorted(maps.Keys(x.held))...)
		if len(x.held) > 0 || !x.good.IsZero() {
			x.good = p.w.now() // by which those find out that are told now
		}
		x.failed, x.from = nil, ""
		clear(x.held)
		a.tidy(key)
		a.mu.Unlock()
	}
	a.leave(turn, p.r, refused)
}

// sparedFor records that a login is not sent, since another one that would send the
// same was refused.
func (p *performer) sparedFor(f *state.Failure, from string, hashes map[string]string) {
	in := &p.ob.in
	now := p.w.now()
	own := *f
	own.Message = "the login of " + spec.Address(from).Short() + " sends the same, and was refused, so this one is not sent: " + f.Message
	own.InputHash = maps.Clone(hashes)
	own.InputHash[refusedTo] = from
	own.Count, own.FirstAt, own.LastAt = 1, now, now
	if held := in.Record.Failure; held != nil && held.Op == opRefresh {
		in.RefreshFailure = held
	}
	in.Record.Failure = &own
	p.log().Warn("a login is not sent, since its account would count it", "refused", from)
	if p.save("that a login is not sent") {
		p.r.next = own.NextAt
		if own.Stopped {
			p.r.next = in.stoppedNext()
		} else {
			p.meanwhile()
		}
		p.r.standing = p.standFailed(&own)
		if own.Stopped {
			p.stillReady()
		}
	}
	p.w.logins.note(loginKey(in.Want, hashes), p.j.addr, &own)
	p.fail(errors.New(own.Message))
}
