package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// processors is what the machine's processors have done so far. A rate that falls
// short means one thing where they were all busy for it, another where they were idle,
// and nothing at all where they worked for somebody else.
type processors struct {
	at                       time.Time
	busy, idle, stolen       time.Duration // of the machine; stolen: by others on its host
	tokend, standin, measure time.Duration
}

// shares are how many processors, of all that there are, something took on the average.
type shares struct{ tokend, standin, measure, others, idle, stolen float64 }

func (s shares) String() string {
	return fmt.Sprintf("tokend %.2f, stand-in %.2f, others %.2f, stolen %.2f, idle %.2f", s.tokend, s.standin, s.measure+s.others, s.stolen, s.idle)
}

// processors looks at them.
func (b *bench) processors(d *daemon) (p processors, err error) {
	p.at, p.measure = time.Now(), ownCPU()
	if p.tokend, err = cpuOf(d.cmd.Process.Pid); err != nil {
		return p, err
	}
	if p.standin, err = cpuOf(b.standin.Process.Pid); err != nil {
		return p, err
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return p, err
	}
	p.busy, p.idle, p.stolen, err = machineTimes(string(text))
	return p, err
}

// machineTimes reads proc_stat(5).
func machineTimes(stat string) (busy, idle, stolen time.Duration, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, 0, fmt.Errorf("reading what the processors did: %q is not what it was expected to be", line)
	}
	// user nice system idle iowait irq softirq steal; guests are counted in the first two.
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, 0, 0, fmt.Errorf("reading what the processors did: %w", err)
		}
		switch t := time.Duration(n) * time.Second / ticksPerSecond; i {
		case 3, 4:
			idle += t
		case 7:
			stolen += t
		default:
			busy += t
		}
	}
	return busy, idle, stolen, nil
}

// since is what they were busy with from one look to the next.
func (p processors) since(q processors) shares {
	took := p.at.Sub(q.at).Seconds()
	share := func(now, then time.Duration) float64 { return (now - then).Seconds() / took }
	s := shares{
		tokend: share(p.tokend, q.tokend), standin: share(p.standin, q.standin), measure: share(p.measure, q.measure),
		idle: share(p.idle, q.idle), stolen: share(p.stolen, q.stolen),
	}
	s.others = max(0, share(p.busy, q.busy)-s.tokend-s.standin-s.measure)
	return s
}
