package providers

import (
	"testing"
	"time"
)

// A connection counts as used a short time ago only where the clock of the wall
// agrees, which goes on while the machine sleeps, and did not go back.
func TestKeptConnectionIsRecent(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		since time.Time
		want  bool
	}{
		"just now":        {now, true},
		"a second ago":    {now.Add(-time.Second), true},
		"too long ago":    {now.Add(-idleTimeout), false},
		"before a sleep":  {now.Round(0).Add(-time.Hour), false},
		"clock went back": {now.Round(0).Add(time.Hour), false},
	} {
		if got := (&keptConn{since: c.since}).recent(now); got != c.want {
			t.Errorf("%s: recent = %v", name, got)
		}
	}
}
