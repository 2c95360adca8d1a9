package reconcile

import (
	"errors"
	"log/slog"
	"sort"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/state"
)

// read interprets a reply; one that cannot be read is kept, since it may have
// spent a token.
func (p *performer) read(c *call, reply *providers.Reply, then func(providers.Token)) {
	t, err := p.judged(c, reply)
	p.observe(c, err)
	if err == nil {
		then(t)
		return
	}
	var pe *providers.Error
	if reply == nil || !errors.As(err, &pe) || pe.Class != providers.ClassUnreadable {
		if pe != nil && pe.Class == providers.ClassUnknown && providers.NoAnswer(reply) {
			p.keepDoubtful(c, reply, err)
		}
		p.refused(c, err)
		return
	}
	p.keepRaw(c, reply, err)
}

// granted records a new grant; the one in force before is retired.
func (p *performer) granted(c *call, t providers.Token) {
	in := &p.ob.in
	rec, want := &in.Record, in.Want
	g := newGrant(t, p.w.now())
	g.Generation = p.ob.in.nextGeneration()
	g.Endpoint, g.Provider, g.Type, g.GrantType = c.blob, string(want.Provider), want.Type.Name, c.c.Grant
	g.RedirectURI = c.c.Flow.RedirectURI
	if p.w.o.Revision != nil {
		g.Revision = p.w.o.Revision(p.j.cfg)
	}
	if g.Scopes == nil {
		g.Scopes = want.Scopes
	}
	if err := p.seal(&g, c); err != nil {
		p.log().Error("sealing what a refresh will need", "error", err)
	}
	if life := c.ep.ep.Traits(c.c.Grant).RefreshTokenLifetime; life > 0 && t.RefreshUntil.IsZero() && !g.RefreshToken.Empty() {
		g.RefreshUntil = p.w.now().Add(life)
	}
	was := rec.Grant
	again := was != nil && !was.RefreshToken.Empty() && was.RefreshToken.Equal(g.RefreshToken) // its API gave the same login again
	switch {
	case again:
		g.GrantedAt = was.GrantedAt
		rec.Retiring = append(rec.Retiring, p.retiring(*was, p.step.Cause)) // alone: what waits for that login goes on waiting
	case was != nil:
		p.giveUpLogin()
	}
	if in.Intent != nil && in.Intent.Attempt > 1 {
		p.log().Debug("a grant succeeded after tries", "attempt", in.Intent.Attempt)
	}
	if p.giveUpRaw(); again {
		rec.Kept = followLogin(rec.Kept, was.Generation, g.Generation)
	}
	rec.Grant, rec.Failure, rec.Raw, rec.Removing, rec.LostPoll, in.RefreshFailure = &g, nil, nil, nil, "", nil
	p.endsWithDaemon(c.ep, g.GrantType)
	rec.Head.Generation = g.Generation
	if rec.Head.Digest = p.ob.digest; c.reread {
		rec.Head.Digest = [16]byte{} // what it was obtained with is compared with what is wanted now
	}
	rec.Head.Flags &^= state.FlagTainted
	rec.Note = p.step.Reason
	// A replacement for another reason that brings what the configuration changed
	// along is the configuration's too.
	began := p.step.Action == ActReplace && (p.step.Destructive() || len(in.WantsNew) > 0 || in.Origins != "")
	p.delivered(c, "obtained")
	if began {
		p.r.began = begun{Revocations: 1, Replaced: true}
	}
}

// delivered commits a new generation; only then is anybody told of it.
func (p *performer) delivered(c *call, what string) {
	rec := &p.ob.in.Record
	if other := p.w.tokens.came(p.j.addr, rec.Grant, traitsOf(c.ep.ep, rec.Grant.GrantType), p.brings); other != "" {
		p.dead(other)
	}
	p.ob.in.Repeats = repeats(rec.Grant, p.ob.had, p.ob.hadUntil)
	if !p.save("a token that was "+what, p.exchanged(c)...) {
		return
	}
	p.w.recent.put(p.j.addr, rec.Grant)
	attrs := []slog.Attr{slog.String("address", p.j.addr), slog.String("type", p.providerType()), slog.Uint64("generation", rec.Head.Generation)}
	if at := rec.Grant.ExpiresAt; !at.IsZero() { // what never expires says nothing of it
		attrs = append(attrs, slog.Time("expires_at", at))
	}
	p.w.log.LogAttrs(p.ctx, slog.LevelInfo, what, append(attrs, slog.String("reason", p.step.Reason))...)
	p.r.standing = nil
	p.r.next = rec.Head.Due
	// A kept reply, a taint, an old token: more than the clock decides what is next.
	p.r.again = len(rec.Retiring) > 0 || rec.Failure != nil || p.held() || p.ob.in.disowns() || p.j.cfg == nil || rec.Head.Due.IsZero() && !rec.Grant.ExpiresAt.IsZero() ||
		p.ob.in.Want != nil && p.ob.in.Want.Verify != nil
	p.answer()
}

// held says that what the configuration wants instead of the token in force waits.
func (p *performer) held() bool { return len(p.ob.in.WantsNew) > 0 || p.ob.in.Origins != "" }

func newGrant(t providers.Token, now time.Time) state.Grant {
	g := state.Grant{
		AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken, HeaderName: t.HeaderName, Header: t.Header,
		Scopes: t.Scopes, GrantedAt: now, ObtainedAt: now, ExpiresAt: t.ExpiresAt, RefreshUntil: t.RefreshUntil, Late: t.Late,
	}
	g.Outputs, _ = t.Outputs.Seal(nil)
	return g
}

// seal adds to a grant what its refresh and its revocation name, what its
// inputs were (as keyed hashes), and the addresses that it is bound to.
func (p *performer) seal(g *state.Grant, c *call) error {
	var err error
	if g.InputHashes, err = p.hashesOf(c); err != nil {
		return err
	}
	if g.Origins, err = c.ep.ep.Origins(c.c.Grant, c.c.Inputs); err != nil {
		return err
	}
	sort.Strings(g.Origins)
	g.Inputs, err = keptInputs(c)
	return err
}

// hashesOf are keyed hashes of the inputs with which a token is obtained.
func (p *performer) hashesOf(c *call) (map[string]string, error) {
	want := p.ob.in.Want
	switch {
	case c.c.Grant != want.Grant.Name: // of another grant it is enough to know that it is another
		return p.w.hashValues(want, nil, c.c.Inputs)
	case c.sent != nil:
		return c.sent, nil
	}
	return p.w.hashValues(want, givenInputs(want), c.c.Inputs)
}

// keptInputs are the inputs that refreshing and revoking what a call brings will name,
// and no others.
func keptInputs(c *call) ([]byte, error) {
	names := []string{} // nil would be all
	for _, op := range []providers.Op{providers.OpRefresh, providers.OpRevoke} {
		names = append(names, c.ep.ep.Needs(op, c.c.Grant)...)
	}
	return c.c.Inputs.Seal(names)
}

// giveUpLogin retires the token in force, and what waits for the end of its login.
func (p *performer) giveUpLogin() {
	rec := &p.ob.in.Record
	old := p.retiring(*rec.Grant, p.step.Cause)
	rec.Retiring = append(goingAlong(rec.Retiring, *old.Retired), old)
}

// retiring is a grant that is given up.
func (p *performer) retiring(g state.Grant, cause string) state.Grant {
	g.Retired = &state.Retired{Since: p.w.now(), Cause: cause}
	return g
}
