package reconcile_test

import (
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// Since when a person has to log in is told as it was, however often the provider says
// meanwhile that nobody has approved yet.
func TestAQuestionOfADeviceLoginChangesNotSinceWhen(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(byDevice)
		<-time.After(time.Second)
		before := w.line(tv)
		if before.State != reconcile.NeedsLogin || before.Since.IsZero() {
			t.Fatalf("%+v", before)
		}
		<-time.After(time.Minute)
		code, _ := w.askDevice()
		for range 3 {
			<-time.After(10 * time.Second)
			if err := w.asks(code); err == nil || !err.Waits() {
				t.Fatalf("asked: %v", err)
			}
			if l := w.line(tv); l.State != before.State || !l.Since.Equal(before.Since) {
				t.Errorf("it is %s since %s, and was since %s", l.State, l.Since, before.Since)
			}
		}
	})
}
