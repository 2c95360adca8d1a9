package state

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestWindowDecides(t *testing.T) {
	const ms = time.Millisecond
	begin := time.Unix(1000, 0)
	plain := func() *request { return &request{ops: make([]op, 1), waited: true} }
	ends := func() *request { q := plain(); q.ends = true; return q }
	later := func() *request { q := plain(); q.waited = false; return q }
	many := func(q *request, n int) (list []*request) {
		for range n {
			list = append(list, q)
		}
		return list
	}
	for _, test := range []struct {
		name     string
		rate     float64
		siblings int
		calls    int
		queue    []*request
		want     time.Duration // after begin, when the queue came; the last batch was 1 ms before it
	}{
		{"one, nobody else is expected", 100, 0, 0, many(plain(), 1), 0},
		{"one, which ends the only call", 100, 0, 1, many(ends(), 1), 0},
		{"one of two expected from the last batch", 30, 2, 0, many(plain(), 1), 4 * ms},
		{"all of the last batch are back", 30, 2, 0, many(plain(), 2), 0},
		{"one, calls are under way at a low rate", 30, 0, 5, many(plain(), 1), 4 * ms},
		{"calls are under way at a middle rate", 9600, 0, 50, many(plain(), 3), 9 * ms},
		{"calls are under way at a high rate", 100_000, 0, 50, many(plain(), 3), 4 * ms},
		{"calls are under way at a slow rate", 1000, 0, 50, many(plain(), 3), 20 * ms},
		{"all calls have ended", 1000, 0, 3, many(ends(), 3), 0},
		{"enough for one transaction", 1000, 0, 5000, many(plain(), maxChanges), 0},
		{"only what can wait", 1000, 0, 0, many(later(), 3), 800 * ms},
		{"enough of what can wait", 1000, 0, 0, many(later(), maxChanges), 0},
		{"what can wait rides along", 1000, 0, 0, append(many(later(), 3), plain()), 0},
	} {
		w := window{min: 4 * ms, max: 20 * ms, later: 800 * ms, rate: test.rate, last: begin.Add(-ms), siblings: test.siblings}
		for _, q := range test.queue {
			w.add(begin, q)
		}
		due := w.due(begin, test.calls)
		if got := due.Sub(begin); due.IsZero() || max(got, 0) != test.want {
			t.Errorf("%s: due after %v, want %v", test.name, got, test.want)
		}
	}
	w := window{min: 4 * ms, max: 20 * ms, later: 800 * ms, rate: 20_000, last: begin.Add(-time.Hour), siblings: 9}
	w.add(begin, plain())
	if got := w.due(begin, 9).Sub(begin); got != 4*ms {
		t.Errorf("an hour after a burst: due after %v, want %v", got, 4*ms)
	}
	if empty := (window{}); !empty.due(begin, 3).IsZero() {
		t.Error("an empty window is due")
	}
}

// recorder is a writer's disk: each batch takes it some time.
type recorder struct {
	takes   time.Duration
	batches [][]*request
	idle    int
}

func (r *recorder) writer() *writer {
	w := newWriter(window{min: 4 * time.Millisecond, max: 20 * time.Millisecond, later: 800 * time.Millisecond})
	w.idle = func() { r.idle++ }
	w.recheck = func() time.Duration { return 0 }
	w.write = func(batch []*request) {
		<-time.After(r.takes)
		r.batches = append(r.batches, batch)
		w.wrote(batch)
		for _, q := range batch {
			q.finish()
		}
	}
	go w.run()
	return w
}

func submit(t *testing.T, w *writer, kind opKind, address string) *request {
	t.Helper()
	q := newRequest([]op{{kind: kind, address: address}})
	if err := w.submit(q); err != nil {
		t.Fatalf("submit = %v", err)
	}
	return q
}

func TestALoneCommitDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{takes: time.Millisecond}
		w := r.writer()
		defer w.close()
		begin := time.Now()
		for i := range 10 {
			a := fmt.Sprint(i)
			<-submit(t, w, opIntent, a).finished
			time.Sleep(50 * time.Millisecond) // the call
			<-submit(t, w, opClear, a).finished
		}
		if got, want := time.Since(begin), 10*(50+2)*time.Millisecond; got != want {
			t.Errorf("ten calls one after the other took %v, want %v: a lone caller waits for nobody", got, want)
		}
	})
}

func TestSlowCallsShareTheirSyncs(t *testing.T) {
	for _, latency := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{takes: 2 * time.Millisecond}
			w := r.writer()
			const workers, each = 256, 20
			begin := time.Now()
			done := make(chan bool)
			for i := range workers {
				go func() {
					a := fmt.Sprint(i)
					for n := range each {
						<-submit(t, w, opIntent, a).finished
						// Calls take differently long, in a way that does not repeat in step.
						time.Sleep(latency + time.Duration((i*31+n*17)%20)*latency/100)
						<-submit(t, w, opClear, a).finished
					}
					done <- true
				}()
			}
			for range workers {
				<-done
			}
			took := time.Since(begin)
			w.close()
			syncs := float64(2*len(r.batches)) / (workers * each)
			goal := 0.05
			if latency >= 100*time.Millisecond {
				goal = 0.1
			}
			if syncs > goal {
				t.Errorf("latency %v: %.3f syncs a call, want at most %.2f", latency, syncs, goal)
			}
			if most := each * (latency*12/10 + 2*(20+4)*time.Millisecond); took > most {
				t.Errorf("latency %v: %d calls in a row took %v, want at most %v", latency, each, took, most)
			}
			t.Logf("latency %v: %.3f syncs a call, %.1f ms on top of each", latency, syncs, float64(took-each*latency*11/10)/each/1e6)
		})
	}
}

func TestLaterRidesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{takes: time.Millisecond}
		w := r.writer()
		defer w.close()
		late := func(address string) *request {
			q := newRequest([]op{{kind: opRecord, address: address}})
			q.waited = false
			if err := w.submit(q); err != nil {
				t.Fatal(err)
			}
			return q
		}
		begin := time.Now()
		alone := late("a")
		<-alone.finished
		if got := time.Since(begin); got != 801*time.Millisecond {
			t.Errorf("a Later by itself took %v, want 801ms", got)
		}
		first := late("a")
		time.Sleep(100 * time.Millisecond)
		second := late("b")
		<-submit(t, w, opRecord, "c").finished
		if got := len(r.batches); got != 2 {
			t.Errorf("there were %d batches, want 2", got)
		}
		if b := r.batches[1]; len(b) != 3 || b[0] != first || b[1] != second {
			t.Errorf("the batch does not hold both Laters in their order and then the commit: %d requests", len(b))
		}
		begin = time.Now()
		late("d")
		if err := w.settle(t.Context(), "d"); err != nil || time.Since(begin) != time.Millisecond {
			t.Errorf("a reader waited %v (%v) for a Later of its address, want 1ms", time.Since(begin), err)
		}
		late("e")
		begin = time.Now()
		if err := w.settle(t.Context(), "f"); err != nil || time.Since(begin) != 0 {
			t.Errorf("a reader waited %v (%v) for a Later of another address", time.Since(begin), err)
		}
		if err := w.settle(t.Context(), ""); err != nil || time.Since(begin) != time.Millisecond {
			t.Errorf("a scan waited %v (%v) for the queued Later, want 1ms", time.Since(begin), err)
		}
	})
}

func TestTheWriterRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		w := r.writer()
		<-submit(t, w, opRecord, "a").finished
		time.Sleep(time.Hour)
		w.close()
		if r.idle != 1 {
			t.Errorf("in a quiet hour the writer woke %d times, want once", r.idle)
		}
		if err := w.submit(newRequest([]op{{}})); err != ErrClosed {
			t.Errorf("submit after close = %v, want ErrClosed", err)
		}
	})
}

func TestAManyTimesLargerQueueIsWrittenInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{takes: time.Millisecond}
		w := r.writer()
		var all []*request
		for i := range 10*mostChanges + 1 {
			all = append(all, submit(t, w, opRecord, fmt.Sprint(i)))
		}
		w.close()
		n := 0
		for _, b := range r.batches {
			if len(b) > mostChanges {
				t.Errorf("a batch has %d changes, want at most %d", len(b), mostChanges)
			}
			for _, q := range b {
				if q != all[n] {
					t.Fatalf("request %d is out of order", n)
				}
				n++
			}
		}
		if n != len(all) {
			t.Errorf("%d of %d requests were written", n, len(all))
		}
	})
}
