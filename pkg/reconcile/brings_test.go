package reconcile

import (
	"testing"

	"tokend/pkg/secret"
)

// A step that panics takes its call with it, or revocations would be remembered for ever.
func TestAStepThatPanicsLeavesNoCall(t *testing.T) {
	k := newTokens()
	moves, _ := k.begin()
	k.wholly(moves)
	p := performer{w: &worker{tokens: k}, step: Step{Action: ActObtain}, brings: k.begins()}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not panic")
			}
		}()
		p.perform()
	}()
	if k.revoke("a", fate{access: secret.New("t")}, false)(); len(k.calls) != 0 || len(k.revoking) != 0 {
		t.Errorf("%d calls and %d revocations are remembered", len(k.calls), len(k.revoking))
	}
}
