package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A read that began before a person said retry and ends after it tells what was so
// before: what waits for it goes on with what is read anew.
func TestARetryIsNotMadeWithWhatWasReadBefore(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		before, after := "old", "new"
		w.values.Store(&before)
		w.hung.hang("from-the-loop", 20*time.Second, nil)
		w.set(apirones(1, 0, `
secret "mem" "moving" { value = "from-the-loop" }
sink "mem" "config" {
  place   = "config"
  content = "${credential.apirone.well["well-0"].access_token} ${secret.mem.moving.value}"
}`))
		<-time.After(5 * time.Second)
		w.values.Store(&after)
		if err := w.loop.Do(t.Context(), "sink.mem.config", reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
			t.Error(err)
		}
		if got := w.places.get("config"); !strings.HasSuffix(got, " "+after) {
			t.Errorf("the place holds %q", got)
		}
		if n := w.hung.count("from-the-loop"); n != 2 {
			t.Errorf("the secret was read %d times", n)
		}
	})
}
