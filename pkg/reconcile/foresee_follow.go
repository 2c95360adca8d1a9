package reconcile

import (
	"fmt"
	"slices"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// follow makes of what is known of a credential what a step would leave behind,
// as the one that performs it would record it: every call succeeds, and of a
// token that comes nothing is known but that it is another one.
func (in *Input) follow(s Step) {
	rec := &in.Record
	switch s.Action {
	case ActObtain, ActReplace, ActExchange, ActStatic:
		in.granted(s)
	case ActImport:
		in.imported()
	case ActRefresh, ActReplay:
		in.refreshed()
	case ActSettle:
		in.settle(s)
	case ActVerify:
		in.Measured.at = in.Now // its API honours it
	case ActRetire:
		in.giveUp(*rec.Grant, s.Cause)
		rec.Grant, rec.Failure = nil, nil
	case ActNote:
		in.noted(s)
	case ActRevive:
		rec.Retiring = slices.Clone(rec.Retiring)
		g := &rec.Retiring[s.Retiring]
		g.AccessToken, g.ExpiresAt = in.foreseenToken("revived"), time.Time{}
	case ActRevoke, ActRelease:
		rec.Retiring = slices.Delete(slices.Clone(rec.Retiring), s.Retiring, s.Retiring+1)
		in.RetiredTraits = slices.Delete(slices.Clone(in.RetiredTraits), s.Retiring, s.Retiring+1)
		in.Intent = nil
	}
}

// foreseenToken stands for a token that will be another one than any that is
// known.
func (in *Input) foreseenToken(kind string) secret.Text {
	return secret.New(fmt.Sprintf("foreseen %s %d of %s", kind, in.Record.Head.Generation, in.Address))
}

// giveUp puts a grant among the retired ones.
func (in *Input) giveUp(g state.Grant, cause string) {
	g.Retired = &state.Retired{Since: in.Now, Cause: cause}
	if cause != causeRefresh {
		in.Record.Retiring = goingAlong(in.Record.Retiring, *g.Retired)
	}
	in.Record.Retiring = append(slices.Clone(in.Record.Retiring), g)
	in.RetiredTraits = append(slices.Clone(in.RetiredTraits), in.Held)
}

func (in *Input) granted(s Step) {
	rec := &in.Record
	if rec.Grant != nil && s.Action != ActStatic {
		in.giveUp(*rec.Grant, s.Cause)
	}
	rec.Head.Generation = in.nextGeneration()
	g := state.Grant{Generation: rec.Head.Generation, AccessToken: in.foreseenToken("token"), ObtainedAt: in.Now, GrantedAt: in.Now}
	if in.Traits.HasRefresh {
		g.RefreshToken = in.foreseenToken("refresh token")
	}
	rec.Grant, rec.Failure, rec.Raw, rec.Removing = &g, nil, nil, nil
	rec.Head.Flags &^= state.FlagTainted
	in.Held, in.Intent, in.WantsNew, in.Origins, in.Fresh = in.Traits, nil, nil, "", false
}

// imported takes a refresh token over, and no more yet.
func (in *Input) imported() {
	rec := &in.Record
	rec.Grant, rec.Failure, rec.Removing = &state.Grant{Generation: rec.Head.Generation, RefreshToken: in.foreseenToken("imported token")}, nil, nil
	in.Held, in.Import = in.Traits, importDone
}

func (in *Input) refreshed() {
	rec := &in.Record
	old := *rec.Grant
	if !unspent(&old) && in.Held.HasRevoke && slices.Contains(in.Held.RevokeOn, causeRefresh) && !in.Held.InvalidatesAccessToken {
		given := old
		given.RefreshToken = secret.Text{}
		in.giveUp(given, causeRefresh)
	}
	rec.Head.Generation = in.nextGeneration()
	g := old
	g.Generation, g.AccessToken, g.ObtainedAt, g.ExpiresAt = rec.Head.Generation, in.foreseenToken("token"), in.Now, time.Time{}
	g.RefreshState, g.LostRefresh = state.RefreshUsable, false
	if singleUse(in.Held, &old) {
		g.RefreshToken, g.RefreshUntil = in.foreseenToken("refresh token"), time.Time{}
	}
	rec.Grant, in.Intent = &g, nil
	in.obtained()
}

// settle is what an open intent turns out to mean.
func (in *Input) settle(s Step) {
	rec, op := &in.Record, in.Intent.Op
	o := outcome{op: op, class: classUnknown, message: s.Reason, reached: true, lockout: in.Traits.Lockout && op == opGrant}
	switch op {
	case opRefresh:
		if g := rec.Grant; g != nil {
			lost := *g
			lost.LostRefresh = true
			lost.RefreshState = afterCall(in.Held, g, in.Intent)
			rec.Grant = &lost
		}
	case opRevive:
		rec.Retiring = slices.Clone(rec.Retiring)
		for i := range rec.Retiring {
			if g := &rec.Retiring[i]; g.Generation == in.Intent.Generation {
				g.RefreshState = afterCall(in.RetiredTraits[i], g, in.Intent)
			}
		}
		in.Intent = nil
		return
	case opExchange:
		o.class = classLogin
		if rec.Grant != nil && in.Traits.Session == spec.SessionOnePerAccount {
			rec.Head.Flags |= state.FlagTainted
		}
	case opPoll:
		if o.class = classLogin; rec.Grant != nil || accountEnded(rec.Failure) {
			in.Intent = nil
			return
		}
	}
	if f := in.failureOf(op); f == nil || f.Op != op || f.LastAt.Before(in.Intent.At) {
		retry := spec.RetryPolicy{Initial: time.Second, Max: 5 * time.Minute}
		if in.Want != nil {
			retry = in.Want.Retry
		}
		in.failed(o, in.Now, retry)
	}
	in.Intent = nil
}

func (in *Input) noted(s Step) {
	rec := &in.Record
	switch s.Cause {
	case causeRemove, causeForget:
		rec.Removing = &state.Removing{Since: in.Now, Reason: s.Reason}
		return
	case causeSession:
		in.losesSession(in.Now, rec.Grant.InputHashes)
		return
	}
	rec.Retiring = slices.Clone(rec.Retiring)
	for i := range rec.Retiring {
		if r := *rec.Retiring[i].Retired; r.DeliveredAt.IsZero() {
			r.DeliveredAt = in.Now
			rec.Retiring[i].Retired = &r
		}
	}
}
