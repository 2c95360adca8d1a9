package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// What is forgotten stays in use, by those who picked the newest token up: the
// one before it waits for its overlap as ever. Where everything is given up
// there is nothing to pick up, and nothing waits.
func TestAnOldTokenOutlivesAForgottenOneByItsOverlap(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const overlap = 2 * time.Minute
	in := func(onRemove string, told time.Duration) Input {
		i := Input{Now: now, Address: "credential.x.y", RetiredTraits: []Traits{{HasRevoke: true, RevokeOn: []string{causeRemove, causeReplace}}}}
		i.Record.Lifecycle = state.Lifecycle{OnRemove: onRemove, Overlap: overlap, MaxOverlap: time.Hour}
		i.Record.Removing = &state.Removing{Since: now.Add(-time.Second)}
		i.Record.Grant = &state.Grant{Generation: 2, AccessToken: secret.New("new"), ExpiresAt: now.Add(time.Hour)}
		delivered := now.Add(-told)
		i.Record.Retiring = []state.Grant{{Generation: 1, AccessToken: secret.New("old"), ExpiresAt: now.Add(time.Hour),
			Retired: &state.Retired{Cause: causeReplace, Since: delivered, DeliveredAt: delivered}}}
		return i
	}
	s := Decide(in(spec.OnRemoveForget, 90*time.Second))
	if s.Action != ActWait || s.State != Removing || !s.Next.Equal(now.Add(30*time.Second)) {
		t.Errorf("before its overlap has passed: %s, %s, next at %s", s, s.State, s.Next)
	}
	if s := Decide(in(spec.OnRemoveForget, overlap)); s.Action != ActRevoke {
		t.Errorf("after its overlap: %s", s)
	}
	removed := in(spec.OnRemoveRevoke, 90*time.Second)
	removed.Record.Retiring = append(removed.Record.Retiring, *removed.Record.Grant)
	removed.Record.Retiring[1].Retired = &state.Retired{Cause: causeRemove, Since: now}
	removed.RetiredTraits = append(removed.RetiredTraits, removed.RetiredTraits[0])
	removed.Record.Grant = nil
	if s := Decide(removed); s.Action != ActRevoke || s.Retiring != 0 {
		t.Errorf("with all of it given up: %s", s)
	}
}
