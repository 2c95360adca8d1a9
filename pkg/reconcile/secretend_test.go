package reconcile

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// A stop waits for the reads that are under way also while others begin: a plan that is
// being made reads secrets, and so does a login to Vault.
func TestAStopWaitsForReadsBesideOthersThatBegin(t *testing.T) {
	for range 300 {
		life, stop := context.WithCancel(t.Context())
		r := newSecretReader(life, nil, time.Now)
		begin := func() *secretRead {
			rd := &secretRead{asked: time.Now(), done: make(chan struct{})}
			rd.fetch = func(ctx context.Context) (cty.Value, error) {
				<-ctx.Done()
				return cty.NilVal, ctx.Err()
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.begin(rd)
			return rd
		}
		first := begin()
		var ends sync.WaitGroup
		ends.Go(r.end)
		stop()
		<-first.done
		for range 20 {
			<-begin().done
		}
		ends.Wait()
	}
}
