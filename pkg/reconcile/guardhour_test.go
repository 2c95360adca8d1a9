package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

func TestTheStrictestGuardOfTheHour(t *testing.T) {
	tight := spec.Guard{MaxRevocations: 1, MaxRevokedPercent: 50, Settle: time.Minute}
	loose := spec.Guard{MaxRevocations: 100, MaxRevokedPercent: 100}
	other := spec.Guard{MaxRevocations: 200, MaxRevokedPercent: 10}
	s := guardSettings{Guard: tight}
	follow := func(g spec.Guard, at time.Time) { s = s.follow(g, at, at.Add(-guardWindow)) }
	strict := func(g spec.Guard, at time.Time) (int, int) {
		got := s.strict(g, at)
		return got.MaxRevocations, got.MaxRevokedPercent
	}
	follow(loose, t0)
	if n, p := strict(loose, t0.Add(59*time.Minute)); n != 1 || p != 50 {
		t.Errorf("59 minutes after it was loosened: %d, %d", n, p)
	}
	if n, p := strict(loose, t0.Add(time.Hour)); n != 100 || p != 100 {
		t.Errorf("an hour after: %d, %d", n, p)
	}
	follow(other, t0.Add(30*time.Minute)) // looser in one, stricter in the other
	if n, p := strict(other, t0.Add(31*time.Minute)); n != 1 || p != 10 {
		t.Errorf("loosened again: %d, %d", n, p)
	}
	if n, p := strict(other, t0.Add(61*time.Minute)); n != 100 || p != 10 {
		t.Errorf("of the second only: %d, %d", n, p)
	}
	follow(other, t0.Add(2*time.Hour))
	if len(s.Former) != 0 {
		t.Errorf("what no longer counts is kept: %+v", s.Former)
	}
	// The settle is that of the change and of the one before it, and no longer.
	if got := s.strict(loose, t0.Add(2*time.Hour)).Settle; got != 0 {
		t.Errorf("settle %s", got)
	}
	if got := (*guardSettings)(nil).strict(loose, t0); got != loose {
		t.Errorf("where there is nothing before: %+v", got)
	}
}

// A block goes a second time, more than an hour after the first: what it did then is
// not taken for what it is let do now, or a crash would forget that.
func TestWhatBeganLongAgoIsNotWhatIsLetGoNow(t *testing.T) {
	step := func(at time.Time, begun bool) guardLog {
		return guardLog{Steps: []letGo{{Address: "credential.x.a", Digest: "removed", At: at, Begun: begun}}}
	}
	now := t0.Add(2 * time.Hour)
	for name, c := range map[string]struct {
		began   time.Time
		pending int
	}{"long ago": {t0, 1}, "since it was judged": {now, 0}} {
		store := state.NewMemory(state.MemoryOptions{})
		l := &Loop{o: Options{Now: func() time.Time { return now }, Store: store}, guardWriting: true, guard: step(c.began, true)}
		l.takeLog(step(now, false))
		if got := len(l.guard.pending()); got != c.pending || len(l.guard.Steps) != 1 {
			t.Errorf("%s: %d of %+v are still to come, want %d", name, got, l.guard.Steps, c.pending)
		}
		_ = store.Close()
	}
}
