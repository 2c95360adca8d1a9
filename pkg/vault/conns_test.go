package vault_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/vault"
)

// inFlight is how many requests a server is asked at once at the most.
const inFlight = 64

// crowd holds requests until as many as may be there at once are there.
type crowd struct {
	mu      sync.Mutex
	waiting int
	full    chan struct{}
}

func (c *crowd) join() {
	c.mu.Lock()
	if c.waiting == 0 {
		c.full = make(chan struct{})
	}
	c.waiting++
	full := c.full
	if c.waiting == inFlight {
		c.waiting = 0
		close(full)
	}
	c.mu.Unlock()
	select {
	case <-full:
	case <-time.After(20 * time.Second): // so many never came: the test says so
	}
}

// Many secrets that are read at once, again and again, are read by so many
// connections, and by those that are there: each of them serves the next request.
func TestManyReadsKeepTheirConnections(t *testing.T) {
	const atOnce, rounds = 3 * inFlight, 5
	var dialled, asked, most atomic.Int64
	f := &fake{ttl: 3600}
	s := httptest.NewUnstartedServer(f)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			dialled.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	p, _, _ := newPool(t, byAppRole(s.URL, "r", "s"))
	c := client(t, p)
	if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
		t.Fatal(err)
	}
	var all crowd
	f.set(func(_ http.ResponseWriter, _, path, _ string) bool {
		if path == "kv/data/x" {
			now := asked.Add(1)
			defer asked.Add(-1)
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			all.join()
		}
		return false
	})
	for range rounds {
		var read sync.WaitGroup
		for range atOnce {
			read.Go(func() {
				if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
					t.Error(err)
				}
			})
		}
		read.Wait()
	}
	if n := most.Load(); n != inFlight {
		t.Errorf("of %d reads %d were in flight at once, want %d", atOnce, n, inFlight)
	}
	if n := dialled.Load(); n > inFlight+inFlight/10 {
		t.Errorf("%d reads, %d at once, took %d connections", rounds*atOnce, inFlight, n)
	}
}

// Who waits for a place among the requests in flight can be stopped, and has then asked
// nothing; nor does the time to wait for an answer begin before.
func TestWhoWaitsToAskCanBeStopped(t *testing.T) {
	f, url := startFake(t)
	p, _, _ := newPool(t, byAppRole(url, "r", "s"))
	c := client(t, p)
	if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
		t.Fatal(err)
	}
	there, answer := make(chan struct{}), make(chan struct{})
	f.set(func(_ http.ResponseWriter, _, path, _ string) bool {
		if path == "kv/data/x" {
			there <- struct{}{}
			<-answer
		}
		return false
	})
	var read sync.WaitGroup
	for range inFlight {
		read.Go(func() {
			if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
				t.Error(err)
			}
		})
	}
	for range inFlight {
		<-there
	}
	before := f.count("GET kv/data/x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := c.ReadKV(ctx, "kv", "x", 0)
	if !errors.Is(err, vault.ErrUnreachable) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "waited for other requests") {
		t.Errorf("error %v", err)
	}
	if n := f.count("GET kv/data/x") - before; n != 0 {
		t.Errorf("%d requests were sent by who was stopped while it waited", n)
	}
	close(answer)
	read.Wait()
}
