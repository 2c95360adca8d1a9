package reconcile

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// aGrant is a token obtained at t0 that lives an hour, with a refresh token.
func aGrant(change func(*state.Grant)) *state.Grant {
	g := &state.Grant{
		Generation: 3, GrantType: "password", AccessToken: secret.New("access-3"), RefreshToken: secret.New("refresh-3"),
		GrantedAt: t0, ObtainedAt: t0, ExpiresAt: t0.Add(time.Hour),
	}
	if change != nil {
		change(g)
	}
	return g
}

func retiredGrant(cause string, change func(*state.Grant)) state.Grant {
	g := aGrant(func(g *state.Grant) {
		g.Generation, g.AccessToken, g.RefreshToken = 2, secret.New("access-2"), secret.New("refresh-2")
		g.Retired = &state.Retired{Since: t0, Cause: cause}
	})
	if change != nil {
		change(g)
	}
	return *g
}

// anInput is a declared credential with a fresh token, ten minutes after t0.
func anInput(change func(*Input)) Input {
	traits := Traits{HasRefresh: true, HasRevoke: true, RevokeOn: []string{"remove", "replace"}, Rotates: spec.RotatesObserve, Session: spec.SessionIndependent}
	lc := state.Lifecycle{OnRemove: spec.OnRemoveRevoke, Overlap: 30 * time.Second, MaxOverlap: time.Hour}
	in := Input{
		Now: t0.Add(10 * time.Minute), Address: "credential.coinify.trader", Declared: true,
		Want:   &spec.Credential{Refresh: spec.RefreshPolicy{At: 0.5, MinRemaining: time.Minute}, Retry: spec.RetryPolicy{Initial: time.Second, Max: time.Minute}},
		Traits: traits, Held: traits,
		Record: state.Credential{Grant: aGrant(nil), Lifecycle: lc},
	}
	in.Record.Head.Generation = 3
	if change != nil {
		change(&in)
	}
	for range in.Record.Retiring {
		in.RetiredTraits = append(in.RetiredTraits, in.Held)
	}
	return in
}

func TestDecide(t *testing.T) {
	interactive := func(in *Input) { in.Traits.Interactive, in.Held.Interactive = true, true }
	gone := func(in *Input) { in.Declared, in.Want = false, nil }
	for name, c := range map[string]struct {
		change func(*Input)
		action Action
		state  State
		reason string
		next   time.Duration // after t0; 0: not checked
	}{
		"fresh":   {func(in *Input) {}, ActNone, Ready, "fresh", 30 * time.Minute},
		"due":     {func(in *Input) { in.Now = t0.Add(30 * time.Minute) }, ActRefresh, Pending, "due", 0},
		"expired": {func(in *Input) { in.Now = t0.Add(2 * time.Hour) }, ActRefresh, Pending, "expired", 0},
		"due, refresh token ended": {func(in *Input) {
			in.Now, in.Record.Grant.RefreshUntil = t0.Add(30*time.Minute), t0.Add(29*time.Minute)
		}, ActReplace, Pending, "refresh token has ended", 0},
		"due, no refresh token":      {func(in *Input) { in.Now, in.Record.Grant.RefreshToken = t0.Add(30*time.Minute), secret.Text{} }, ActReplace, Pending, "without a refresh token", 0},
		"due, API has no refresh":    {func(in *Input) { in.Now, in.Held.HasRefresh = t0.Add(30*time.Minute), false }, ActReplace, Pending, "no refresh", 0},
		"due, refresh token refused": {func(in *Input) { in.Now, in.Record.Grant.RefreshState = t0.Add(30*time.Minute), state.RefreshRefused }, ActReplace, Pending, "refused", 0},
		"due, refused, interactive": {func(in *Input) {
			interactive(in)
			in.Now, in.Record.Grant.RefreshState = t0.Add(30*time.Minute), state.RefreshRefused
		}, ActWait, NeedsLogin, "log in", 60 * time.Minute},
		"no expiry is never due": {func(in *Input) { in.Now, in.Record.Grant.ExpiresAt = t0.Add(9999*time.Hour), time.Time{} }, ActNone, Ready, "fresh", 0},
		"refresh ordered":        {func(in *Input) { in.Order.Kind = OrderRefresh }, ActRefresh, Pending, "a person", 0},
		"refresh backed off": {func(in *Input) {
			in.Now = t0.Add(30 * time.Minute)
			in.Record.Failure = &state.Failure{Op: opRefresh, NextAt: t0.Add(31 * time.Minute), Message: "500"}
		}, ActWait, Failing, "failed", 31 * time.Minute},
		"no token":              {func(in *Input) { in.Record.Grant, in.Record.Head.Generation = nil, 0 }, ActObtain, Pending, "no token yet", 0},
		"no token, interactive": {func(in *Input) { interactive(in); in.Record.Grant = nil }, ActWait, NeedsLogin, "log in", 0},
		"no token, stopped": {func(in *Input) {
			in.Record.Grant = nil
			in.Record.Failure = &state.Failure{Op: opGrant, Stopped: true, Message: "wrong password"}
		}, ActWait, Stopped, "refused", 0},
		"stopped, an input changed": {func(in *Input) {
			in.Record.Grant, in.Fresh = nil, true
			in.Record.Failure = &state.Failure{Op: opGrant, Stopped: true}
		}, ActObtain, Pending, "", 0},
		"stopped, retry ordered": {func(in *Input) {
			in.Record.Grant = nil
			in.Order.Kind = OrderRetry
			in.Record.Failure = &state.Failure{Op: opGrant, Stopped: true}
		}, ActObtain, Pending, "", 0},
		"a stopped grant still refreshes": {func(in *Input) {
			in.Now = t0.Add(30 * time.Minute)
			in.Record.Failure = &state.Failure{Op: opGrant, Stopped: true}
		}, ActRefresh, Pending, "due", 0},
		"static, nothing held":              {func(in *Input) { in.Traits.Static, in.Record.Grant = true, nil }, ActStatic, Pending, "key", 0},
		"an input changed":                  {func(in *Input) { in.WantsNew = []string{"email"} }, ActReplace, Pending, "email changed", 0},
		"refresh ordered, an input changed": {func(in *Input) { in.Order.Kind, in.WantsNew = OrderRefresh, []string{"email"} }, ActRefresh, Pending, "a person", 0},
		"refresh ordered, tainted": {func(in *Input) {
			in.Order.Kind, in.Record.Head.Flags = OrderRefresh, state.FlagTainted
		}, ActRefresh, Pending, "a person", 0},
		"refresh ordered, an input changed, no refresh token": {func(in *Input) {
			in.Order.Kind, in.WantsNew, in.Record.Grant.RefreshToken = OrderRefresh, []string{"email"}, secret.Text{}
		}, ActWait, Pending, "tokend apply", 0},
		"an input changed, guarded": {func(in *Input) { in.WantsNew, in.Guarded = []string{"email"}, "too many" }, ActWait, Held, "too many", 30 * time.Minute},
		"an input changed, guarded, due": {func(in *Input) {
			in.WantsNew, in.Guarded, in.Now = []string{"email"}, "too many", t0.Add(40*time.Minute)
		}, ActRefresh, Pending, "due", 0},
		"an input changed, interactive":   {func(in *Input) { interactive(in); in.WantsNew = []string{"client_id"} }, ActWait, NeedsLogin, "stays in force", 30 * time.Minute},
		"tainted":                         {func(in *Input) { in.Record.Head.Flags = state.FlagTainted }, ActReplace, Pending, "tainted", 0},
		"origin changed":                  {func(in *Input) { in.Origins = "its API's address changed from a to b" }, ActReplace, Pending, "new grant begins", 0},
		"origin changed, guarded":         {func(in *Input) { in.Origins, in.Guarded = "its API's address changed from a to b", "another address" }, ActWait, Held, "approves", 0},
		"an unread reply waits":           {func(in *Input) { in.Record.Raw = &state.Raw{Op: opRefresh}; in.Now = t0.Add(40 * time.Minute) }, ActWait, Unread, "kept", 0},
		"an unread refresh, about to end": {func(in *Input) { in.Record.Raw = &state.Raw{Op: opRefresh}; in.Now = t0.Add(59 * time.Minute) }, ActReplace, Unread, "about to end", 0},
		"the same, but a person is needed": {func(in *Input) {
			in.Record.Raw, in.Traits.Interactive, in.Now = &state.Raw{Op: opRefresh}, true, t0.Add(59*time.Minute)
		}, ActWait, Unread, "kept", 0},
		"the same, and that failed": {func(in *Input) {
			in.Record.Raw, in.Now = &state.Raw{Op: opRefresh}, t0.Add(59*time.Minute)
			in.Record.Failure = &state.Failure{Op: opGrant, LastAt: in.Now, NextAt: in.Now.Add(20 * time.Second)}
		}, ActWait, Failing, "failed", 59*time.Minute + 20*time.Second},
		"an unread grant, a token is held": {func(in *Input) { in.Record.Raw = &state.Raw{Op: opGrant}; in.Now = t0.Add(40 * time.Minute) }, ActRefresh, Pending, "due", 0},
		"an unread reply, retry":           {func(in *Input) { in.Record.Raw = &state.Raw{}; in.Order.Kind = OrderRetry }, ActReread, Pending, "", 0},
		"login completed":                  {func(in *Input) { interactive(in); in.Order.Kind = OrderLogin }, ActExchange, Pending, "login", 0},
		"revoke ordered":                   {func(in *Input) { in.Order.Kind = OrderRevoke }, ActRetire, Pending, "a person", 0},

		"grant lost":    {func(in *Input) { in.Record.Grant = nil; in.Intent = &state.Intent{Op: opGrant} }, ActSettle, Pending, "orphan", 0},
		"exchange lost": {func(in *Input) { interactive(in); in.Intent = &state.Intent{Op: opExchange} }, ActSettle, NeedsLogin, "code works once", 0},
		"poll lost":     {func(in *Input) { interactive(in); in.Intent = &state.Intent{Op: opPoll} }, ActSettle, NeedsLogin, "nobody saw it", 0},
		"poll lost, asked again": {func(in *Input) {
			interactive(in)
			in.Intent, in.Order.Kind = &state.Intent{Op: opPoll}, OrderLogin
		}, ActSettle, NeedsLogin, "nobody saw it", 0},
		"action lost":  {func(in *Input) { in.Intent = &state.Intent{Op: opAction, Action: "deactivate"} }, ActSettle, Failing, "not repeated", 0},
		"refresh lost": {func(in *Input) { in.Intent = &state.Intent{Op: opRefresh} }, ActSettle, Indeterminate, "works once", 0},
		"refresh lost, kept": {func(in *Input) {
			in.Intent = &state.Intent{Op: opRefresh}
			in.Record.Grant.Rotation = state.RotationKept
		}, ActSettle, Failing, "do not change", 0},
		"refresh lost, never": {func(in *Input) { in.Intent = &state.Intent{Op: opRefresh}; in.Held.Rotates = spec.RotatesNever }, ActSettle, Failing, "do not change", 0},
		"refresh lost, window": {func(in *Input) {
			in.Intent = &state.Intent{Op: opRefresh}
			in.Held.ReplayWindow, in.SinceIntent, in.SinceIntentOK = time.Minute, time.Second, true
		}, ActReplay, Pending, "repeated", 0},
		"refresh lost, as good as over": {func(in *Input) { // it would leave in time, and get there too late
			in.Intent = &state.Intent{Op: opRefresh}
			in.Held.ReplayWindow, in.SinceIntent, in.SinceIntentOK = time.Minute, time.Minute-spec.ReplayMargin, true
		}, ActSettle, Indeterminate, "", 0},
		"window over": {func(in *Input) {
			in.Intent = &state.Intent{Op: opRefresh}
			in.Held.ReplayWindow, in.SinceIntent, in.SinceIntentOK = time.Minute, time.Minute, true
		}, ActSettle, Indeterminate, "", 0},
		"window after a reboot": {func(in *Input) { in.Intent = &state.Intent{Op: opRefresh}; in.Held.ReplayWindow = time.Minute }, ActSettle, Indeterminate, "", 0},
		"second replay": {func(in *Input) {
			in.Intent = &state.Intent{Op: opRefresh, Replay: true}
			in.Held.ReplayWindow, in.SinceIntent, in.SinceIntentOK = time.Minute, time.Second, true
		}, ActSettle, Indeterminate, "", 0},
		"indeterminate": {func(in *Input) { in.Record.Grant.RefreshState = state.RefreshIndeterminate }, ActReplace, Indeterminate, "obtained by the grant", 0},
		"indeterminate, interactive": {func(in *Input) { interactive(in); in.Record.Grant.RefreshState = state.RefreshIndeterminate },
			ActWait, Indeterminate, "tried once more", 60*time.Minute - lastTryMargin},
		"indeterminate, an input changed": {func(in *Input) {
			in.Record.Grant.RefreshState, in.WantsNew = state.RefreshIndeterminate, []string{"email"}
		}, ActReplace, Indeterminate, "email changed, and the reply to a refresh was lost", 0},
		"indeterminate, an input changed, prevent_destroy": {func(in *Input) {
			in.Record.Grant.RefreshState, in.WantsNew, in.Want.Lifecycle.PreventDestroy = state.RefreshIndeterminate, []string{"email"}, true
		}, ActWait, Held, "prevent_destroy holds its replacement back", 60*time.Minute - lastTryMargin},
		"indeterminate, an input changed, guarded": {func(in *Input) {
			in.Record.Grant.RefreshState, in.WantsNew, in.Guarded = state.RefreshIndeterminate, []string{"email"}, "too many"
		}, ActWait, Held, "too many", 60*time.Minute - lastTryMargin},
		"indeterminate, an input changed, prevent_destroy, at the end": {func(in *Input) {
			in.Record.Grant.RefreshState, in.WantsNew, in.Want.Lifecycle.PreventDestroy = state.RefreshIndeterminate, []string{"email"}, true
			in.Now = t0.Add(time.Hour)
		}, ActRefresh, Indeterminate, "one last time", 0},
		"indeterminate, an input changed, prevent_destroy, at the end, and both calls fail": {func(in *Input) {
			in.Record.Grant.RefreshState, in.WantsNew, in.Want.Lifecycle.PreventDestroy = state.RefreshIndeterminate, []string{"email"}, true
			in.Now = t0.Add(time.Hour)
			in.Record.Failure = &state.Failure{Op: opGrant, LastAt: t0, NextAt: t0}
			in.RefreshFailure = &state.Failure{Op: opRefresh, LastAt: in.Now, NextAt: in.Now.Add(2 * time.Second)}
		}, ActWait, Failing, "its last refresh failed", time.Hour + 2*time.Second},
		"the state went back to an older copy": {func(in *Input) {
			in.Record.Grant.RefreshState, in.Record.Restored = state.RefreshIndeterminate, in.Record.Grant.ObtainedAt.Add(time.Minute)
		}, ActReplace, Indeterminate, "the state went back to an older copy", 0},
		"the state went back to an older copy before this grant": {func(in *Input) {
			in.Record.Grant.RefreshState, in.Record.Restored = state.RefreshIndeterminate, in.Record.Grant.ObtainedAt.Add(-time.Minute)
		}, ActReplace, Indeterminate, "the reply to a refresh was lost", 0},
		"indeterminate, interactive, at the end": {func(in *Input) {
			interactive(in)
			in.Record.Grant.RefreshState = state.RefreshIndeterminate
			in.Now = t0.Add(time.Hour)
		},
			ActRefresh, Indeterminate, "one last time", 0},

		"indeterminate, interactive, at the end, and the API was away": {func(in *Input) {
			interactive(in)
			in.Record.Grant.RefreshState = state.RefreshIndeterminate
			in.Now = t0.Add(time.Hour)
			in.Record.Failure = &state.Failure{Op: opRefresh, LastAt: in.Now, NextAt: in.Now.Add(2 * time.Second)}
		}, ActWait, Failing, "its last refresh failed", time.Hour + 2*time.Second},

		"old token, sinks hold it": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("replace", nil)}
			in.Holding = []string{"sink.file.a"}
		}, ActWait, Ready, "until every sink", 30 * time.Minute},
		"gone, an old token within its overlap": {func(in *Input) {
			gone(in)
			in.Record.Grant, in.Record.Removing = nil, &state.Removing{Since: t0}
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.Retired.DeliveredAt = t0 })}
		}, ActRevoke, Pending, "", 0},
		"gone, one revocation is backed off and another is not": {func(in *Input) {
			gone(in)
			in.Record.Grant, in.Record.Removing = nil, &state.Removing{Since: t0}
			failed := retiredGrant("remove", func(g *state.Grant) { g.Retired.NextAt = in.Now.Add(time.Hour) })
			in.Record.Retiring, in.RetiredTraits = []state.Grant{failed, retiredGrant("remove", nil)}, append(in.RetiredTraits, in.Held, in.Held)
		}, ActRevoke, Pending, "", 0},
		"old token, delivered":       {func(in *Input) { in.Record.Retiring = []state.Grant{retiredGrant("replace", nil)} }, ActNote, Pending, "overlap begins", 0},
		"old token, sinks not known": {func(in *Input) { in.Record.Retiring = []state.Grant{retiredGrant("replace", nil)}; in.Unknown = true }, ActWait, Ready, "until every sink", 0},
		"old token, in overlap": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.Retired.DeliveredAt = t0.Add(10*time.Minute - time.Second) })}
		}, ActWait, Ready, "overlap", 10*time.Minute + 29*time.Second},
		"old token, after overlap": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.Retired.DeliveredAt = t0 })}
		}, ActRevoke, Pending, "replaced", 0},
		"old token, max_overlap": {func(in *Input) {
			in.Record.Lifecycle.MaxOverlap = 9 * time.Minute
			in.Holding, in.Record.Retiring = []string{"sink.file.a"}, []state.Grant{retiredGrant("replace", nil)}
		}, ActRevoke, Pending, "replaced", 0},
		"old token, max_overlap, a sink untried since the start": {func(in *Input) {
			in.Record.Lifecycle.MaxOverlap = 9 * time.Minute
			in.Unknown, in.Untried, in.Record.Retiring = true, in.Now.Add(-time.Minute), []state.Grant{retiredGrant("replace", nil)}
		}, ActWait, Ready, "until every sink", 14 * time.Minute},
		"old token, max_overlap, a sink untried for long": {func(in *Input) {
			in.Record.Lifecycle.MaxOverlap = 9 * time.Minute
			in.Unknown, in.Untried, in.Record.Retiring = true, in.Now.Add(-untriedLimit), []state.Grant{retiredGrant("replace", nil)}
		}, ActRevoke, Pending, "replaced", 0},
		"old token, no max_overlap, a sink untried since the start": {func(in *Input) {
			in.Record.Lifecycle.Overlap, in.Record.Lifecycle.MaxOverlap = 0, 0
			in.Unknown, in.Untried, in.Record.Retiring = true, in.Now, []state.Grant{retiredGrant("replace", nil)}
		}, ActRevoke, Pending, "replaced", 0},
		"old token that another has, too": {func(in *Input) {
			in.Record.Retiring, in.Shared = []state.Grant{retiredGrant("revoke", nil)}, []sharing{{asked: true, with: "credential.x.b"}}
		}, ActWait, Ready, "credential.x.b holds the same access token", 10*time.Minute + sharedLook},
		"old token, who has it is not known": {func(in *Input) {
			in.Record.Retiring, in.Shared = []state.Grant{retiredGrant("revoke", nil)}, []sharing{{asked: true, why: "records are read"}}
		}, ActWait, Ready, "not known yet: records are read", 10*time.Minute + sharedSoon},
		"old token that another has, too, its revocation may have been sent": {func(in *Input) {
			in.Intent = &state.Intent{Op: opRevoke, Generation: 2}
			in.Record.Retiring, in.Shared = []state.Grant{retiredGrant("revoke", nil)}, []sharing{{asked: true, with: "credential.x.b"}}
		}, ActNote, Pending, "credential.x.b has one that ends with it", 0},
		"a revocation may have been sent that ended another's, and there is no token": {func(in *Input) {
			in.Intent, in.Record.Grant = &state.Intent{Op: opRevoke, Generation: 2}, nil
			in.Record.Retiring, in.Shared = []state.Grant{retiredGrant("revoke", nil)}, []sharing{{asked: true, with: "credential.x.b"}}
		}, ActNote, Pending, "credential.x.b has one that ends with it", 0},
		"a revocation may have been sent, and nobody else has what it ends": {func(in *Input) {
			in.Intent, in.Record.Grant = &state.Intent{Op: opRevoke, Generation: 2}, nil
			in.Record.Retiring, in.Shared = []state.Grant{retiredGrant("revoke", nil)}, []sharing{{asked: true}}
		}, ActObtain, Pending, "", 0},
		"old token of the login of another in its overlap": {func(in *Input) {
			same := func(at time.Time) func(*state.Grant) {
				return func(g *state.Grant) { g.RefreshToken, g.Retired.DeliveredAt = secret.New("one login"), at }
			}
			in.Record.Retiring = []state.Grant{retiredGrant("replace", same(t0)), retiredGrant("replace", same(t0.Add(10*time.Minute-time.Second)))}
		}, ActWait, Ready, "may still be in use", 10*time.Minute + 29*time.Second},
		"a token that was revoked for another": {func(in *Input) {
			in.Record.Verified = state.Verified{Refused: 3, Why: "it was revoked for credential.x.b"}
		}, ActRefresh, Failing, "no longer honours its token", 0},
		"a token that is being revoked for another": {func(in *Input) {
			in.Record.Verified, in.Dying = state.Verified{Refused: 3, Why: "it was revoked for credential.x.b"}, true
		}, ActWait, Failing, "no longer honours its token", 10*time.Minute + sharedSoon},
		"old token that was revoked for another": {func(in *Input) {
			in.Record.Verified = state.Verified{Refused: 2, Why: "it was revoked for credential.x.b"}
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.RefreshToken, g.Retired.DeliveredAt = secret.Text{}, t0 })}
		}, ActRelease, Pending, "revoked for another credential", 0},
		"old token shares the refresh token": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.RefreshToken = secret.New("refresh-3") })}
		}, ActRelease, Pending, "shares", 0},
		"old token of a shared grant": {func(in *Input) {
			in.Held.Session = spec.SessionSharedGrant
			in.Record.Retiring = []state.Grant{retiredGrant("replace", nil)}
		}, ActRelease, Pending, "in force", 0},
		"old token, one per account": {func(in *Input) {
			in.Held.Session = spec.SessionOnePerAccount
			in.Record.Retiring = []state.Grant{retiredGrant("replace", nil)}
		}, ActRelease, Pending, "ended the old", 0},
		"old token, no revocation": {func(in *Input) {
			in.Held.HasRevoke = false
			in.Record.Retiring = []state.Grant{retiredGrant("replace", nil)}
		}, ActRelease, Pending, "no revocation", 0},
		"old token of a refresh, not asked": {func(in *Input) { in.Record.Retiring = []state.Grant{retiredGrant("refresh", nil)} }, ActRelease, Pending, "does not ask", 0},
		"old token of the same login": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.RefreshToken = in.Record.Grant.RefreshToken })}
			in.Held.RevokeNamesAccess = true
		}, ActRelease, Pending, "of one login", 0},
		"expired token of the same login": {func(in *Input) {
			in.Held.RevokeNamesAccess, in.Held.RevokeNeeds, in.Held.RevokeOn = true, needsAccess, []string{"remove", "replace", "refresh"}
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.RefreshToken, g.ExpiresAt = in.Record.Grant.RefreshToken, t0 })}
		}, ActRelease, Pending, "of one login", 0},
		"ordered, and the token in force has its refresh token": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("revoke", func(g *state.Grant) { g.RefreshToken = in.Record.Grant.RefreshToken })}
		}, ActWait, Ready, "waits for that one's revocation", 30 * time.Minute},
		"ordered, of the same login": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("revoke", func(g *state.Grant) { g.RefreshToken = in.Record.Grant.RefreshToken })}
			in.Held.RevokeNamesAccess = true
		}, ActWait, Ready, "waits for that one's revocation", 30 * time.Minute},
		"ordered, of the same login, which its access token does not end": {func(in *Input) {
			in.Held.RevokeNamesAccess, in.Held.RevokeOn = true, []string{"remove", "replace", "refresh"}
			in.Record.Retiring = []state.Grant{retiredGrant("revoke", func(g *state.Grant) { g.RefreshToken = in.Record.Grant.RefreshToken })}
		}, ActRevoke, Pending, "a person", 0},
		"ordered, of the same login, and only its refresh token is left": {func(in *Input) {
			in.Held.RevokeNamesAccess, in.Held.RevokeOn = true, []string{"remove", "replace", "refresh"}
			in.Record.Retiring = []state.Grant{retiredGrant("revoke", func(g *state.Grant) { g.RefreshToken, g.ExpiresAt = in.Record.Grant.RefreshToken, t0 })}
		}, ActWait, Ready, "waits for that one's revocation", 30 * time.Minute},
		"what a kept reply brought": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("login", nil)}
		}, ActWait, Ready, "revoked with it", 0},
		"refused, and another has the session": {func(in *Input) {
			in.WantsNew = []string{"account"}
			in.Session = &rival{address: "credential.coinify.other", since: in.Now}
			in.Record.Failure = &state.Failure{Op: opGrant, Class: "permanent", Stopped: true, Count: 1, Reached: 1}
		}, ActWait, Stopped, "one session", 0},
		"old token, both expired": {func(in *Input) {
			in.Now = t0.Add(10 * time.Minute)
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.ExpiresAt, g.RefreshUntil = t0, t0 })}
		}, ActRelease, Pending, "expired by itself", 0},
		"old token needs a living one": {func(in *Input) {
			in.Held.RevokeNeeds = needsAccess
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.ExpiresAt, g.Retired.DeliveredAt = t0, t0 })}
		}, ActRevive, Pending, "refreshed first", 0},
		"due goes before an old token": {func(in *Input) {
			in.Now = t0.Add(30 * time.Minute)
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.Retired.DeliveredAt = t0 })}
		}, ActRefresh, Pending, "due", 0},
		"a failing grant still revokes": {func(in *Input) {
			in.Record.Grant = nil
			in.Record.Failure = &state.Failure{Op: opGrant, Stopped: true}
			in.Record.Retiring = []state.Grant{retiredGrant("revoke", nil)}
		}, ActRevoke, Pending, "a person", 0},
		"revocation backed off": {func(in *Input) {
			in.Record.Retiring = []state.Grant{retiredGrant("replace", func(g *state.Grant) { g.Retired.DeliveredAt, g.Retired.NextAt = t0, t0.Add(11*time.Minute) })}
		}, ActWait, Ready, "retried", 11 * time.Minute},
		"revocation given up": {func(in *Input) {
			in.Order = Order{Kind: OrderRevoke, Forget: true}
			in.Record.Retiring = []state.Grant{retiredGrant("replace", nil)}
		}, ActRelease, Pending, "gave", 0},

		"gone":              {gone, ActNote, Removing, "no longer declared", 0},
		"gone, not settled": {func(in *Input) { gone(in); in.Quiet = t0.Add(11 * time.Minute) }, ActWait, Removing, "quiet", 11 * time.Minute},
		"gone, guarded":     {func(in *Input) { gone(in); in.Guarded = "too many" }, ActWait, Held, "too many", 0},
		"gone, prevented":   {func(in *Input) { gone(in); in.Record.Lifecycle.PreventDestroy = true }, ActWait, Held, "prevent_destroy", 0},
		"gone, a sink holds it": {func(in *Input) {
			gone(in)
			in.Record.Removing = &state.Removing{Since: t0.Add(9 * time.Minute)}
			in.Holding = []string{"sink.file.a"}
		}, ActWait, Removing, "sink.file.a", 69 * time.Minute},
		"gone, a sink holds it longer": {func(in *Input) {
			gone(in)
			in.Record.Removing = &state.Removing{Since: t0.Add(-time.Hour)}
			in.Holding = []string{"sink.file.a"}
		}, ActRetire, Removing, "given up", 0},
		"gone, clean": {func(in *Input) { gone(in); in.Record.Removing = &state.Removing{Since: t0} }, ActRetire, Removing, "given up", 0},
		"gone, forget": {func(in *Input) {
			gone(in)
			in.Record.Removing = &state.Removing{Since: t0}
			in.Record.Lifecycle.OnRemove = spec.OnRemoveForget
		}, ActDrop, Removing, "left alone", 0},
		"gone, retired": {func(in *Input) {
			gone(in)
			in.Record.Grant, in.Record.Removing, in.Record.Retiring = nil, &state.Removing{Since: t0}, []state.Grant{retiredGrant("remove", nil)}
		}, ActRevoke, Pending, "no longer declared", 0},
		"gone, nothing left": {func(in *Input) { gone(in); in.Record.Grant = nil }, ActDrop, Removing, "nothing of it is left", 0},
		"gone, orphans and more": {func(in *Input) {
			gone(in)
			in.Record.Grant, in.Record.Orphans = nil, state.Orphans{{Count: 2}}
		}, ActDrop, Removing, "nothing of it is left but 2 tokens that nobody knows", 0},
		"gone, orphans": {func(in *Input) {
			gone(in)
			in.Record = state.Credential{Orphans: state.Orphans{{Count: 2}}}
		}, ActWait, Removed, "2 tokens may live that nobody knows", 0},
		"gone, orphans that end": {func(in *Input) {
			gone(in)
			in.Record = state.Credential{Orphans: state.Orphans{{Count: 1, Until: t0.Add(20 * time.Minute)}}}
		}, ActWait, Removed, "1 token may live that nobody knows", 20 * time.Minute},
		"gone, orphans that have ended": {func(in *Input) {
			gone(in)
			in.Record = state.Credential{Orphans: state.Orphans{{Count: 1, Until: t0}}}
		}, ActDrop, Removing, "nothing of it is left", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := Decide(anInput(c.change))
			if s.Action != c.action || s.State != c.state {
				t.Errorf("decided %q, state %q (%s); want %q, %q", s.Action, s.State, s.Reason, c.action, c.state)
			}
			if !strings.Contains(s.Reason+" "+s.Why, c.reason) {
				t.Errorf("reason %q says nothing of %q", s.Reason, c.reason)
			}
			if c.next != 0 && !s.Next.Equal(t0.Add(c.next)) {
				t.Errorf("looks again %s after t0, want %s", s.Next.Sub(t0), c.next)
			}
			if s.Reason == "" {
				t.Error("no reason")
			}
		})
	}
}

// That every sink holds the new token is noted as just that, whatever the old one
// was replaced for: a note of a taint would have it replaced for ever.
func TestADeliveryIsNoTaint(t *testing.T) {
	for _, cause := range []string{causeTaint, causeReplace, causeExpired, causeForget} {
		s := Decide(anInput(func(in *Input) { in.Record.Retiring = []state.Grant{retiredGrant(cause, nil)} }))
		if s.Action == ActNote && s.Cause != "" {
			t.Errorf("retired by a %s: noted for %q (%s)", cause, s.Cause, s.Reason)
		}
	}
}

// What waits for a person has to name the command that goes on.
func TestEveryStuckStepNamesTheWayOn(t *testing.T) {
	for _, change := range []func(*Input){
		func(in *Input) { in.Traits.Interactive, in.Record.Grant = true, nil },
		func(in *Input) {
			in.Record.Grant = nil
			in.Record.Failure = &state.Failure{Stopped: true, Message: "wrong password"}
		},
		func(in *Input) { in.Record.Raw = &state.Raw{} },
		func(in *Input) { in.Declared, in.Want, in.Guarded = false, nil, "g" },
		func(in *Input) { in.Declared, in.Want, in.Record.Lifecycle.PreventDestroy = false, nil, true },
	} {
		s := Decide(anInput(change))
		if s.Mend == "" || s.Why == "" {
			t.Errorf("%s: %q, why %q, mend %q", s.State, s.Reason, s.Why, s.Mend)
		}
	}
}

func TestDecideSink(t *testing.T) {
	written := state.Sink{Written: []byte("file:/x\nacc")}
	for name, c := range map[string]struct {
		in     SinkInput
		action Action
		state  State
		reason string
	}{
		"never written":     {SinkInput{Declared: true, Checked: true, Drift: "missing"}, ActWrite, Pending, "never written"},
		"waits":             {SinkInput{Declared: true, Missing: []string{"credential.a.b"}}, ActWait, Waiting, "a.b"},
		"newer token":       {SinkInput{Declared: true, Stored: true, Record: written, Checked: true, Newer: []string{"c"}, Drift: "content"}, ActWrite, Pending, "newer"},
		"changed":           {SinkInput{Declared: true, Stored: true, Record: written, Checked: true, Changed: true, Drift: "content"}, ActWrite, Pending, "changed"},
		"moved":             {SinkInput{Declared: true, Stored: true, Record: written, Checked: true, Changed: true, Moved: true, Drift: "missing"}, ActWrite, Pending, "place"},
		"move held":         {SinkInput{Declared: true, Stored: true, Record: written, Checked: true, Changed: true, Moved: true, Drift: "missing", Guarded: "too many"}, ActNone, Held, "it stays at its place: too many"},
		"move held, unread": {SinkInput{Declared: true, Stored: true, Record: written, Deferred: true, Changed: true, Moved: true, Guarded: "too many"}, ActNone, Held, "it stays at its place: too many"},
		"drift":             {SinkInput{Declared: true, Stored: true, Record: written, Checked: true, Drift: "mode is 0644, not 0600"}, ActRepair, Pending, "0644"},
		"in sync":           {SinkInput{Declared: true, Stored: true, Record: written, Checked: true}, ActNone, Ready, ""},
		"in sync, another":  {SinkInput{Declared: true, Stored: true, Record: written, Checked: true, Another: true}, ActRecord, Ready, ""},
		"in sync, newer":    {SinkInput{Declared: true, Stored: true, Record: written, Checked: true, Newer: []string{"c"}}, ActRecord, Ready, ""},
		"left a place":      {SinkInput{Declared: true, Stored: true, Checked: true, Record: state.Sink{Written: written.Written, Leaving: [][]byte{[]byte("file:/y\n")}}}, ActClean, Pending, ""},
		"backed off":        {SinkInput{Declared: true, Stored: true, Now: t0, Record: state.Sink{Failure: &state.Failure{NextAt: t0.Add(1), Message: "m"}}}, ActWait, Failing, ""},
		"backed off, retry": {SinkInput{Declared: true, Stored: true, Now: t0, Drift: "missing", Checked: true, Order: Order{Kind: OrderRetry}, Record: state.Sink{Failure: &state.Failure{NextAt: t0.Add(1)}}}, ActWrite, Pending, ""},
		"gone":              {SinkInput{Stored: true, Record: written}, ActRemove, Removing, ""},
		"gone, guarded":     {SinkInput{Stored: true, Record: written, Guarded: "too many"}, ActWait, Held, "too many"},
		"gone, not settled": {SinkInput{Stored: true, Record: written, Now: t0, Quiet: t0.Add(1)}, ActWait, Removing, "quiet"},
		"gone, claimed":     {SinkInput{Stored: true, Record: written, Claimed: true, Taken: true}, ActDrop, Removing, "another sink"},
		"gone, to be taken": {SinkInput{Stored: true, Record: written, Claimed: true, Heir: "sink.mem.y"}, ActWait, Removing, "until sink.mem.y, which has it now, has written it"},
		"gone, stuck":       {SinkInput{Stored: true, Record: written, Stuck: "two records", Claimed: true}, ActWait, Held, "two records"},
		"gone, not claimed": {SinkInput{Stored: true, Record: written, Stuck: "two records"}, ActWait, Held, "two records"},
		"stuck, but taken":  {SinkInput{Stored: true, Record: written, Stuck: "two records", Claimed: true, Taken: true}, ActDrop, Removing, "another sink"},
		"gone, failing":     {SinkInput{Stored: true, Now: t0, Record: state.Sink{Written: []byte("x"), Failure: &state.Failure{NextAt: t0.Add(1), Message: "m"}}}, ActWait, Removing, "cannot clean"},
	} {
		t.Run(name, func(t *testing.T) {
			s := DecideSink(c.in)
			if s.Action != c.action || s.State != c.state || !strings.Contains(s.Reason, c.reason) {
				t.Errorf("decided %q, state %q, reason %q; want %q, %q, %q", s.Action, s.State, s.Reason, c.action, c.state, c.reason)
			}
		})
	}
}

// A sink that cannot follow its moved block is looked at again while the one that
// it would be is about to write its place: then it has none.
func TestAStuckSinkWaitsForItsPlaceToBeTaken(t *testing.T) {
	for claimed, want := range map[bool]time.Time{true: t0.Add(lookAgain), false: {}} {
		in := SinkInput{Now: t0, Stored: true, Record: state.Sink{Written: []byte("mem:x\nx")}, Stuck: "two records", Claimed: claimed}
		if s := DecideSink(in); !s.Next.Equal(want) {
			t.Errorf("claimed %v: it is looked at again at %s, want %s", claimed, s.Next, want)
		}
	}
}
