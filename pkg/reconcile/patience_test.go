package reconcile_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
)

// blipServer hands a token out for a login's code, and another, with another refresh
// token, for each refresh token in force. From the first refresh on a front before it
// answers nobody for a while.
type blipServer struct {
	life, lasts time.Duration
	revocable   bool // by an address of its own
	cut, acts   bool // connections are cut, and not answered with a 502; the first refresh gets through, but for its reply
	window      time.Duration

	mu        sync.Mutex
	n         int // of the refresh token in force
	acted     time.Time
	ends      time.Time // of the blip
	sent      []time.Time
	reused    int
	refreshed int
}

func (b *blipServer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if r.PostForm.Has("refresh_token") {
		b.sent = append(b.sent, now)
		first := b.ends.IsZero()
		if first {
			b.ends = now.Add(b.lasts)
		}
		inBlip := now.Before(b.ends)
		if !inBlip || first && b.acts {
			switch sent := r.PostForm.Get("refresh_token"); {
			case sent == fmt.Sprintf("rt-%d", b.n):
				b.n, b.acted = b.n+1, now
			case sent == fmt.Sprintf("rt-%d", b.n-1) && now.Sub(b.acted) < b.window: // it is answered alike
			default:
				b.reused++
				rw.Header().Set("Content-Type", "application/json")
				rw.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(rw, `{"error":"invalid_grant"}`)
				return
			}
		}
		switch {
		case inBlip && b.cut:
			panic(http.ErrAbortHandler)
		case inBlip:
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		b.refreshed++
	}
	rw.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(rw, `{"access_token":"at-%d","token_type":"Bearer","expires_in":%d,"refresh_token":"rt-%d"}`, b.n, int(b.life.Seconds()), b.n)
}

// config is [onceHCL] of a type with such a window, and which says that a refresh ends
// the token before.
func (b *blipServer) config(invalidates bool) string {
	said := "rotates = true\n"
	if b.window > 0 {
		said += fmt.Sprintf("replay_window = %q\n", b.window)
	}
	if invalidates {
		said += "invalidates_access_token = true\n"
	}
	declared := strings.Replace(onceHCL, "rotates = true\n", said, 1)
	if b.revocable {
		declared = strings.Replace(declared, "  refresh {", "  revoke {\n request {\n method = \"POST\"\n url = \"http://revoke.localhost/\"\n form = { token = token.access_token }\n }\n }\n  refresh {", 1)
	}
	return strings.Replace(declared, `credential "once" "bot" {}`, "credential \"once\" \"bot\" {\n refresh {\n at = 0.5\n min_remaining = \"1s\"\n jitter = 0\n }\n}", 1)
}

// begins logs in, and returns when the first refresh has failed.
func (b *blipServer) begins(t *testing.T, w *world, invalidates bool) {
	t.Helper()
	w.restartBySteppedClock()
	w.serveAlso(b, "once.localhost")
	w.set(b.config(invalidates))
	if err := w.loop.Login(t.Context(), onceCred, reconcile.LoginCode{Flow: providers.Flow{Code: secret.New("the-code")}}); err != nil {
		t.Fatal(err)
	}
	for range 2 * int(b.life/(100*time.Millisecond)) {
		<-time.After(100 * time.Millisecond)
		if n, _ := b.sends(); n > 0 {
			return
		}
	}
	t.Fatal("it was not refreshed")
}

// sends are how many there were, and how long after the first each came.
func (b *blipServer) sends() (int, []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var after []time.Duration
	for _, at := range b.sent {
		after = append(after, at.Sub(b.sent[0]).Round(10*time.Millisecond))
	}
	return len(b.sent), after
}

func (b *blipServer) refreshedBy() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refreshed
}

// goesOn looks, a minute after the end of the token that was held when the blip began,
// that the grant lives, and that no more than a replay and a last try were made.
func (b *blipServer) goesOn(t *testing.T, w *world) {
	t.Helper()
	for end := time.Now().Add(b.life + time.Minute); time.Now().Before(end); <-time.After(100 * time.Millisecond) {
		b.mu.Lock()
		over := b.refreshed > 0
		b.mu.Unlock()
		if over {
			break
		}
	}
	n, after := b.sends()
	most := 2
	if b.window > 0 {
		most = 3
	}
	<-time.After(time.Second)
	if l := w.line(onceCred); l.State != reconcile.Ready || n > most || b.reused > 0 {
		t.Errorf("sent %v after the first, %d times too often; it is %s: %s", after, b.reused, l.State, l.Why)
	}
}

// A front that answers nobody for three seconds costs no login, whatever the lifetime,
// the window and how the token held fares: of the calls that may be made, one comes later.
func TestABlipCostsNoLogin(t *testing.T) {
	for _, window := range []time.Duration{0, 10 * time.Second, time.Minute} {
		for _, life := range []time.Duration{30 * time.Second, 100 * time.Second, time.Hour} {
			for _, invalidates := range []bool{false, true} {
				for _, cut := range []bool{false, true} {
					t.Run(fmt.Sprintf("window %s life %s invalidates %v cut %v", window, life, invalidates, cut), func(t *testing.T) {
						inWorld(t, strict(), func(t *testing.T, w *world) {
							b := &blipServer{life: life, lasts: 3 * time.Second, cut: cut, window: window}
							b.begins(t, w, invalidates)
							b.goesOn(t, w)
						})
					})
				}
			}
		}
	}
}

// One that was carried out before the blip is repeated after it, within the window.
func TestABlipAfterARefreshCostsNoLogin(t *testing.T) {
	for _, life := range []time.Duration{30 * time.Second, 100 * time.Second, time.Hour} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			b := &blipServer{life: life, lasts: 3 * time.Second, acts: true, window: time.Minute}
			b.begins(t, w, false)
			if l := w.line(onceCred); l.State == reconcile.Ready || !strings.Contains(l.Why, "repeated") || !strings.Contains(l.Mend, "tokend retry") {
				t.Errorf("while it waits it is %+v", l)
			}
			b.goesOn(t, w)
			if n, after := b.sends(); n != 2 {
				t.Errorf("%s: sent %v after the first", life, after)
			}
		})
	}
}

// A process that is killed between the loss and the replay, or the last try, makes each
// once all the same, and none sooner.
func TestAKillInABlipCostsNoLogin(t *testing.T) {
	for _, window := range []time.Duration{0, time.Minute} {
		for _, invalidates := range []bool{false, true} {
			t.Run(fmt.Sprintf("window %s invalidates %v", window, invalidates), func(t *testing.T) {
				inWorld(t, strict(), func(t *testing.T, w *world) {
					b := &blipServer{life: 30 * time.Second, lasts: 3 * time.Second, window: window}
					b.begins(t, w, invalidates)
					for range 6 {
						w.crash()
						w.set(b.config(invalidates))
						<-time.After(500 * time.Millisecond)
					}
					b.goesOn(t, w)
				})
			})
		}
	}
}

// A person who says so does not wait, for a replay, nor for a last try of a token that
// may have ended.
func TestAnOrderWaitsForNoBlip(t *testing.T) {
	for _, window := range []time.Duration{0, time.Minute} {
		for _, kind := range []reconcile.OrderKind{reconcile.OrderRetry, reconcile.OrderRefresh} {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				b := &blipServer{life: time.Hour, lasts: 100 * time.Millisecond, window: window}
				b.begins(t, w, true)
				<-time.After(200 * time.Millisecond)
				if err := w.loop.Do(t.Context(), onceCred, reconcile.Order{Kind: kind}); err != nil {
					t.Errorf("window %s, %s: %v", window, kind, err)
				}
				if n, after := b.sends(); n != 2 || after[1] > time.Second {
					t.Errorf("window %s, %s: sent %v after the first", window, kind, after)
				}
			})
		}
	}
}

// Where the blip does not end in time the login is lost; nobody refused the refresh
// token, and nobody says so.
func TestALoginThatABlipCostWasNotRefused(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		b := &blipServer{life: 30 * time.Second, lasts: time.Hour, window: time.Minute}
		b.begins(t, w, false)
		<-time.After(2 * time.Minute)
		l := w.line(onceCred)
		if n, after := b.sends(); l.State != reconcile.NeedsLogin || n != 3 {
			t.Errorf("sent %v after the first; it is %s", after, l.State)
		}
		if strings.Contains(l.Why, "refused") || !strings.Contains(l.Why, "may be spent") {
			t.Errorf("it says why: %s", l.Why)
		}
	})
}
