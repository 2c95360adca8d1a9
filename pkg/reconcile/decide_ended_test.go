package reconcile

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// An account that an action ended is not asked for a token again, until it is
// another one, or a person says so: by a login, where one is needed.
func TestDecideAnEndedAccount(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	in := func() Input {
		i := Input{Now: now, Declared: true, Want: &spec.Credential{}}
		i.Record.Grant = &state.Grant{AccessToken: secret.New("at"), ObtainedAt: now.Add(-time.Hour), ExpiresAt: now.Add(time.Hour), RefreshState: state.RefreshRefused}
		i.Record.Failure = &state.Failure{Op: opAction, Class: "permanent", Stopped: true, Message: "its account was ended"}
		return i
	}
	retry := func(i *Input) { i.Order = Order{Kind: OrderRetry} }
	for name, c := range map[string]struct {
		change func(*Input)
		action Action
		state  State
	}{
		"nothing changed":                {func(*Input) {}, ActWait, Stopped},
		"its token was revoked":          {func(i *Input) { i.Record.Grant = nil }, ActWait, Stopped},
		"a person says to try it again":  {retry, ActReplace, Pending},
		"it is another account now":      {func(i *Input) { i.WantsNew, i.Fresh = []string{"account"}, true }, ActReplace, Pending},
		"it is at another address now":   {func(i *Input) { retry(i); i.Origins = "it moved" }, ActReplace, Pending},
		"… which a person shall approve": {func(i *Input) { retry(i); i.Origins, i.Guarded = "it moved", "the guard holds it" }, ActWait, Held},
		"only a person can log in there": {func(i *Input) { retry(i); i.Traits.Interactive = true }, ActWait, NeedsLogin},
	} {
		t.Run(name, func(t *testing.T) {
			i := in()
			c.change(&i)
			if s := Decide(i); s.Action != c.action || s.State != c.state {
				t.Errorf("decided %s (%s), want %s (%s)", s, s.State, c.action, c.state)
			}
		})
	}
}

// Both the refresh token and the login were refused for good. A person who mended
// that at the API says retry: what is tried is the login. So it is where only the
// refresh token was refused, which is not sent again.
func TestDecideARetryOfARefusedLogin(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	i := Input{Now: now, Declared: true, Want: &spec.Credential{}, Held: Traits{HasRefresh: true}, Order: Order{Kind: OrderRetry}}
	i.Record.Grant = &state.Grant{AccessToken: secret.New("at"), RefreshToken: secret.New("rt"), ObtainedAt: now.Add(-time.Hour), ExpiresAt: now.Add(-time.Minute), RefreshState: state.RefreshRefused}
	if s := Decide(i); s.Action != ActReplace {
		t.Errorf("a refused refresh token alone: decided %s", s)
	}
	i.Record.Failure = &state.Failure{Op: opGrant, Class: "permanent", Stopped: true, Message: "wrong password"}
	if s := Decide(i); s.Action != ActReplace {
		t.Errorf("both: decided %s", s)
	}
}

// Where an API answered that it failed, nobody says that its reply was lost.
func TestAnAnswerThatDoesNotTellIsNoLostReply(t *testing.T) {
	for message, want := range map[string]string{
		"refreshing the token at http://a/auth: status 500, boom":       "the answer to a refresh does not tell whether it was carried out",
		"refreshing the token at http://a/auth: no complete reply came": "the reply to a refresh was lost",
	} {
		s := Decide(anInput(func(i *Input) {
			i.Intent, i.Held.Rotates = &state.Intent{Op: opRefresh}, spec.RotatesAlways
			i.Record.Failure = &state.Failure{Op: opRefresh, Class: classUnknown, Count: 1, Message: message}
		}))
		if s.Action != ActSettle || !strings.HasPrefix(s.Reason, want+";") {
			t.Errorf("%s: %s (%s)", message, s.Action, s.Reason)
		}
	}
}

// A refresh token that may be spent is not sent because a person says retry, nor one
// that was refused: the person is told that a login is needed.
func TestARetrySendsNoDoubtfulRefreshToken(t *testing.T) {
	for doubt, want := range map[state.RefreshState]State{state.RefreshIndeterminate: Indeterminate, state.RefreshRefused: NeedsLogin} {
		for _, order := range []OrderKind{OrderRetry, OrderRefresh} {
			i := anInput(func(i *Input) {
				i.Traits.Interactive, i.Held.Interactive, i.Held.Rotates = true, true, spec.RotatesAlways
				i.Order.Kind, i.Record.Grant.RefreshState = order, doubt
				i.Record.Failure = &state.Failure{Op: opRefresh, Class: classUnknown, Count: 1, Message: "no reply came"}
			})
			s := Decide(i)
			if s.Action != ActWait || s.State != want || !strings.Contains(s.Mend, "login") {
				t.Errorf("%s of one in state %v: %s, %s, to mend: %s", order, doubt, s.Action, s.State, s.Mend)
			}
			p := &performer{ob: &observed{in: i}, step: s, j: &job{addr: i.Address, order: &waiter{order: i.Order}}}
			var refused *OrderError
			if err := p.orderError(); !errors.As(err, &refused) || !strings.Contains(refused.Mend, "login") {
				t.Errorf("%s of one in state %v is answered: %v", order, doubt, err)
			}
		}
	}
}

// Nor is it once another action has failed, or its reply was lost.
func TestAFailedActionLetsAnEndedAccountStayEnded(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	in := Input{Now: now, Declared: true, Want: &spec.Credential{}}
	in.Record.Failure = &state.Failure{Op: opAction, Class: "permanent", Stopped: true, Message: "its account was ended"}
	in.failed(outcome{op: opAction, class: classUnknown, message: "no reply came", reached: true}, now, spec.RetryPolicy{})
	if s := Decide(in); s.State != Stopped {
		t.Errorf("decided %s (%s)", s, s.State)
	}
}
