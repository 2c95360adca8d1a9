package watch

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel tells by the timer is told on, and the end of it too. That the clock
// is set cannot be tried without setting it; the kernel tells of that by the same read.
func TestTheClockTells(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	now := time.Now()
	soon, err := clock(ctx, unix.ItimerSpec{Value: unix.NsecToTimespec(now.Add(50 * time.Millisecond).UnixNano())})
	if err != nil {
		t.Fatal(err)
	}
	never, err := Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	patience := time.After(20 * time.Second)
	select {
	case <-soon:
	case <-patience:
		t.Fatal("nothing was told")
	}
	// A time service may set the clock meanwhile; that moves it against the time since
	// the boot, and either channel may tell of it.
	if moved := time.Now().Round(0).Sub(now.Round(0)) - time.Since(now); moved.Abs() < time.Microsecond {
		if time.Since(now) < 50*time.Millisecond {
			t.Error("it was told too early")
		}
		select {
		case <-never:
			t.Error("it was told of a clock that nobody set")
		default:
		}
	}
	cancel()
	for _, c := range []<-chan struct{}{soon, never} {
		for open := true; open; {
			select {
			case _, open = <-c:
			case <-patience:
				t.Fatal("it goes on after its end")
			}
		}
	}
}
