package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// hungSecrets are secrets that do not answer at once, by what their blocks say.
type hungSecrets struct {
	mu    sync.Mutex
	by    map[string]*hungSecret
	reads map[string]int // how often each was begun to be read
	at    int            // how many are being read
	most  int            // and were at a time
}

type hungSecret struct {
	after time.Duration // that it takes; 0: until it is let go
	err   error         // how it ends
	over  chan struct{}
}

// hang has reading what a block says take so long, and end so; 0: until it is let go.
func (h *hungSecrets) hang(value string, after time.Duration, err error) *hungSecret {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = map[string]*hungSecret{}
	}
	x := &hungSecret{after: after, err: err, over: make(chan struct{})}
	h.by[value] = x
	return x
}

// letGo has those that are being read end, and those that follow answer at once.
func (h *hungSecrets) letGo(value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.by[value].over)
	delete(h.by, value)
}

func (h *hungSecrets) count(value string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reads[value]
}

func (h *hungSecrets) mostAtOnce() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.most
}

func (h *hungSecrets) wait(ctx context.Context, value string) error {
	h.mu.Lock()
	x := h.by[value]
	if h.reads == nil {
		h.reads = map[string]int{}
	}
	h.reads[value]++
	h.at++
	h.most = max(h.most, h.at)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.at--
		h.mu.Unlock()
	}()
	if x == nil {
		return nil
	}
	var after <-chan time.Time
	if x.after > 0 {
		after = time.After(x.after)
	}
	select {
	case <-after:
		return x.err
	case <-x.over:
		return x.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apirones is a provider with credentials that read a secret that answers, and others
// that read one which does not, and each of them a sink.
func apirones(well, stuck int, more string) string {
	return fmt.Sprintf(`
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "a-password" }
secret "mem" "slow" { value = "slow" }
hook "mem" "tell" {}
credential "apirone" "well" {
  for_each = toset([for i in range(%d) : "well-${i}"])
  grant    = "login"
  login    = each.key
  password = secret.mem.pw.value
}
sink "mem" "well" {
  for_each = credential.apirone.well
  place    = each.key
  content  = each.value.access_token
  notify   = [hook.mem.tell]
}
credential "apirone" "stuck" {
  for_each = toset([for i in range(%d) : "stuck-${i}"])
  grant    = "login"
  login    = each.key
  password = secret.mem.slow.value
}
sink "mem" "stuck" {
  for_each = credential.apirone.stuck
  place    = each.key
  content  = each.value.access_token
}
%s`, well, stuck, more)
}

// stuckSinks are sinks that need the secret which does not answer.
func stuckSinks(n int) string {
	return fmt.Sprintf(`
sink "mem" "config" {
  for_each = toset([for i in range(%d) : "config-${i}"])
  place    = each.key
  content  = "${credential.apirone.well["well-0"].access_token} ${secret.mem.slow.value}"
}
`, n)
}

const (
	stuckOne  = `credential.apirone.stuck["stuck-0"]`
	stuckSink = `sink.mem.config["config-0"]`
)

// well says whether the places of those that need no secret that hangs hold tokens
// that work.
func (w *world) well(n int) error {
	for i := range n {
		if place := fmt.Sprintf("well-%d", i); !w.works(standin.Apirone, place) {
			return fmt.Errorf("at %s place %s holds a token that does not work", time.Now().Format(time.TimeOnly), place)
		}
	}
	return nil
}

func (w *world) mustBeWell(n int) func() {
	return func() {
		w.t.Helper()
		if err := w.well(n); err != nil {
			w.t.Fatal(err)
		}
	}
}

// A secret that hangs delays nobody who does not need it: neither the other
// credentials of the same provider nor other sinks and their hooks, however many
// wait for it. It is read once for all of them, they cost no goroutine, and what they
// wait for is said.
func TestASecretThatHangsDelaysNobodyElse(t *testing.T) {
	for what, more := range map[string]string{"credentials": apirones(5, 1000, ""), "sinks": apirones(5, 1, stuckSinks(1000))} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				w.hung.hang("slow", 0, nil)
				before := runtime.NumGoroutine()
				w.set(more)
				<-time.After(5 * time.Second)
				w.pass(25*time.Minute, time.Minute, w.mustBeWell(5))
				if n := runtime.NumGoroutine() - before; n > 200 {
					t.Errorf("%d goroutines more", n)
				}
				if n := strings.Count(w.places.events(), "hook:"); n < 3 {
					t.Errorf("the hook ran %d times", n)
				}
				if n := w.hung.count("slow"); n != 1 {
					t.Errorf("the secret was read %d times", n)
				}
				addr := stuckOne
				if what == "sinks" {
					addr = stuckSink
				}
				if l := w.line(addr); l.State != reconcile.Waiting || l.Why != "secret.mem.slow has not answered for 25m5s" {
					t.Errorf("it says %+v", l)
				}
				v, err := w.loop.Status(t.Context(), reconcile.CountsOnly)
				if err != nil || len(v.Lanes) > 0 || !v.FirstPass || v.Ready {
					t.Errorf("status %+v, %v", v, err)
				}
				w.hung.letGo("slow")
				<-time.After(30 * time.Second)
				if n := w.hung.count("slow"); n != 1 {
					t.Errorf("the secret was read %d times, and what the first read brought was not used", n)
				}
				w.mustBeWell(5)()
				v, err = w.loop.Status(t.Context(), reconcile.CountsOnly)
				if err != nil || !v.Ready {
					t.Errorf("status %+v, %v", v, err)
				}
			})
		})
	}
}

// A read that ends in an error is a failure of all that waited for it, each with a
// back-off of its own; they share the reads that follow, too.
func TestASecretThatFailsLateIsAFailureOfAllThatWait(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		x := w.hung.hang("slow", 2*time.Minute, errors.New("it did not end within 2m0s"))
		w.set(apirones(5, 1000, stuckSinks(1000)))
		<-time.After(5 * time.Second)
		failed := false
		w.pass(30*time.Minute, 30*time.Second, func() {
			w.mustBeWell(5)()
			l := w.line(stuckOne)
			failed = failed || l.State == reconcile.Failing && strings.Contains(l.Why, "it did not end within 2m0s")
			if l.State != reconcile.Failing && l.State != reconcile.Waiting {
				t.Errorf("it says %+v", l)
			}
		})
		if !failed {
			t.Error("no failure was seen")
		}
		if n := w.hung.count("slow"); n < 5 || n > 16 {
			t.Errorf("the secret was read %d times in half an hour, two minutes each", n)
		}
		w.hung.mu.Lock()
		x.after = time.Second // and then it is as slow as some are
		x.err = nil
		w.hung.mu.Unlock()
		w.pass(10*time.Minute, time.Minute, w.mustBeWell(5))
		if !w.works(standin.Apirone, "stuck-0") || !strings.HasSuffix(w.places.get("config-0"), " slow") {
			t.Errorf("it says %+v", w.line(stuckOne))
		}
	})
}

// What waits for a secret goes on at once when the configuration no longer needs it:
// its block goes, or the secret is another one. The read that hangs is nobody's then.
func TestAChangeEndsTheWaitForASecret(t *testing.T) {
	cfg := apirones(5, 20, stuckSinks(20))
	answers := strings.ReplaceAll(cfg, `{ value = "slow" }`, `{ value = "a-password" }`)
	gone := strings.NewReplacer(`"stuck-${i}"`, `"other-${i}" if i > 20`, `"config-${i}"`, `"config-${i}" if i > 20`).Replace(cfg)
	for what, next := range map[string]string{"the secret is another one": answers, "the blocks go": gone} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				w.hung.hang("slow", 0, nil)
				w.set(cfg)
				w.pass(15*time.Minute, time.Minute, func() { <-time.After(time.Second); w.mustBeWell(5)() })
				w.set(next)
				<-time.After(2 * time.Minute)
				v, err := w.loop.Status(t.Context(), "")
				if err != nil || !v.Ready {
					t.Errorf("%v: %+v", err, v.Counts)
				}
				for _, l := range append(v.Credentials, v.Sinks...) {
					if l.State != reconcile.Ready {
						t.Errorf("it says %+v", l)
					}
				}
				if works := w.works(standin.Apirone, "stuck-0"); works != (what == "the secret is another one") {
					t.Errorf("its token works: %v", works)
				}
				if n := w.hung.count("slow"); n != 1 {
					t.Errorf("the secret was read %d times", n)
				}
				w.hung.letGo("slow")
				w.pass(15*time.Minute, time.Minute, w.mustBeWell(5))
			})
		})
	}
}

// A stop waits for no secret, and the next start goes on.
func TestAStopWaitsForNoSecret(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.hung.hang("slow", 0, nil)
		w.set(apirones(5, 100, stuckSinks(100)))
		<-time.After(time.Minute)
		answer := make(chan error, 1)
		go func() {
			answer <- w.loop.Do(context.Background(), stuckOne, reconcile.Order{Kind: reconcile.OrderRetry})
		}()
		<-time.After(time.Minute)
		began := time.Now()
		w.halt()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("the stop took %s", took)
		}
		if err := <-answer; !errors.Is(err, reconcile.ErrClosed) {
			t.Errorf("who waits for an order is told %v", err)
		}
		w.hung.letGo("slow")
		w.start()
		w.set(apirones(5, 100, stuckSinks(100)))
		<-time.After(time.Minute)
		v, err := w.loop.Status(t.Context(), "")
		if err != nil || !v.Ready {
			t.Errorf("%v: %+v", err, v.Counts)
		}
		for _, l := range v.Credentials {
			if l.State != reconcile.Ready || l.Generation != 1 {
				t.Errorf("it says %+v", l)
			}
		}
	})
}

// Two secrets of one credential that both take longer than a reading serves are
// read one after the other, and used together; so is one that is as slow each time.
func TestSlowSecretsAreUsedTogether(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.hung.hang("slow", 15*time.Second, nil)
		w.hung.hang("apr-name", 20*time.Second, nil)
		w.set(apirones(1, 0, `
secret "mem" "name" { value = "apr-name" }
credential "apirone" "both" {
  grant    = "login"
  login    = secret.mem.name.value
  password = secret.mem.slow.value
}
sink "mem" "both" {
  place   = "both"
  content = "${credential.apirone.both.access_token} ${secret.mem.slow.value} ${secret.mem.name.value}"
}`))
		<-time.After(3 * time.Minute)
		token, rest, _ := strings.Cut(w.places.get("both"), " ")
		if k, ok := w.server.Lookup(standin.Apirone, token); !ok || !k.Alive || rest != "slow apr-name" {
			t.Errorf("the place holds %q: %+v", rest, w.line("credential.apirone.both"))
		}
		w.pass(40*time.Minute, time.Minute, func() {
			token, _, _ := strings.Cut(w.places.get("both"), " ")
			if k, ok := w.server.Lookup(standin.Apirone, token); !ok || !k.Alive {
				t.Fatalf("at %s the place holds a token that does not work: %+v", time.Now(), w.line("credential.apirone.both"))
			}
		})
		if n := w.hung.count("slow"); n > 60 {
			t.Errorf("the secret was read %d times", n)
		}
	})
}

// freshPassword is a type whose refreshes name an input that may change under a grant.
func freshPassword() string {
	return strings.Replace(ownCoinify{settings: `session = "independent"`}.String(), `json   = { grant_type = "refresh_token"`, `headers = { "X-Password" = input.password }
      json   = { grant_type = "refresh_token"`, 1)
}

// A refresh waits a while for what may have changed since its grant, and is then
// sent with what that had: a secret that hangs lets no token end. One that is slow is
// waited for.
func TestARefreshWaitsForASecretOnlyAWhile(t *testing.T) {
	for what, after := range map[string]time.Duration{"it hangs": 0, "it is slow": 3 * time.Second} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				w.set(trader("a@example.com", freshPassword()))
				<-time.After(time.Second)
				w.hung.hang("a-password", after, nil)
				began := w.server.Counts(standin.Coinify).Refreshes
				w.pass(90*time.Minute, 10*time.Second, func() {
					if !w.works(standin.Coinify, "trader") {
						t.Fatalf("at %s the place holds a token that does not work: %+v", time.Now(), w.line("credential.coinify.trader"))
					}
				})
				refreshes, reads := w.server.Counts(standin.Coinify).Refreshes-began, w.hung.count("a-password")
				if refreshes < 5 || reads > 2*refreshes || after > 0 && reads < refreshes {
					t.Errorf("%d refreshes, and the secret was read %d times", refreshes, reads)
				}
			})
		})
	}
}

// Of very many secrets of one block that hang few are read at a time. Others are read
// all the same.
func TestSecretsOfOneBlockThatHangAreReadAFewAtATime(t *testing.T) {
	const more = `
secret "mem" "each" {
  for_each = toset([for i in range(1000) : "apr-${i}"])
  value    = "each"
}
credential "apirone" "each" {
  for_each = secret.mem.each
  grant    = "login"
  login    = each.key
  password = each.value.value
}
sink "mem" "each" {
  for_each = credential.apirone.each
  place    = each.key
  content  = each.value.access_token
}`
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.hung.hang("each", 0, nil)
		before := runtime.NumGoroutine()
		w.set(apirones(5, 0, more))
		<-time.After(5 * time.Second)
		w.pass(30*time.Minute, time.Minute, w.mustBeWell(5))
		if n := runtime.NumGoroutine() - before; n > 400 {
			t.Errorf("%d goroutines more", n)
		}
		if n := w.hung.mostAtOnce(); n > 150 {
			t.Errorf("%d were read at a time", n)
		}
		v, err := w.loop.Status(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		waiting, turn := 0, 0
		for _, l := range v.Credentials {
			if l.State == reconcile.Waiting {
				waiting++
			}
			if strings.Contains(l.Why, "as many others of its block") {
				turn++
			}
		}
		if waiting != 1000 || turn < 850 {
			t.Errorf("%d wait, %d of them for their turn", waiting, turn)
		}
		w.hung.letGo("each")
		<-time.After(time.Minute)
		if v, err = w.loop.Status(t.Context(), reconcile.CountsOnly); err != nil || !v.Ready {
			t.Errorf("%v: %+v", err, v.Counts)
		}
	})
}
