package rig

import (
	"fmt"
	"time"
)

// poll asks twenty times a second until done says yes, for at most the time
// given; the error then holds what done said last.
func poll(limit time.Duration, done func() (bool, string)) error {
	deadline := time.After(limit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, said := done()
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("not there after %v: %s", limit, said)
		}
	}
}
