package reconcile

import (
	"errors"
	"testing"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// An order in whose way something else is, such as the replay of a lost refresh
// that waits for its next try, is not said to be done, nor that there is nothing
// that it could be done to.
func TestAnOrderThatHasToWaitIsNotDone(t *testing.T) {
	for _, kind := range []OrderKind{OrderAction, OrderRefresh, OrderLogin, OrderTaint, OrderRevoke} {
		w := &waiter{order: Order{Kind: kind}, done: make(chan error, 1)}
		p := &performer{j: &job{addr: "credential.mine.a", order: w}, r: &result{}, ob: &observed{},
			step: Step{Action: ActWait, Reason: "the reply to a refresh was lost", Mend: "tokend retry mine.a"}}
		p.ob.in.Record.Grant = &state.Grant{AccessToken: secret.New("at")}
		p.answer()
		w.tell()
		err := <-w.done
		var refused *OrderError
		if !errors.As(err, &refused) || refused.Kind != kind || refused.Mend == "" {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// What had to come before an order was carried out does not answer it: a login whose
// code was not sent is not done because a refresh was due.
func TestWhatComesBeforeAnOrderDoesNotAnswerIt(t *testing.T) {
	for _, c := range []struct {
		kind OrderKind
		did  Action
		done bool
	}{
		{OrderLogin, ActRefresh, false}, {OrderLogin, ActObtain, false}, {OrderLogin, ActExchange, true},
		{OrderAction, ActRefresh, false}, {OrderAction, ActAct, true},
		{OrderRefresh, ActRefresh, true}, {OrderRefresh, ActObtain, true}, {OrderRetry, ActRefresh, true},
		{OrderRevoke, ActReplay, false}, {OrderTaint, ActReplay, false}, {OrderOrphans, ActReplay, false}, {OrderRevoke, ActDrop, true},
	} {
		w := &waiter{order: Order{Kind: c.kind}, done: make(chan error, 1)}
		p := &performer{j: &job{addr: "credential.mine.a", order: w}, r: &result{}, ob: &observed{}, step: Step{Action: c.did}}
		p.ob.in.Record.Grant = &state.Grant{AccessToken: secret.New("at")}
		p.answer()
		w.tell()
		if done := len(w.done) == 1; done != c.done || (p.r.order == w) != c.done || p.r.again == c.done {
			t.Errorf("%s by %s: answered %v, want %v", c.kind, c.did, done, c.done)
		}
	}
}
