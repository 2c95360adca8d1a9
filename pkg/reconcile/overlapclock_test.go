package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The overlap of an old token lasts as long as it says where the machine's clock is set
// in its midst, whichever way.
func TestAnOverlapAcrossStepsOfTheClock(t *testing.T) {
	for _, step := range []time.Duration{0, 10 * time.Minute, -10 * time.Minute} {
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.restartBySteppedClock()
				config := func(email string) string {
					return strings.Replace(trader(email, ""), "  partner_id", "  lifecycle { overlap = \"30s\" }\n  partner_id", 1)
				}
				w.set(config("a@example.com"))
				time.Sleep(time.Minute)
				before := w.revocations()
				w.set(config("b@example.com"))
				time.Sleep(10 * time.Second)
				w.wrong.Add(int64(step))
				w.clockSet <- struct{}{}
				time.Sleep(15 * time.Second)
				if n := w.revocations() - before; n > 0 {
					t.Errorf("%d tokens are revoked 25 s after", n)
				}
				time.Sleep(40 * time.Second)
				if n := w.revocations() - before; n != 1 {
					t.Errorf("%d tokens are revoked 65 s after", n)
				}
			})
		})
	}
}
