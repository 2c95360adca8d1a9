package reconcile

import (
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// An API may give the same refresh token to each credential of an account, and end the
// access token before with each refresh. Then a refresh of one ends the token of the
// others, which look as good as ever. They are told: each is obtained anew by its grant,
// which brings what is alive, and not by a refresh, which would end the first one's again;
// at most so often an hour. Of a refresh whose reply was lost it is taken for done.

// sharesRefresh says that a refresh of the token in force may end those of others that
// have the same refresh token. One that is another after each refresh is nobody else's.
func (in *Input) sharesRefresh() bool {
	return in.Held.InvalidatesAccessToken && in.Held.Rotates != spec.RotatesAlways && !in.Held.Static
}

// twins are the other credentials that have a refresh token in force which is spent.
type twins struct {
	of      secret.Text
	holders []string
}

// findTwins looks for them, right before the call. Who gets the refresh token later than
// this meets the call ([tokens.came]).
func (p *performer) findTwins(spends secret.Text) {
	p.twins = twins{of: spends}
	f := fate{refresh: spends}
	if f.none() {
		return
	}
	held, _, err := p.w.othersOf(p.ctx, p.j.addr, f, 0, true)
	if err == nil {
		err = p.w.eachHolder(p.ctx, held, f, func(rec *state.Credential) bool {
			if f.takes(rec.Grant) != "" {
				p.twins.holders = append(p.twins.holders, rec.Head.Address)
			}
			return true
		})
	}
	if err != nil {
		p.log().Warn("finding out who else has a refresh token that is spent failed; they hold their tokens until they are due", "error", err)
	}
}

// twinsEnd tells them, before the reply is recorded: after that nobody would know of it,
// if tokend were killed. That is a commit for each, and nothing is read for it but their
// records.
func (p *performer) twinsEnd() {
	for _, a := range p.twins.holders {
		if err := p.w.dies(p.ctx, a, endedWithRefresh(p.j.addr), fate{refresh: p.twins.of}); err != nil {
			p.log().Warn("noting that another credential's token has ended with this one's refresh failed; it holds it until it is due", "other", a, "error", err)
		}
	}
}

// twinsMayEnd tells them of a call whose reply was lost.
func (p *performer) twinsMayEnd(op string, spent secret.Text) {
	f, _ := p.endsOthers(op, spent)
	p.findTwins(f.refresh)
	p.twinsEnd()
}

func endedWithRefresh(of string) string {
	return "it ended with a call for " + of + ", which has the same refresh token: let one of them do for the sinks of both"
}
