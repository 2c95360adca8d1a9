package reconcile

import (
	"time"

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

// refreshEnds notes of all other credentials that have a refresh token that their access
// token has ended, or may have, with a refresh of this one of which no reply waits to be
// recorded. since: those that were obtained after it live; zero: when it was is not known.
func (p *performer) refreshEnds(spent secret.Text, since time.Time) {
	if !p.ob.in.sharesRefresh() || spent.Empty() {
		return
	}
	f := fate{refresh: spent}
	p.tellHolders(f, endedWithRefresh(p.j.addr), func(rec *state.Credential) bool {
		return f.takes(rec.Grant) != "" && (since.IsZero() || !rec.Grant.ObtainedAt.After(since))
	})
}

// twins are the other credentials that have a refresh token which is about to be spent.
type twins struct {
	of      secret.Text
	known   bool
	holders []string
}

// findTwins looks for them right before the call, where that takes no reading of all
// records: these were read before the intent, unless the index began anew meanwhile. Who
// gets the refresh token later than this meets the call ([tokens.came]).
func (p *performer) findTwins(spends secret.Text) (t twins) {
	t.of = spends
	f := fate{refresh: spends}
	if _, unread := p.w.tokens.begin(); unread {
		return t
	}
	held, _, err := p.w.othersOf(p.ctx, p.j.addr, f, 0, false)
	if err != nil {
		return t
	}
	err = p.w.eachHolder(p.ctx, held, f, func(rec *state.Credential) bool {
		if f.takes(rec.Grant) != "" {
			t.holders = append(t.holders, rec.Head.Address)
		}
		return true
	})
	t.known = err == nil
	return t
}

// twinsEnd tells them, before the reply is recorded: after that nobody would know of it,
// if tokend were killed. That is a commit for each, and nothing is read for it but their
// records. What was not known is left to [performer.twinsEndLate].
func (p *performer) twinsEnd() {
	for _, a := range p.twins.holders {
		if err := p.w.dies(p.ctx, a, endedWithRefresh(p.j.addr), fate{refresh: p.twins.of}); err != nil {
			p.log().Warn("noting that another credential's token has ended with this one's refresh failed; it holds it until it is due", "other", a, "error", err)
		}
	}
}

// twinsEndLate looks for them, where that was not done before the call, once its reply is
// recorded.
func (p *performer) twinsEndLate(c *call) {
	if !p.twins.known {
		p.refreshEnds(p.twins.of, c.intent.At)
	}
}

func endedWithRefresh(of string) string {
	return "it ended with a call for " + of + ", which has the same refresh token: let one of them do for the sinks of both"
}
