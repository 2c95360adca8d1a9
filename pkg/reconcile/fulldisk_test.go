package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// What can be decided again does not wait for a disk that takes nothing: places
// are looked after meanwhile, and what was to be recorded is, once the disk
// takes it.
func TestAFullDiskHoldsNothingElseUp(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(ofCredentials)
		const guard = `
tokend {
  guard {
    settle              = "0s"
    max_revocations     = 100
    max_revoked_percent = 100
  }
}
`
		many := trader("a@example.com", guard+`
credential "coinify" "more" {
  for_each   = toset([for i in range(40) : tostring(i)])
  grant      = "password"
  email      = "${each.key}@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`)
		w.set(many)
		<-time.After(time.Minute)
		w.halt()
		w.start()
		full.Store(true)
		w.set(trader("a@example.com", guard)) // 40 grants are to be given up, and that is to be recorded first
		<-time.After(10 * time.Second)
		failing := w.line(`credential.coinify.more["7"]`)
		if failing.State != reconcile.Failing || !strings.Contains(failing.Why, "no space left") {
			t.Errorf("while nothing can be recorded it is %s: %s", failing.State, failing.Why)
		}
		w.places.mu.Lock()
		w.places.held["trader"] = "somebody else's"
		w.places.mu.Unlock()
		if err := w.loop.Wake(t.Context(), []string{"sink.mem.trader"}); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Second)
		if !w.works(standin.Coinify, "trader") {
			t.Errorf("the place was not put right while the disk was full: it holds %q", w.places.get("trader"))
		}
		full.Store(false)
		<-time.After(10 * time.Minute)
		heads := 0
		if err := w.store.Heads(t.Context(), func(h state.Head) error { heads++; return nil }); err != nil || heads != 2 {
			t.Errorf("once the disk takes it again %d records are left (%v), want those of the trader and its place", heads, err)
		}
		if c := w.server.Counts(standin.Coinify); c.Grants != 41 || c.Reuses != 0 {
			t.Errorf("%d grants and %d reuses", c.Grants, c.Reuses)
		}
	})
}

// Lifecycle settings that a full disk kept from the record count all the same for
// a removal that comes then.
func TestAFullDiskForgetsNoLifecycle(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		full := w.onDisk(ofCredentials)
		forgets, without := leaver(`lifecycle { on_remove = "forget" }`)
		revokes, _ := leaver(`lifecycle { on_remove = "revoke" }`)
		w.set(forgets)
		<-time.After(time.Minute)
		full.Store(true)
		w.set(revokes)
		<-time.After(time.Minute)
		w.set(without)
		<-time.After(time.Minute)
		full.Store(false)
		<-time.After(10 * time.Minute)
		if n := w.server.Counts(standin.Coinify).Revocations; n != 1 {
			t.Errorf("%d tokens of the removed block were revoked, want 1", n)
		}
	})
}
