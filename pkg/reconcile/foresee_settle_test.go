package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A plan takes an open intent for what the daemon will take it for: a refresh token
// that was refused before gets no last try, and a login that was lost may have ended
// the token of its account.
func TestAPlanSettlesAsTheDaemonDoes(t *testing.T) {
	grant := func(s state.RefreshState) *state.Grant {
		return &state.Grant{AccessToken: secret.New("a"), RefreshToken: secret.New("r"), RefreshState: s, ExpiresAt: t0.Add(time.Hour)}
	}
	for from, want := range map[state.RefreshState]state.RefreshState{state.RefreshUsable: state.RefreshIndeterminate, state.RefreshRefused: state.RefreshRefused} {
		in := &Input{Now: t0, Record: state.Credential{Grant: grant(from)}, Intent: &state.Intent{Op: opRefresh, At: t0}}
		in.settle(Step{})
		if got := in.Record.Grant.RefreshState; got != want || in.Intent != nil {
			t.Errorf("a refresh token that is %d is %d then, want %d", from, got, want)
		}
	}
	for op, tainted := range map[string]bool{opExchange: true, opPoll: false} {
		in := &Input{Now: t0, Record: state.Credential{Grant: grant(state.RefreshUsable)}, Intent: &state.Intent{Op: op, At: t0}, Traits: Traits{Session: spec.SessionOnePerAccount}}
		in.settle(Step{})
		if got := in.Record.Head.Flags&state.FlagTainted != 0; got != tainted || (in.Record.Failure != nil) != tainted || in.Intent != nil {
			t.Errorf("%s: tainted %v, failure %+v", op, got, in.Record.Failure)
		}
	}
}
