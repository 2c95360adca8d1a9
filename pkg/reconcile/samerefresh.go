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

// refreshEnds notes of all other credentials that have a refresh token that their access
// token has ended, or may have, with the refresh of this one.
func (p *performer) refreshEnds(spent secret.Text) {
	if !p.ob.in.sharesRefresh() || spent.Empty() {
		return
	}
	f := fate{refresh: spent}
	p.tellHolders(f, endedWithRefresh(p.j.addr), func(rec *state.Credential) bool {
		return f.takes(rec.Grant) != "" && rec.Head.Address != p.j.addr
	})
}

func endedWithRefresh(of string) string {
	return "it ended with a call for " + of + ", which has the same refresh token: let one of them do for the sinks of both"
}
