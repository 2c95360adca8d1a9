package reconcile

import (
	"fmt"
	"slices"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A reply that could not be read holds its credential up for a while only: where no
// person is needed for another token, that is obtained before the one held ends. What
// the reply brought lives on meanwhile, and may be the successor of a refresh token that
// was spent for it. So it stays in the record, sealed, beside the token that took its
// place, counted as an orphan; and once the provider type was mended `tokend retry` reads
// it and has revoked what it brought.

// What a record keeps of such replies: so many at the most, and so many bytes of them
// together, so that what a call brings has its room on a full disk. The oldest go
// first; what they brought stays counted.
const (
	keptReplies = 4
	keptBytes   = 32 << 10
)

// replyBytes is how many bytes of a record a reply takes, but for a few.
func replyBytes(raw *state.Raw) int {
	n := raw.Body.Len() + len(raw.Inputs) + len(raw.Message)
	for k, all := range raw.Header {
		for _, v := range all {
			n += len(k) + len(v)
		}
	}
	return n
}

// keepBeside keeps a reply beside the token that takes its place. What it brought has
// certainly ended by until (zero: nobody knows).
func (p *performer) keepBeside(raw state.Raw, until time.Time) {
	rec := &p.ob.in.Record
	raw.Until = until
	var over int
	if rec.Kept, over = keptTogether(append(slices.Clone(livingReplies(rec.Kept, p.w.now())), raw)); over > 0 {
		p.log().Warn("more replies could not be read than are kept: the oldest cannot be read any more; what it brought is counted as an orphan until it has ended", "dropped", over, "kept", len(rec.Kept))
	}
}

// keptTogether leaves out what is more than a record keeps, the oldest first, and says
// how many that are. One that is too large by itself is not kept in the place of others.
func keptTogether(all []state.Raw) (kept []state.Raw, over int) {
	before := len(all)
	all = slices.DeleteFunc(all, func(r state.Raw) bool { return replyBytes(&r) > keptBytes })
	total := 0
	for i := range all {
		total += replyBytes(&all[i])
	}
	for len(all) > keptReplies || total > keptBytes {
		total -= replyBytes(&all[0])
		all = all[1:]
	}
	return all, before - len(all)
}

// livingReplies are those of which something may live still.
func livingReplies(all []state.Raw, now time.Time) []state.Raw {
	ended := func(r state.Raw) bool { return !r.Until.IsZero() && !now.Before(r.Until) }
	if !slices.ContainsFunc(all, ended) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), ended)
}

// rereadBeside reads the replies again that are kept beside the token. What one brought
// is in nobody's hands, so that it is revoked at once, but for what is of a login whose
// tokens are in somebody's: see [performer.retireBeside]. The order goes on after it.
func (p *performer) rereadBeside() {
	rec := &p.ob.in.Record
	now := p.w.now()
	var left []state.Raw
	var why error
	for _, raw := range livingReplies(rec.Kept, now) {
		err := p.retireBeside(&raw)
		if err != nil {
			raw.Message, why = err.Error(), err
			left = append(left, raw)
			continue
		}
		rec.Orphans = rec.Orphans.Left(now).WithoutOne(raw.Until)
	}
	rec.Kept = left
	if p.r.again = p.save("what kept replies brought"); !p.r.again || p.j.order == nil {
		return
	}
	if o := &p.j.order.order; why != nil {
		o.beside, o.unread = true, why.Error()
	} else {
		o.beside = true
	}
}

// retireBeside gives up what a reply brought that is kept beside the token. To revoke one
// token of a login may end all of them, so what a refresh brought goes as the tokens of
// its login do. Where that one is in force, and was refreshed since by the same refresh
// token, what it brought was replaced by a refresh, like any; else it lives, and goes with
// its login. Where that one waits for its overlap, it waits, too.
func (p *performer) retireBeside(raw *state.Raw) error {
	rec := &p.ob.in.Record
	c, err := p.rereading(raw)
	if err != nil {
		return err
	}
	t, err := readAgain(c, raw)
	if err != nil {
		return err
	}
	g, err := p.grantReread(c, t, raw)
	if err != nil {
		return err
	}
	if rec.Grant == nil {
		g.Generation = p.ob.in.nextGeneration()
		rec.Head.Generation = g.Generation
	} else {
		g.Generation = p.ob.in.spareGeneration()
	}
	old := p.retiring(g, causeRemove)
	if cur := rec.Grant; cur != nil && refreshOf(raw, cur) {
		if g.RefreshToken.Equal(cur.RefreshToken) && cur.ObtainedAt.After(raw.At) {
			old.Retired.Cause, old.RefreshToken = causeRefresh, secret.Text{} // as [performer.refreshed] does it
		} else {
			old.Retired.Cause = causeLogin
			if old.RefreshUntil.IsZero() {
				old.RefreshUntil = raw.Until
			}
		}
	} else if i := slices.IndexFunc(rec.Retiring, func(x state.Grant) bool { return x.Retired != nil && refreshOf(raw, &x) }); i >= 0 {
		r := rec.Retiring[i].Retired
		old.Retired = &state.Retired{Cause: r.Cause, Since: r.Since, DeliveredAt: r.DeliveredAt}
	}
	if old.Retired.Cause != causeRefresh || !p.ob.in.Held.InvalidatesAccessToken { // else it has ended
		rec.Retiring = append(rec.Retiring, old)
	}
	p.log().Info("a reply that could not be read was read, beside the token in force; what it brought is given up", "op", raw.Op, "received_at", raw.At)
	return nil
}

// goingAlong has what waits for the login in force go as that one does now.
func goingAlong(retiring []state.Grant, as state.Retired) []state.Grant {
	retiring = slices.Clone(retiring)
	for i := range retiring {
		if one := as; retiring[i].Retired.Cause == causeLogin {
			retiring[i].Retired = &one
		}
	}
	return retiring
}

// refreshOf says that a kept reply is to a refresh of a grant, or of what that was before
// later refreshes ([followLogin]). A record that began anew counts its generations anew,
// too: what came before the grant was of another.
func refreshOf(raw *state.Raw, g *state.Grant) bool {
	return raw.Op == opRefresh && raw.Generation == g.Generation && !raw.At.Before(g.GrantedAt)
}

// followLogin has the replies to refreshes of one generation be of the one that another
// refresh brought: it is of the same login.
func followLogin(kept []state.Raw, from, to uint64) []state.Raw {
	kept = slices.Clone(kept)
	for i := range kept {
		if r := &kept[i]; r.Op == opRefresh && r.Generation == from {
			r.Generation = to
		}
	}
	return kept
}

// spareGeneration is one that no token of the record has, below that of the token in
// force: no place ever held what it is for.
func (in *Input) spareGeneration() uint64 {
	has := func(n uint64) bool {
		return slices.ContainsFunc(grantsOf(&in.Record), func(g *state.Grant) bool { return g.Generation == n })
	}
	n := in.Record.Grant.Generation
	for n > 0 && has(n) {
		n--
	}
	return n
}

// remarkBeside says that a reply is kept beside the token in force.
func (in *Input) remarkBeside(s *Step) {
	kept := livingReplies(in.Record.Kept, in.Now)
	newest := &kept[len(kept)-1]
	s.Why = fmt.Sprintf("%s kept that could not be read, and what came by it may live: %s (tokend revoke --forget-orphans gives it up)", areReplies(len(kept)), newest.Message)
	s.Mend = besideMend(newest, in.Address)
}

// unreadRefresh says that so many replies to refreshes are kept beside the token, which
// the type that the token came by could not read, that the next would take the place of
// one: its token would be in nobody's hands. The grant brings the next token then. A
// person who orders a retry or a refresh has it sent all the same, and where no grant
// may be asked the token lives by its refreshes.
func (in *Input) unreadRefresh(g *state.Grant) bool {
	if in.Want == nil || g != in.Record.Grant || in.onlyAPerson() || in.Order.Kind == OrderRetry || in.Order.Kind == OrderRefresh {
		return false
	}
	n := 0
	for _, r := range livingReplies(in.Record.Kept, in.Now) {
		if r.Op == opRefresh && r.Endpoint == g.Endpoint {
			n++
		}
	}
	return n >= keptReplies
}

func areReplies(n int) string {
	if n == 1 {
		return "a reply is"
	}
	return fmt.Sprintf("%d replies are", n)
}

// unreadBeside is why a retry that read such replies, and had nothing else to do, failed.
func (p *performer) unreadBeside() error {
	o := &p.j.order.order
	if o.unread == "" {
		return nil
	}
	return &OrderError{Kind: o.Kind, Address: p.j.addr, Reason: "a reply that is kept beside the token of " + spec.Address(p.j.addr).Short() + " still cannot be read", Why: o.unread,
		Mend: besideMend(&state.Raw{Message: o.unread}, p.j.addr)}
}
