package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
	testrig "tokend/test/rig"
)

// pace is what was seen of a daemon under load for a while.
type pace struct {
	arrived int           // new tokens that came to their places
	slowest time.Duration // from the provider's answer to the place
	gap     time.Duration // the longest time without a request
	rotated int
	longest time.Duration // the longest rotation
}

func (p pace) String() string {
	return fmt.Sprintf("%d tokens arrived, the slowest after %v; the longest gap between refreshes %v; %d rotations, the slowest %v",
		p.arrived, p.slowest.Round(time.Millisecond), p.gap.Round(time.Millisecond), p.rotated, p.longest.Round(time.Millisecond))
}

// watched looks at the places of all tokens for a while, and does something all the time
// meanwhile, if there is something to do.
func (c *crash) watched(while time.Duration, does func(context.Context) error) (p pace) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), while)
	defer cancel()
	done := make(chan pace, 1)
	go func() {
		var p pace
		for ctx.Err() == nil && does != nil {
			began := time.Now()
			if err := does(c.t.Context()); err != nil {
				c.t.Errorf("rotating the key: %v", err)
				break
			}
			p.rotated, p.longest = p.rotated+1, max(p.longest, time.Since(began))
		}
		done <- p
	}()
	began, held := time.Now(), map[string]string{}
	for first := true; ctx.Err() == nil; first = false {
		for _, api := range crashAPIs {
			for a := range c.addresses(api) {
				name := string(api) + "-" + strings.Split(a, `"`)[1]
				is := c.held(name)
				if is == held[name] {
					continue
				}
				if held[name] = is; first {
					continue
				}
				tok, found := c.api.Lookup(api, is)
				if !found {
					c.t.Errorf("%s holds a token that was never issued", name)
				}
				p.arrived, p.slowest = p.arrived+1, max(p.slowest, time.Since(tok.Issued))
			}
		}
		pause(ctx, 2*time.Millisecond)
	}
	var asked []time.Time
	for _, api := range crashAPIs {
		for _, q := range c.api.Ledger(api).Requests {
			if q.Did == "refresh" && q.At.After(began) {
				asked = append(asked, q.At)
			}
		}
	}
	p.gap = longestGap(asked)
	r := <-done
	p.rotated, p.longest = r.rotated, r.longest
	return p
}

func longestGap(at []time.Time) (gap time.Duration) {
	slices.SortFunc(at, time.Time.Compare)
	for i := 1; i < len(at); i++ {
		gap = max(gap, at[i].Sub(at[i-1]))
	}
	return gap
}

// worseThan says how the key's rotation delays what is refreshed. Each token is refreshed
// several times in a lifetime. The bound is far above what a rotation takes, and far below
// what would let a token run out.
func (p pace) worseThan(before pace) string {
	switch bound := max(5*before.slowest, crashLifetime/4); {
	case p.slowest > bound:
		return fmt.Sprintf("the slowest token arrived after %v while the key was rotated, and after %v before", p.slowest, before.slowest)
	case p.rotated < 5 || p.arrived < 12 || p.arrived < before.arrived/3:
		return fmt.Sprintf("%d rotations, %d tokens arrived meanwhile and %d before", p.rotated, p.arrived, before.arrived)
	}
	return ""
}

// TestRotateKeyIsNoPause rotates the state's key all the time while tokens of seconds are
// refreshed: what is refreshed arrives as before, and nothing runs out.
func TestRotateKeyIsNoPause(t *testing.T) {
	t.Parallel()
	r := newRotations(t)
	d := r.start("--log-level", "warn")
	r.converged(d)
	const while = crashLifetime
	key, wrong := 0, ""
	for range 5 { // a machine that is busy with something else is so for a while; a pause would be there each time
		before := r.watched(while, nil)
		during := r.watched(while, func(ctx context.Context) error {
			k := r.keys[key%len(r.keys)] // the key that tokend makes, and key files
			key++
			_, err := r.ask().StateRotateKey(ctx, k.asks)
			return err
		})
		t.Logf("without rotations: %v", before)
		t.Logf("with them:         %v", during)
		if wrong = during.worseThan(before); wrong == "" {
			break
		}
	}
	if wrong != "" {
		t.Error(wrong)
	}
	r.converged(d)
	r.checkReuse(0)
	d.stop()
}

// A Vault that does not answer holds up the rotation to its key, and nothing else.
func TestVaultThatStallsARotationStallsNothingElse(t *testing.T) {
	t.Parallel()
	v := testrig.Vault(t)
	r := newRotations(t)
	to := r.transit(v)
	held, release := make(chan struct{}, 1), make(chan struct{})
	front := stallingEncrypt(t, v.Addr, held, release)
	r.write("vault.hcl", strings.Replace(strings.Replace(vaultBlock(v), v.Addr, front, 1), `"20s"`, `"5m"`, 1))
	d := r.start("--log-level", "warn")
	r.converged(d)
	ended := make(chan error, 1)
	go func() {
		_, err := r.ask().StateRotateKey(t.Context(), to.asks)
		ended <- err
	}()
	<-held
	before := map[string]string{}
	for _, api := range crashAPIs[:2] {
		for a := range r.addresses(api) {
			name := string(api) + "-" + strings.Split(a, `"`)[1]
			before[name] = r.held(name)
		}
	}
	r.until("every token to be refreshed and delivered", func(context.Context) string {
		for name, was := range before {
			if r.held(name) == was {
				return name + " was not"
			}
		}
		return ""
	})
	select {
	case err := <-ended:
		t.Fatalf("the rotation did not wait for Vault: %v", err)
	default:
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("rotating the key: %v", err)
	}
	d.kill()
	r.names(to)
	d = r.start("--log-level", "warn")
	r.converged(d)
	r.checkReuse(0)
	d.stop()
	if c := r.api.Counts(standin.Apirone); c.Refreshes == 0 {
		t.Error("nothing was refreshed: the test shows nothing")
	}
}

// stallingEncrypt passes all on to a Vault but what is to be encrypted, which waits.
func stallingEncrypt(t *testing.T, vault string, held chan<- struct{}, release <-chan struct{}) string {
	t.Helper()
	to, err := url.Parse(vault)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.Contains(q.URL.Path, "/transit/encrypt/") {
			select {
			case held <- struct{}{}:
			default:
			}
			select {
			case <-release:
			case <-t.Context().Done():
			}
		}
		pass.ServeHTTP(w, q)
	}))
	t.Cleanup(front.Close)
	return front.URL
}
