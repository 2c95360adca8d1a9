package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// unable is n credentials of the API of [crowd] whose one secret cannot be read, or
// answers late that it cannot.
func unable(n int) string {
	return fmt.Sprintf(`
credential "apirone" "unable" {
  for_each = toset([for i in range(%d) : "apr-u${i}"])
  grant    = "login"
  login    = each.key
  password = secret.mem.gone.value
}
secret "mem" "gone" { value = "gone" }
secret "mem" "pw" { value = "a-password" }
`, n)
}

// fewOf is [crowd], but of so few.
func fewOf(n int) string {
	return strings.Replace(crowd(1, ""), "range(1000)", fmt.Sprintf("range(%d)", n), 1)
}

// A provider that was away is asked soon after it is back, however many credentials
// wait for it that cannot even send their request, since a secret of theirs cannot be
// read: that says nothing of the provider, and takes no call's place.
func TestWhoCannotAskTakesNoProbesPlace(t *testing.T) {
	for name, late := range map[string]time.Duration{"at once": time.Nanosecond, "late": 7 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				gone := w.awayWith(standin.Apirone)
				w.hung.hang("gone", late, errors.New("it is sealed"))
				w.set(fewOf(5) + unable(200))
				time.Sleep(10 * time.Second)
				gone.set.Store(true)
				w.pass(2*time.Hour, time.Hour, nil)
				if v, err := w.loop.Status(t.Context(), ""); err != nil || laneOf(v, "provider.apirone.default").OpenSince.IsZero() {
					t.Fatalf("the provider is not found to be away: %+v, %v", v.Lanes, err)
				}
				gone.tried.Store(0)
				w.pass(10*time.Minute, time.Minute, nil)
				if tried := gone.tried.Load(); tried < 10*60/15 || tried > 10*60/4 {
					t.Errorf("%d connections were tried in ten minutes", tried)
				}
				gone.set.Store(false)
				time.Sleep(35 * time.Second)
				for i := range 5 {
					if place := fmt.Sprintf("apr-%d", i); !w.works(standin.Apirone, place) {
						t.Errorf("35 s after the provider came back, place %s holds a token that does not work", place)
					}
				}
				for _, l := range w.all(t).Credentials {
					if strings.Contains(l.Why, "does not answer") {
						t.Fatalf("%s: %s", l.Address, l.Why)
					}
				}
			})
		})
	}
}

// all is the status of everything.
func (w *world) all(t *testing.T) reconcile.View {
	t.Helper()
	v, err := w.loop.Status(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return v
}
