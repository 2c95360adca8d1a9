package reconcile

import (
	"context"
	"errors"
	"time"

	"tokend/pkg/state"
)

// An API may give the same access token again as long as it lives, to every credential
// of one account or client. To revoke it for the sake of one that has given it up would
// end it for all; so it is with a refresh token, and with all tokens of an account where
// these share their fate. So what is to be revoked is compared first with what other
// credentials have in force, and waits as long as one of them has what would end with it.
//
// A revocation and a call that brings a token may be on their way at the same moment, and
// a person may want a token dead whoever else holds it. Then who got it has one that is
// dead: that is noted with the token itself, and it is renewed at once, as one is that its
// API was found to honour no longer, at most so often an hour.

// sharedLook is how often it is looked at whether another credential still holds a
// token that is to be revoked, and sharedSoon where that is not known yet.
const (
	sharedLook = 30 * time.Second
	sharedSoon = time.Second
)

// holdersAtOnce is how many of those that have what ends with a revocation are looked at
// before all are: an account may have thousands, and one that has it says enough.
const holdersAtOnce = 8

// sharing is what is known of a retired grant before it is revoked.
type sharing struct {
	asked bool
	with  string // another credential that has something in force which would end with it; "": none has
	what  string // that has, in words; "": the same access token
	why   string // that is not known, in words
}

// decided decides about a credential. Before it has a token revoked it is asked who else
// has that in force.
func (w *worker) decided(ctx context.Context, ob *observed) Step {
	in := &ob.in
	if i := in.revocationOpen(); i >= 0 {
		w.asks(ctx, in, i, true)
	}
	for {
		s := decide(in)
		if !s.revokes() || in.sharing(s.Retiring).asked {
			return s
		}
		w.asks(ctx, in, s.Retiring, in.Order.revokes())
	}
}

// asks notes who else has in force what would end with a retired grant. wait: also until
// somebody else has read all records.
func (w *worker) asks(ctx context.Context, in *Input, i int, wait bool) {
	if in.Shared == nil {
		in.Shared = make([]sharing, len(in.Record.Retiring))
	}
	x := sharing{asked: true}
	with, what, err := w.sharedWith(ctx, in.Address, in.fateOf(i), wait)
	if x.with, x.what = with, what; err != nil {
		x.why = err.Error()
	}
	in.Shared[i] = x
}

// sharing is what is known of a retired grant.
func (in *Input) sharing(i int) sharing {
	if i < len(in.Shared) {
		return in.Shared[i]
	}
	return sharing{}
}

var (
	errRecordsMoved = errors.New("records were moved meanwhile")
	errReading      = errors.New("all records are being read for that, once after a start")
)

// sharedWith names another credential that has in force, or is about to, what would end
// with a revocation, and says what it has; "" where none has. wait: also until somebody
// else has read all records.
func (w *worker) sharedWith(ctx context.Context, addr string, f fate, wait bool) (with, what string, err error) {
	if f.none() {
		return "", "", nil
	}
	var coming string
	for _, most := range [...]int{holdersAtOnce, 0} {
		held, soon, err := w.othersOf(ctx, addr, f, most, wait)
		if err != nil {
			return "", "", err
		}
		err = w.eachHolder(ctx, held, f, func(rec *state.Credential) bool {
			switch how := f.takes(rec.Grant); {
			case how != "":
				with, what = rec.Head.Address, how
			case with == "":
				with, what = rec.Head.Address, sameOverlap
			}
			return what == sameOverlap // one that has it in force goes first
		})
		if err != nil {
			return "", "", err
		}
		if coming = soon; with != "" && what != sameOverlap || len(held) < most {
			break
		}
	}
	if with == "" && coming != "" {
		if with, what = coming, sameAccess; f.account.key != "" {
			what = sameFate
		}
	}
	return with, what, err
}

// mostReadings bounds how often all records are read for one question, because the
// index begins anew meanwhile.
const mostReadings = 10

// othersOf is [tokens.others], of an index that has all records.
func (w *worker) othersOf(ctx context.Context, addr string, f fate, most int, wait bool) (held []uint64, coming string, err error) {
	for range mostReadings {
		w.tokens.learns(f.account)
		if err = w.readTokens(ctx, wait); err == nil {
			var ok bool
			if held, coming, ok = w.tokens.others(addr, f, most); ok {
				return held, coming, nil
			}
			err = errRecordsMoved
		}
		if !wait || !errors.Is(err, errRecordsMoved) || ctx.Err() != nil {
			break
		}
	}
	return nil, "", err
}

// readTokens reads the records of all credentials, where that was not done yet.
func (w *worker) readTokens(ctx context.Context, wait bool) error {
	if _, read := w.tokens.begin(); !read {
		return nil
	}
	if wait {
		w.tokens.reading.Lock()
	} else if !w.tokens.reading.TryLock() {
		return errReading
	}
	defer w.tokens.reading.Unlock()
	moves, read := w.tokens.begin()
	if !read {
		return nil
	}
	if err := w.eachToken(ctx, func(addr string, rec *state.Credential) { w.tokens.read(moves, addr, rec) }); err != nil {
		return err
	}
	if !w.tokens.wholly(moves) {
		return errRecordsMoved
	}
	return nil
}

// eachToken hands over the record of each credential that ever had a token.
func (w *worker) eachToken(ctx context.Context, f func(addr string, rec *state.Credential)) error {
	var all []string
	err := w.store.Heads(ctx, func(h state.Head) error {
		if h.Kind == state.KindCredential && h.Generation > 0 {
			all = append(all, h.Address)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range all {
		rec, _, err := w.store.Credential(ctx, a)
		switch {
		case err == nil:
			f(a, &rec)
		case ctx.Err() != nil:
			return err
		}
		// One that cannot be read holds nothing up.
	}
	return nil
}

// eachHolder hands out the records, as long as f says so, of those among some credentials
// that have something in force, or had until a moment ago, which ends with a revocation.
func (w *worker) eachHolder(ctx context.Context, held []uint64, ends fate, f func(*state.Credential) bool) error {
	if len(held) == 0 {
		return nil
	}
	names, err := w.namesOf(ctx, held)
	if err != nil {
		return err
	}
	for _, h := range held {
		rec, _, err := w.store.Credential(ctx, names[h])
		switch {
		case errors.Is(err, state.ErrNotFound):
		case err != nil:
			return err
		case ends.takes(rec.Grant) != "" || w.lingers(ends, rec):
			if !f(&rec) {
				return nil
			}
		}
	}
	return nil
}

// namesOf finds the addresses that have these hashes.
func (w *worker) namesOf(ctx context.Context, some []uint64) (map[uint64]string, error) {
	names, all := w.tokens.named(some)
	if all {
		return names, nil
	}
	wanted := map[uint64]bool{}
	for _, h := range some {
		wanted[h] = true
	}
	err := w.store.Heads(ctx, func(h state.Head) error {
		if n := w.tokens.address(h.Address); h.Kind == state.KindCredential && wanted[n] {
			names[n] = h.Address
		}
		return nil
	})
	w.tokens.name(names)
	return names, err
}

// shared says what becomes of a revocation whose token another credential has in force.
// A person who wants it revoked wants it dead, whoever else holds it.
func (in *Input) shared(i int) (Step, string, bool) {
	g, x := &in.Record.Retiring[i], in.sharing(i)
	wait := Step{Action: ActWait, Retiring: i, State: Pending, Next: in.Now.Add(sharedLook), Cause: g.Retired.Cause}
	switch {
	case x.what == sameOverlap && (in.Order.Kind == OrderRevoke || in.Intent != nil && in.Intent.Op == opRevoke && in.Intent.Generation == g.Generation):
		return Step{}, "", false
	case x.what == sameOverlap:
		wait.Reason = in.untilFree(x)
		return wait, "", true
	case in.Order.Kind == OrderRevoke && x.with != "":
		return Step{}, "; " + x.with + " " + x.has() + ", and is to obtain another", false
	case in.Order.Kind == OrderRevoke:
		return Step{}, "", false
	case x.why != "":
		wait.Next = in.Now.Add(sharedSoon)
		wait.Reason = "whether another credential holds the token that is to be revoked is not known yet: " + x.why
		return wait, "", true
	case x.with == "":
		return Step{}, "", false
	case in.Intent != nil && in.Intent.Op == opRevoke && in.Intent.Generation == g.Generation:
		return in.tellsOthers(i), "", true
	}
	wait.Reason = in.untilFree(x)
	wait.Why = wait.Reason
	return wait, "", true
}

// tellsOthers is what follows a revocation that may have been carried out where others
// have in force what it ends.
func (in *Input) tellsOthers(i int) Step {
	return Step{Action: ActNote, Cause: causeDead, Retiring: i, State: Pending,
		Reason: "its revocation may have reached the API before a crash, and " + in.sharing(i).with + " has one that ends with it: that one is to obtain another"}
}

// untilFree says what a revocation waits for that would end what another credential has.
func (in *Input) untilFree(x sharing) string {
	switch x.what {
	case sameOverlap:
		return x.with + " " + sameOverlap
	case sameFate:
		return x.with + " " + x.has() + ": it is revoked once that one holds none any more, or by `" + in.mend("revoke") + "`, which ends both; or it is given up by `" + in.mend("revoke --forget") + "`, and lives on"
	}
	return x.with + " " + x.has() + ": it is revoked once that one holds another"
}

func (x sharing) has() string {
	if x.what == "" {
		return sameAccess
	}
	return x.what
}

// dead notes of a token that was just brought that it was revoked for another credential
// meanwhile: it is renewed at once.
func (p *performer) dead(revokedFor string) {
	rec, why := &p.ob.in.Record, endedWith(revokedFor)
	if p.ob.in.sharesRefresh() {
		why, rec.Verified.Refreshed = endedWithRefresh(revokedFor), rec.Grant.Generation
	}
	p.log().Warn("a token came while what ends it was on its way for another credential; it is renewed", "other", revokedFor)
	died(rec, why)
}

func endedWith(revokedFor string) string {
	return "it ended with the one that was revoked for " + revokedFor
}

// died notes that the token in force ended for the sake of another credential. Nobody has
// asked the API, so that there is no time at which it was.
func died(rec *state.Credential, why string) {
	v := &rec.Verified
	v.Refused, v.At, v.Why = rec.Grant.Generation, time.Time{}, why
}

// knownDead says that a grant's token is dead, or will be, and not by what asking its API
// has found.
func knownDead(rec *state.Credential, g *state.Grant) bool {
	v := &rec.Verified
	return g != nil && v.Refused == g.Generation && v.At.IsZero() && v.Why != ""
}

// diesElsewhere notes of all other credentials that have something in force which was, or
// may have been, ended with a retired grant of this one, that it is dead. since: those of
// the same account that were granted later live; zero: when it was is not known.
func (p *performer) diesElsewhere(i int, since time.Time) {
	f := p.ob.in.fateOf(i)
	p.tellHolders(f, endedWith(p.j.addr), func(rec *state.Credential) bool {
		how := f.takes(rec.Grant)
		return how != "" && (how != sameFate || since.IsZero() || !rec.Grant.GrantedAt.After(since))
	})
}

// tellHolders notes why the tokens of others are dead: of those which have what f ends,
// and of which these say so.
func (p *performer) tellHolders(f fate, why string, these func(*state.Credential) bool) {
	held, _, err := p.w.othersOf(p.ctx, p.j.addr, f, 0, true)
	if err == nil {
		var holders []string
		err = p.w.eachHolder(p.ctx, held, f, func(rec *state.Credential) bool {
			if these(rec) {
				holders = append(holders, rec.Head.Address)
			}
			return true
		})
		for _, a := range holders {
			err = errors.Join(err, p.w.dies(p.ctx, a, why, f))
		}
	}
	if err != nil {
		p.log().Warn("noting which other credentials hold a token that has ended failed; they hold it until they are due", "error", err)
	}
}

// dies notes it of one of them.
func (w *worker) dies(ctx context.Context, addr, why string, f fate) error {
	for {
		rec, _, err := w.store.Credential(ctx, addr)
		switch {
		case errors.Is(err, state.ErrNotFound):
			return nil
		case err != nil:
			return err
		case f.takes(rec.Grant) == "" || knownDead(&rec, rec.Grant):
			return nil
		}
		if died(&rec, why); f.access.Empty() && f.account.key == "" {
			rec.Verified.Refreshed = rec.Grant.Generation // by a refresh of its own it would end the other's
		}
		rec.Head.Due = time.Time{} // a start looks at it at once
		if err = w.store.Commit(ctx, state.Change{Credential: &rec}); errors.Is(err, state.ErrConflict) {
			continue
		}
		if err == nil {
			w.log.Warn("a call for one credential ended what another has in force, too; that one is renewed", "address", addr, "reason", why)
			w.relook(addr, state.ErrConflict)
		}
		return err
	}
}

// elseDue is when a credential is looked at whose revocation waits until next: earlier,
// where something else of it is due before, as the refresh of the token in force.
func (p *performer) elseDue(next time.Time) time.Time {
	in := p.ob.in
	in.Now, in.Order, in.Record.Retiring, in.RetiredTraits = p.w.now(), Order{}, nil, nil
	s := Decide(in)
	switch {
	case s.acts():
		return earlier(next, in.Now.Add(sharedSoon)) // it became due a moment ago
	case s.Next.After(in.Now):
		return earlier(next, s.Next)
	}
	return next
}
