package vault_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// Many secrets that are read at once, again and again, are read by the connections
// that are there: each of them serves the next request.
func TestManyReadsKeepTheirConnections(t *testing.T) {
	const atOnce, rounds = 200, 5
	var dialled atomic.Int64
	var all sync.WaitGroup // of a round, all of whose requests are there before the first is answered
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
	f.set(func(_ http.ResponseWriter, _, path, _ string) bool {
		if path == "kv/data/x" {
			all.Done()
			all.Wait()
		}
		return false
	})
	for range rounds {
		all.Add(atOnce)
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
	if n := dialled.Load(); n > atOnce+atOnce/10 {
		t.Errorf("%d reads, %d at once, took %d connections", rounds*atOnce, atOnce, n)
	}
}
