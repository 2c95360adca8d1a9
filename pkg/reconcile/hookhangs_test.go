package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// toldBy is sinks of a name, each with a hook of its own.
func toldBy(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "hook \"mem\" \"%[1]s%[2]d\" {}\nsink \"mem\" \"%[1]s%[2]d\" {\n  place   = \"%[1]s%[2]d\"\n  content = credential.coinify.trader.access_token\n  notify  = [hook.mem.%[1]s%[2]d]\n}\n", name, i)
	}
	return b.String()
}

// Hooks that hang delay no other: however many they are, those that come to an end run
// within seconds of each write, and status says of all that hang that they do.
func TestHooksThatHangDelayNoOther(t *testing.T) {
	for _, hang := range []int{100, 600} {
		t.Run(fmt.Sprint(hang), func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				const healthy = 5
				w.places.hangs = "sink.mem.bad"
				if hang < 512 {
					w.set(trader("a@example.com", toldBy("bad", hang)+toldBy("good", healthy)))
				} else { // more than there are places: these have to be known
					w.set(trader("a@example.com", toldBy("good", healthy)))
					time.Sleep(5 * time.Second)
					w.set(trader("a@example.com", toldBy("bad", hang)+toldBy("good", healthy)))
				}
				time.Sleep(5 * time.Second)
				var written [healthy]int
				w.pass(40*time.Minute, 5*time.Second, func() {
					for i := range healthy {
						if told := w.places.count(fmt.Sprintf("told:sink.mem.good%d", i)); told < written[i] {
							t.Fatalf("at %s sink good%d was written %d times five seconds ago, and its hook ran %d times", time.Now(), i, written[i], told)
						}
						written[i] = w.places.count(fmt.Sprintf("write:good%d", i))
					}
				})
				if written[0] < 3 {
					t.Errorf("each was written %d times", written[0])
				}
			})
		})
	}
}

// Status says of a hook that runs for long that it does, and of one that waits for its
// place that it waits.
func TestStatusOfHooksThatHang(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.places.hangs = "sink.mem.bad"
		w.set(trader("a@example.com", ""))
		time.Sleep(5 * time.Second) // its own hook has run
		w.set(trader("a@example.com", toldBy("bad", 600)))
		time.Sleep(40 * time.Second)
		v, err := w.loop.Status(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		runs, waits := 0, 0
		for _, l := range v.Hooks {
			switch {
			case l.State == reconcile.Ready && strings.Contains(l.Why, "it has been running for 3"):
				runs++
			case l.State == reconcile.Waiting && strings.Contains(l.Why, "for a place among the hooks that run: 448 do, and no more than 512 may at once, of which 64 are kept for hooks whose last run ended within 10s"):
				waits++
			}
		}
		if runs != 448 || waits != 152 || v.Ready || v.Counts[reconcile.Waiting] != 152 {
			t.Errorf("%d run for long and %d wait; ready is %t, counts are %v", runs, waits, v.Ready, v.Counts)
		}
	})
}
