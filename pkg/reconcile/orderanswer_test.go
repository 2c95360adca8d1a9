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
		p := &performer{j: job{addr: "credential.mine.a", order: w}, r: &result{}, ob: &observed{},
			step: Step{Action: ActWait, Reason: "the reply to a refresh was lost", Mend: "tokend retry mine.a"}}
		p.ob.in.Record.Grant = &state.Grant{AccessToken: secret.New("at")}
		p.answer()
		err := <-w.done
		var refused *OrderError
		if !errors.As(err, &refused) || refused.Kind != kind || refused.Mend == "" {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
