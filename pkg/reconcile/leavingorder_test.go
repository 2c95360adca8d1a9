package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// A start with the configuration of before records nothing, however much of it
// is held back: what is recorded of that is the same each time that it is.
func TestAStartWithManyHeldBackRecordsNothing(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.halt()
		written := 0
		w.store = state.NewMemory(state.MemoryOptions{BeforeCommit: func([]state.Change) error { written++; return nil }})
		w.start()
		const guard = `
tokend {
  guard {
    settle          = "0s"
    max_revocations = 1
  }
}
`
		w.set(trader("a@example.com", guard+`
credential "coinify" "more" {
  for_each   = toset([for i in range(12) : tostring(i)])
  grant      = "password"
  email      = "${each.key}@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}`))
		<-time.After(time.Minute)
		if held := w.set(trader("a@example.com", guard)); held == nil {
			t.Fatal("twelve removals are not held back")
		}
		for range 4 {
			<-time.After(time.Minute)
			w.halt()
			w.start()
			written = 0
			if held := w.set(trader("a@example.com", guard)); held == nil {
				t.Fatal("after a start the removals are not held back any more")
			}
			if written > 0 {
				t.Errorf("a start that changed nothing wrote %d times", written)
			}
		}
	})
}
