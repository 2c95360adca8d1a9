package gitsource

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		failed   int
		at       float64
		want     time.Duration
	}{
		{time.Minute, 0, 0, 54 * time.Second},
		{time.Minute, 0, 0.5, time.Minute},
		{time.Minute, 1, 0, time.Second},
		{time.Minute, 1, 0.5, time.Minute},
		{time.Minute, 3, 0.5, 4 * time.Minute},
		{time.Minute, 1000, 1, 10 * time.Minute},
		{time.Hour, 5, 1, time.Hour},
		{time.Millisecond, 1, 1, time.Second},
	} {
		if got := pace(c.interval, c.failed, c.at); got != c.want {
			t.Errorf("pace(%v, %d, %v) = %v, want %v", c.interval, c.failed, c.at, got, c.want)
		}
	}
}
