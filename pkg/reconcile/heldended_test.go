package reconcile_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// What is held back is ready while it lives on as it was, and no longer than its token.
func TestWhatIsHeldIsReadyWhileItsTokenIsGood(t *testing.T) {
	inMumblingWorld(t, func(t *testing.T, w *world, _ *mumbler) {
		look := map[string]func(context.Context, string) (reconcile.View, error){"the daemon": w.loop.Status, "the state": w.loop.Survey}
		config := strings.Replace(service, `client_id     = "service"`, `client_id     = "service"
  lifecycle { prevent_destroy = true }`, 1)
		w.set(config)
		<-time.After(time.Minute)
		w.set(strings.Replace(config, `"service"
`, `"other"
`, 1))
		<-time.After(time.Minute)
		check := func(works, ended int) {
			t.Helper()
			for who, ask := range look {
				v, err := ask(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				if v.Credentials[0].State != reconcile.Held || v.Works() != works || v.HeldEnded != ended || v.Ready != (ended == 0) {
					t.Errorf("%s: ready %v, %d work, %d that are held have ended: %+v", who, v.Ready, v.Works(), v.HeldEnded, v.Credentials)
				}
			}
		}
		check(2, 0)
		<-time.After(time.Hour)
		check(1, 1)
	})
}
