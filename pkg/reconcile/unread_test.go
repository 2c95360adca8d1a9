package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// mumbler is an OAuth server whose replies cannot be read while garbled is set, and
// then bring tokens that live for an hour.
type mumbler struct {
	garbled atomic.Bool
	asked   atomic.Int64
}

func (m *mumbler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	n := m.asked.Add(1)
	rw.Header().Set("Content-Type", "application/json")
	if m.garbled.Load() {
		fmt.Fprint(rw, "\x01\x02 not json")
		return
	}
	fmt.Fprintf(rw, `{"access_token":"access-%d","token_type":"Bearer","expires_in":3600}`, n)
}

const (
	serviceCred = "credential.oauth2.service"
	service     = `
provider "oauth2" { allow_insecure_http = true }
secret "mem" "pw" { value = "a-secret" }
credential "oauth2" "service" {
  grant         = "client_credentials"
  token_url     = "http://mumbles.localhost/token"
  client_id     = "service"
  client_secret = secret.mem.pw.value
}
sink "mem" "service" {
  place   = "service"
  content = credential.oauth2.service.access_token
}`
)

func inMumblingWorld(t *testing.T, f func(t *testing.T, w *world, m *mumbler)) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		m := &mumbler{}
		w.serveAlso(m, "mumbles.localhost")
		f(t, w, m)
	})
}

// A reply that cannot be read, to a grant that costs nothing, is kept, and the grant
// is asked again, ever more seldom: also after a start, and by a retry at once.
func TestAGrantThatCostsNothingIsAskedAgain(t *testing.T) {
	inMumblingWorld(t, func(t *testing.T, w *world, m *mumbler) {
		m.garbled.Store(true)
		w.set(service)
		<-time.After(24 * time.Hour)
		l := w.line(serviceCred)
		if l.State != reconcile.Unread || !strings.Contains(l.Why, "the grant is asked again at ") || !strings.HasPrefix(l.Mend, "tokend retry oauth2.service") || l.NextAt.IsZero() {
			t.Errorf("status %+v", l)
		}
		rec, _, _, err := w.loop.Record(t.Context(), serviceCred)
		n := m.asked.Load()
		if err != nil || rec.Raw == nil || rec.Orphans.Total() != int(n)-1 {
			t.Errorf("%v: a reply is kept: %v; %d orphans of %d replies", err, rec.Raw != nil, rec.Orphans.Total(), n)
		}
		// The longest back-off is five minutes, of which each wait takes a tenth at least.
		if n < 24*12 || n > 24*12*10 {
			t.Errorf("it was asked %d times in a day", n)
		}
		// A restart does not shorten the back-off.
		w.crash()
		w.set(service)
		<-time.After(time.Second)
		if more := m.asked.Load() - n; more > 1 {
			t.Errorf("after a start it was asked %d times at once", more)
		}
		n = m.asked.Load()
		if err := w.loop.Do(t.Context(), serviceCred, reconcile.Order{Kind: reconcile.OrderRetry}); err == nil || m.asked.Load() != n+1 {
			t.Errorf("a retry asked %d times (%v)", m.asked.Load()-n, err)
		}
		m.garbled.Store(false)
		if err := w.loop.Do(t.Context(), serviceCred, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil || m.asked.Load() != n+2 {
			t.Errorf("a retry asked %d times (%v)", m.asked.Load()-n-1, err)
		}
		<-time.After(time.Minute) // the place is written by then
		rec, _, _, err = w.loop.Record(t.Context(), serviceCred)
		if err != nil || rec.Raw != nil || rec.Failure != nil || rec.Orphans.Total() != int(n)+1 || w.places.get("service") != fmt.Sprintf("access-%d", n+2) {
			t.Errorf("%v: a reply is kept: %v; %+v; %d orphans of %d replies; the place holds %q", err, rec.Raw != nil, rec.Failure, rec.Orphans.Total(), n+1, w.places.get("service"))
		}
	})
}

// While the token held lives it stays in force, and one reply that cannot be read
// leaves no gap.
func TestAReplyThatCannotBeReadLeavesNoGap(t *testing.T) {
	inMumblingWorld(t, func(t *testing.T, w *world, m *mumbler) {
		w.set(service)
		<-time.After(time.Minute)
		first := w.places.get("service")
		m.garbled.Store(true)
		for m.asked.Load() < 2 {
			<-time.After(time.Second)
		}
		if got := w.places.get("service"); got != first || first == "" {
			t.Errorf("the place holds %q, before %q", got, first)
		}
		m.garbled.Store(false)
		<-time.After(time.Minute)
		if l, got := w.line(serviceCred), w.places.get("service"); l.State != reconcile.Ready || l.Orphans != 1 || got != "access-3" {
			t.Errorf("status %+v; the place holds %q", l, got)
		}
	})
}
