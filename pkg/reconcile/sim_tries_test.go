package reconcile_test

import (
	"strings"
	"time"
)

// simRefusals is how an account was asked since its last success.
type simRefusals struct {
	tries    int
	last     time.Time
	heard    string // a password that was refused, while that is not on disk
	password string // that was refused, and the refusal was recorded
	pardoned bool   // an input changed, or a person said to try again
	atOnce   bool   // the same, for one try that need not wait

	pardonedAt time.Time
}

// Where refusals count against an account they are of all credentials that log in with
// it, and else of each: what another one was told is nothing to it.
func (b *simBooks) refusals(account string) *simRefusals {
	if i := int(account[0] - 'a'); b.s.types[typeOfSim(i)].traits.Lockout {
		account = b.s.person(account)
	}
	r, ok := b.refused[account]
	if !ok {
		r = &simRefusals{}
		b.refused[account] = r
	}
	return r
}

func (r *simRefusals) pardon(at time.Time) {
	r.pardoned, r.atOnce, r.heard, r.pardonedAt = true, true, "", at
}

// recordedRefusal takes over what a credential heard, once its intent is closed.
func (b *simBooks) recordedRefusal(addr string) {
	for account, r := range b.refused {
		if b.s.concerns(account, addr) && r.heard != "" {
			r.password, r.pardoned, r.heard = r.heard, false, ""
		}
	}
}

// triesByOrder: a call begins while somebody waits who ordered another try. It is
// what that is worth, also where the order came while a call was under way that then
// was refused, and for as long as nobody knows what became of it.
func (b *simBooks) triesByOrder(addr string) {
	if b.s.retrying[addr] == 0 {
		return
	}
	for account, r := range b.refused {
		if b.s.concerns(account, addr) {
			r.pardoned = true
		}
	}
}

// checkTry: a refused password is not sent again, and an account is not locked.
func (b *simBooks) checkTry(e *simEndpoint, account, password string) {
	r, real := b.refusals(account), b.s.real()
	rec := b.s.record(addressOf(account))
	if rec.open != "grant" {
		b.s.fail("%s is asked for a token, and no intent says so", account)
	}
	if rec.grant != nil && rec.grant.origin != e.base && !b.s.approved[addressOf(account)] {
		b.s.fail("a password is sent to %s, and nobody approved that", e.base)
	}
	if r.password == password && !r.pardoned {
		b.s.fail("a password that was refused is sent again for %s", account)
	}
	if idle := real.Sub(r.last); idle >= 24*time.Hour || b.s.skewed && idle >= 12*time.Hour {
		r.tries = 0 // by a clock that may have been put
	}
	stepped := b.s.steppedAt.After(r.last) || !b.s.skewedAt.IsZero() && b.s.skewedAt.After(r.last.Add(-time.Second))
	if e.typ.traits.Lockout && r.tries >= 3 && real.Sub(r.last) < 15*time.Minute && !r.atOnce && !stepped {
		b.s.fail("%s is tried for the %dth time in a row, %s after the last", account, r.tries+1, real.Sub(r.last))
	}
	r.tries++
	r.last = real
	// What was decided before a person said so, or before the secret changed, is not
	// the try that they are worth.
	if password == b.s.passwords[b.s.person(account)] && r.pardonedAt.Before(b.s.intended[addressOf(account)]) {
		r.atOnce = false
	}
}

// succeeded: a credential got a token, so what failed before is no row any more,
// also of tries for another account that it was of before: which of its inputs names
// the account nobody has told tokend.
func (b *simBooks) succeeded(addr string) {
	for account, r := range b.refused {
		if b.s.concerns(account, addr) {
			r.tries = 0
		}
	}
}

// readNot: a login's reply is on disk that tokend cannot read. The API took it for
// a success, so what was refused before is no row any more.
func (b *simBooks) readNot(addr, raw string) {
	for _, g := range b.grants {
		if g.isOf(addr) && len(g.access) == 1 && strings.Contains(raw, `"`+g.access[0].token+`"`) {
			b.refusals(g.account).tries = 0
			g.unread = true
		}
	}
}
