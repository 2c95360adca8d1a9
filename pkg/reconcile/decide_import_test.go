package reconcile

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

func TestDecideImports(t *testing.T) {
	token := func(f func(*Input)) Input {
		in := Input{Now: t0, Address: "credential.x.y", Declared: true, Want: &spec.Credential{}, Traits: Traits{HasRefresh: true}, Held: Traits{HasRefresh: true}}
		in.Record.Grant = &state.Grant{RefreshToken: secret.New("r")}
		f(&in)
		return in
	}
	nothing := func(f func(*Input)) Input {
		in := token(f)
		in.Record.Grant = nil
		return in
	}
	for name, c := range map[string]struct {
		in     Input
		action Action
		state  State
		reason string
	}{
		"there to be taken over":        {nothing(func(in *Input) { in.Import = importNew }), ActImport, Pending, "not spent"},
		"by one that logs in otherwise": {nothing(func(in *Input) { in.Import, in.Traits.Interactive = importNew, true }), ActImport, Pending, "not spent"},
		"taken over before":             {nothing(func(in *Input) { in.Import = importDone }), ActObtain, Pending, "no token yet"},
		"taken over before, by a login": {nothing(func(in *Input) { in.Import, in.Traits.Interactive = importDone, true }), ActWait, NeedsLogin, "log in"},
		"it cannot be read":             {nothing(func(in *Input) { in.Import, in.ImportError = importUnreadable, "no such file" }), ActWait, Failing, "no such file"},
		"its file went when it was used": {nothing(func(in *Input) {
			in.Import, in.Record.Head.Generation = importUnreadable, 3
		}), ActObtain, Pending, "given up"},
		"without secrets":                   {nothing(func(in *Input) { in.Import = importDeferred }), ActImport, Pending, "known at apply"},
		"without secrets, one that had one": {nothing(func(in *Input) { in.Import = importRepeated }), ActObtain, Pending, "known at apply"},
		"without secrets, one that had one, by a login": {nothing(func(in *Input) {
			in.Import, in.Traits.Interactive = importRepeated, true
		}), ActWait, NeedsLogin, "known at apply"},
		"no refresh to do":     {nothing(func(in *Input) { in.Import, in.Traits.HasRefresh = importNew, false }), ActObtain, Pending, ""},
		"nobody needs it":      {token(func(*Input) {}), ActWait, Ready, "not spent"},
		"somebody needs it":    {token(func(in *Input) { in.Needed = true }), ActRefresh, Pending, "needs its token"},
		"a person asks for it": {token(func(in *Input) { in.Order.Kind = OrderRefresh }), ActRefresh, Pending, "a person"},
		"after a failure": {token(func(in *Input) {
			in.Needed, in.Record.Failure = true, &state.Failure{Op: opRefresh, NextAt: t0.Add(time.Minute)}
		}), ActWait, Failing, "last refresh failed"},
		"it was refused": {token(func(in *Input) {
			in.Needed, in.Record.Grant.RefreshState = true, state.RefreshRefused
		}), ActReplace, Pending, "by the grant"},
		"refused, and a person is needed": {token(func(in *Input) {
			in.Needed, in.Traits.Interactive, in.Record.Grant.RefreshState = true, true, state.RefreshRefused
		}), ActWait, NeedsLogin, "gave no token"},
		"its first reply was lost, a person is needed": {token(func(in *Input) {
			in.Needed, in.Traits.Interactive, in.Record.Grant.RefreshState = true, true, state.RefreshIndeterminate
		}), ActRefresh, Indeterminate, "one last time"},
		"another address": {token(func(in *Input) { in.Needed, in.Origins, in.Guarded = true, "from here to there", "held" }), ActWait, Held, "nothing is sent there"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Decide(c.in)
			if got.Action != c.action || got.State != c.state || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("decided %q %s: %s; want %q %s: %s", got.Action, got.State, got.Reason, c.action, c.state, c.reason)
			}
		})
	}
}

// Where its first refresh was lost or refused, no other is tried for the revocation: it
// would use a refresh token twice that works once.
func TestRevokingWhatMayBeSpentSpendsNothing(t *testing.T) {
	for refresh, why := range map[state.RefreshState]string{state.RefreshIndeterminate: "orphan", state.RefreshRefused: "dead"} {
		in := Input{Now: t0, Address: "credential.x.y", Declared: true, Want: &spec.Credential{}}
		in.Record.Retiring = []state.Grant{{RefreshToken: secret.New("r"), RefreshState: refresh, Retired: &state.Retired{Cause: causeRemove}}}
		for needs, traits := range map[string]Traits{
			"an access token": {HasRevoke: true, HasRefresh: true, RevokeOn: []string{causeRemove}, RevokeNeeds: needsAccess, RevokeNamesAccess: true},
			"both":            {HasRevoke: true, HasRefresh: true, RevokeOn: []string{causeRemove}, RevokeNamesAccess: true},
		} {
			in.RetiredTraits = []Traits{traits}
			if got := retiredAt(&in, 0); got.Action != ActRelease || !strings.Contains(got.Reason, why) {
				t.Errorf("a revocation that names %s: %s, want it to be released, and why", needs, got)
			}
		}
	}
}

// Two that were taken over one after the other, and given up before they were used,
// are not the same because neither has an access token.
func TestARevocationOfWhatWasNeverSpentIsNotOfTheNextOne(t *testing.T) {
	in := Input{Now: t0, Address: "credential.x.y", Declared: true, Want: &spec.Credential{}, Held: Traits{HasRefresh: true}}
	in.Record.Grant = &state.Grant{RefreshToken: secret.New("next")}
	in.Record.Retiring = []state.Grant{{RefreshToken: secret.New("r"), Retired: &state.Retired{Cause: causeRevoke}}}
	in.RetiredTraits = []Traits{{HasRevoke: true, HasRefresh: true, RevokeOn: []string{causeRemove}, RevokeNamesAccess: true}}
	if got := retiredAt(&in, 0); got.Action != ActRevive {
		t.Errorf("%s, want it to be revoked", got)
	}
}

// A plan away from the host knows what was taken over and not used yet.
func TestAnExportSaysWhatWasNeverSpent(t *testing.T) {
	m := state.NewMemory(state.MemoryOptions{})
	for name, g := range map[string]state.Grant{
		"taken over": {RefreshToken: secret.New("r")},
		"fetched":    {RefreshToken: secret.New("r"), AccessToken: secret.New("a")},
	} {
		x := exportGrant(&g, &state.Grant{RefreshToken: secret.New("another")}, Traits{})
		got, err := x.restore(t.Context(), m, "credential.x.y", "in force")
		if err != nil {
			t.Fatal(err)
		}
		if unspent(&got) != unspent(&g) || x.SameAccess {
			t.Errorf("%s: unspent %v, the same as another %v", name, unspent(&got), x.SameAccess)
		}
	}
}

// What was taken over and never spent has to be refreshed before what its API's
// revocation names exists.
func TestRevokingWhatWasNeverSpent(t *testing.T) {
	in := Input{Now: t0, Address: "credential.x.y", Declared: true, Want: &spec.Credential{}}
	in.Record.Retiring = []state.Grant{{RefreshToken: secret.New("r"), Retired: &state.Retired{Cause: causeRemove}}}
	for _, c := range []struct {
		traits Traits
		want   Action
	}{
		{Traits{HasRevoke: true, HasRefresh: true, RevokeOn: []string{causeRemove}, RevokeNeeds: needsAccess, RevokeNamesAccess: true}, ActRevive},
		{Traits{HasRevoke: true, HasRefresh: true, RevokeOn: []string{causeRemove}, RevokeNamesAccess: true}, ActRevive},
		{Traits{HasRevoke: true, HasRefresh: true, RevokeOn: []string{causeRemove}}, ActRevoke},
	} {
		in.RetiredTraits = []Traits{c.traits}
		if got := retiredAt(&in, 0); got.Action != c.want {
			t.Errorf("%+v: %s, want %s", c.traits, got.Action, c.want)
		}
	}
}
