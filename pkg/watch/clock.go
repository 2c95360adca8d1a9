package watch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// farAhead is a time that does not come, as far ahead as the machine can count:
// what is waited for is that the clock is set.
var farAhead = unix.ItimerSpec{Value: unix.Timespec{Sec: min(math.MaxInt, 1<<33)}}

// Clock tells of every time that the machine's wall clock is set, until ctx ends;
// then the channel is closed. Several that nobody has received are one. A clock that
// runs a little faster or slower for a while is not set.
func Clock(ctx context.Context) (<-chan struct{}, error) { return clock(ctx, farAhead) }

// clock tells of that too when it becomes a time by that clock.
func clock(ctx context.Context, until unix.ItimerSpec) (<-chan struct{}, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching the clock: %w", err)
	}
	f := os.NewFile(uintptr(fd), "timerfd") // it does not block, so a read waits without a thread
	told := make(chan struct{}, 1)
	c := &clockTimer{f: f, until: until, told: told}
	if err := c.arm(); err != nil {
		return nil, errors.Join(fmt.Errorf("watching the clock: %w", err), f.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	go func() {
		defer close(told)
		defer f.Close()
		defer stop()
		for c.wait() == nil && c.arm() == nil {
		}
	}()
	return told, nil
}

// clockTimer is a timer of the kernel's that a set clock cancels.
type clockTimer struct {
	f     *os.File
	until unix.ItimerSpec
	told  chan<- struct{}
}

func (c *clockTimer) tell() {
	select {
	case c.told <- struct{}{}:
	default: // it is not received yet
	}
}

// arm begins anew. The kernel says so where the clock was set since the last time.
func (c *clockTimer) arm() error {
	raw, err := c.f.SyscallConn()
	if err != nil {
		return err
	}
	var armed error
	err = raw.Control(func(fd uintptr) {
		armed = unix.TimerfdSettime(int(fd), unix.TFD_TIMER_ABSTIME|unix.TFD_TIMER_CANCEL_ON_SET, &c.until, nil)
	})
	if errors.Is(armed, unix.ECANCELED) { // it is armed all the same
		c.tell()
		armed = nil
	}
	return errors.Join(err, armed)
}

// wait tells of the next time.
func (c *clockTimer) wait() error {
	_, err := c.f.Read(make([]byte, 8))
	switch {
	case err == nil:
		c.until = farAhead
	case !errors.Is(err, unix.ECANCELED):
		return err
	}
	c.tell()
	return nil
}
