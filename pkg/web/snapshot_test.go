package web

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/reconcile"
)

// slow answers after some time.
func slow(src *fakeSource, d time.Duration) *fakeSource {
	src.status = func(ctx context.Context, _ string) (reconcile.View, error) {
		select {
		case <-time.After(d):
			return reconcile.View{Now: time.Now()}, nil
		case <-ctx.Done():
			return reconcile.View{}, ctx.Err()
		}
	}
	return src
}

func TestSnapshotsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := slow(healthy(), 100*time.Millisecond)
		s := &snapshots{source: src}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := s.get(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := src.asked.Load(); n != 1 {
			t.Errorf("50 at once asked the loop %d times", n)
		}
	})
}

// Whatever is asked, views take about a tenth of the loop's time.
func TestSnapshotsSpareTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := slow(healthy(), 50*time.Millisecond)
		s := &snapshots{source: src}
		for end := time.Now().Add(11 * time.Second); time.Now().Before(end); {
			v, err := s.get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if age := time.Since(v.Now); age > 500*time.Millisecond {
				t.Fatalf("a view is %s old", age)
			}
			<-time.After(time.Millisecond)
		}
		if n := src.asked.Load(); n < 18 || n > 21 {
			t.Errorf("the loop was asked %d times in 11 s at 50 ms each, want about 20", n)
		}
		<-time.After(time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.current != nil {
			t.Error("a view is kept though nobody asks")
		}
	})
}

// A view that costs nothing is never an old one.
func TestSnapshotsAreFreshWhenCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := healthy()
		s := &snapshots{source: src}
		for range 10 {
			if _, err := s.get(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the snapshot is dropped just after it is answered
		}
		if n := src.asked.Load(); n != 10 {
			t.Errorf("asked %d times, want 10", n)
		}
	})
}

// Who asked first may hang up; the others still get their view. Errors are not kept.
func TestSnapshotsSurviveTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := slow(healthy(), time.Second)
		s := &snapshots{source: src}
		first, hangUp := context.WithCancel(t.Context())
		got := make(chan error, 2)
		go func() { _, err := s.get(first); got <- err }()
		synctest.Wait()
		go func() { _, err := s.get(t.Context()); got <- err }()
		synctest.Wait()
		hangUp()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("the first got %v", err)
		}
		if err := <-got; err != nil {
			t.Errorf("the second got %v", err)
		}

		failing := healthy()
		failing.status = func(context.Context, string) (reconcile.View, error) {
			<-time.After(time.Second)
			return reconcile.View{}, reconcile.ErrClosed
		}
		s = &snapshots{source: failing}
		if _, err := s.get(t.Context()); !errors.Is(err, reconcile.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		synctest.Wait()
		failing.status = nil
		if _, err := s.get(t.Context()); err != nil {
			t.Errorf("an error was kept: %v", err)
		}
	})
}
