package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// TestNoInputIsKeptThatNoRequestNames: of what a grant was obtained with its
// record holds what refreshing and revoking name, which for a trader at Coinify
// is nothing, and above all not the password.
func TestNoInputIsKeptThatNoRequestNames(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		c, _, err := w.store.Credential(t.Context(), "credential.coinify.trader")
		if err != nil || c.Grant == nil {
			t.Fatalf("there is no grant: %v", err)
		}
		kept, err := spec.OpenValues(c.Grant.Inputs)
		if err != nil {
			t.Fatal(err)
		}
		if names := kept.Names(); len(names) > 0 || strings.Contains(string(c.Grant.Inputs), "a-password") {
			t.Errorf("the record of the grant keeps %q", names)
		}
		if len(c.Grant.InputHashes) != 3 {
			t.Errorf("%d inputs are hashed, want 3", len(c.Grant.InputHashes))
		}
		// A record of before, which kept them, loses them with its next refresh.
		w.halt()
		if c.Grant.Inputs, err = spec.NewValues(map[string]cty.Value{"password": spec.Sensitive(cty.StringVal("a-password"))}).Seal(nil); err != nil {
			t.Fatal(err)
		}
		if err := w.store.Commit(t.Context(), state.Change{Credential: &c}); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.set(trader("a@example.com", ""))
		w.pass(24*time.Hour, time.Hour, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		if c, _, err = w.store.Credential(t.Context(), "credential.coinify.trader"); err != nil || c.Grant == nil || c.Grant.Generation < 2 {
			t.Fatalf("nothing was refreshed: %v", err)
		}
		if string(c.Grant.Inputs) != "{}" {
			t.Errorf("the record of the refreshed grant keeps inputs")
		}
	})
}
