package reconcile_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "simulate the run of this seed alone, and print what happened")
	simFrom  = flag.Uint64("sim.from", 1, "the first of the fixed seeds to simulate")
	simCount = flag.Uint64("sim.seeds", 20, "how many fixed seeds to simulate")
	simOnly  = flag.Bool("sim.only", false, "simulate no seeds but those asked for: not those that once failed")
	simAll   = flag.Bool("sim.all", false, "go on after a failure, and tell each in one line")
	simNew   = flag.Duration("sim.new", 0, "how long to simulate seeds that no run had before; else as long as SIMTIME says")
)

// newSeedsFor is how long to simulate seeds that no run had before.
func newSeedsFor(t *testing.T) time.Duration {
	said := os.Getenv("SIMTIME")
	if *simNew > 0 || said == "" {
		return *simNew
	}
	d, err := time.ParseDuration(said)
	if err != nil {
		t.Fatalf("reading SIMTIME: %v", err)
	}
	return d
}

// simFound are seeds that once failed: what a crash left at a place that no
// record named, or whose record had been lost, replies that were kept, an order
// that was worth two calls, settings that nobody wrote down, and refresh tokens that
// were taken over and given up before their first use, used twice, or tried without a
// pause while their API was away, and what kept replies brought, which was revoked too
// soon, or let go, and a call let through to an API that was away, by who had nothing to
// send.
var simFound = [...]uint64{2432, 2451, 2536, 20171, 20433, 20594, 20747, 20916, 31244, 40258, 40313, 600040, 700576, 800123, 800296, 2000374, 5001611, 5001781, 5002090, 5007327, 30000304, 40001953, 42001708, 51005795, 51012396, 51012806, 51013909, 51017811, 990000015, 38058567832, 159782408054, 320930011176, 365183813583, 409028350244, 440537435861, 462800107873, 592654425884, 634680548250, 676461380919, 701088200693, 756287268909, 791471569084, 805467021435, 855798897014}

// simFoundIn are those of stories that few runs have, or none.
var simFoundIn = [...]struct {
	tale string
	seed uint64
}{{taleShared, 462349707006}, {taleShared, 462349707007}, {taleShared, 462349707045}, {taleShared, 462349707055}, {taleShared, 462349707107}, {taleShared, 462349707076}, {taleShared, 50889529052}, {taleShared, 125762400173}, {taleShared, 125762400197}, {taleShared, 125762400526}, {taleShared, 150401157413}, {taleShared, 249912785458}}

// simMemory is how much memory the simulation uses, about, before garbage is
// collected however little there is of it.
const simMemory = 256 << 20

// The whole reconciler, day after day, under everything that can go wrong: from
// a seed come configurations and their changes, how the APIs are, what is lost
// on the way, when the disk, the network and the places are away, when the
// process is killed and the clock is put. After every step the APIs' own books
// are compared with what must never happen, and at the end, when nothing fails
// any more, everything has to be as it is declared.
func TestSimulation(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(inUse() + simMemory)) // 800 % also of what earlier tests left would be gigabytes
	configs := newConfigs()
	if *simSeed != 0 {
		s := simulate(t, configs, *simSeed)
		t.Log(s.story(100000))
		if s.failure != "" {
			t.Error(s.failure)
		}
		return
	}
	began, used, n := time.Now(), cpuTime(t), 0
	var most mostLooks
	found := simFound[:]
	if *simOnly {
		found = nil
	}
	for _, seed := range found {
		n++
		if !simulated(t, configs, seed, &most) {
			return
		}
	}
	for _, found := range simFoundIn {
		if *simOnly || *simTale != "" {
			break
		}
		n++
		*simTale = found.tale
		done := simulated(t, configs, found.seed, &most)
		if *simTale = ""; !done {
			return
		}
	}
	for seed := *simFrom; seed < *simFrom+*simCount; seed++ {
		n++
		if !simulated(t, configs, seed, &most) {
			return
		}
	}
	end := time.Now().Add(newSeedsFor(t))
	for seed := range newSeeds(os.Getenv("SIMOF")) {
		if !time.Now().Before(end) {
			break
		}
		n++
		if !simulated(t, configs, seed, &most) {
			return
		}
	}
	each := func(d time.Duration) time.Duration {
		return (d / time.Duration(max(n, 1))).Round(10 * time.Microsecond)
	}
	t.Logf("%d seeds, %s each, %s of it by a processor; %s", n, each(time.Since(began)), each(cpuTime(t)-used), most)
}

// mostLooks tells of the seed that took the most work: of looks at addresses, which
// do not depend on the machine.
type mostLooks struct {
	looks, all, runs int64
	seed             uint64
}

func (m *mostLooks) also(s *simRun) {
	n := s.looks.Load()
	if m.all, m.runs = m.all+n, m.runs+1; n > m.looks {
		m.looks, m.seed = n, s.draws.seed
	}
}

func (m mostLooks) String() string {
	return fmt.Sprintf("%d looks each, %d by seed %d", m.all/max(m.runs, 1), m.looks, m.seed)
}

// cpuTime is for how long processors have worked for this process: what a seed
// takes of that does not depend on what else the machine does.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatalf("asking for the processor's time: %v", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// simulated is one run of many.
func simulated(t *testing.T, configs *simConfigs, seed uint64, most *mostLooks) bool {
	s := simulate(t, configs, seed)
	most.also(s)
	if s.failure == "" {
		return true
	}
	if *simAll {
		t.Errorf("seed %d: %s", seed, s.failure)
		return true
	}
	t.Errorf("%s\n%s\nseed %d; to see it again:\n  go test ./pkg/reconcile -run TestSimulation -sim.seed=%d%s -v", s.story(60), s.failure, seed, seed, asAsked())
	return false
}

// asAsked is what else has to be asked for to see a failure again.
func asAsked() string {
	if *simTale == "" {
		return ""
	}
	return " -sim.tale=" + *simTale
}

// simulate runs one seed. One processor is enough, and makes two runs of a seed
// alike.
func simulate(t *testing.T, configs *simConfigs, seed uint64) *simRun {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var s *simRun
	synctest.Test(t, func(t *testing.T) {
		s = newRun(configs, seed)
		s.live()
	})
	return s
}

// event is a line of a run's story.
type event struct {
	at      time.Duration
	what    string
	of, and string
	n       int
}

func (s *simRun) note(what, of, and string, n int) {
	s.noting.Lock()
	defer s.noting.Unlock()
	if s.failure != "" {
		return // what came before it is what matters
	}
	s.events = append(s.events, event{time.Since(s.began), what, of, and, n})
}

// story is what happened, at most the last lines of it.
func (s *simRun) story(lines int) string {
	s.noting.Lock()
	defer s.noting.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d:", s.draws.seed)
	for _, name := range simTypeNames {
		t := s.types[name]
		fmt.Fprintf(&b, "\n  %s: %+v rotates=%v reuse kills=%v ends grant=%v life=%s/%s", name, t.traits, t.rotates, t.reuseKills, t.endsGrant, t.life, t.longLife)
	}
	for _, e := range s.events[max(0, len(s.events)-lines):] {
		fmt.Fprintf(&b, "\n%14s  %s %s %s", e.at.Round(time.Microsecond), e.what, e.of, e.and)
		if e.n != 0 {
			fmt.Fprintf(&b, " %d", e.n)
		}
	}
	return b.String()
}

// fail keeps the first thing that must never happen, and ends the run.
func (s *simRun) fail(format string, args ...any) {
	s.noting.Lock()
	defer s.noting.Unlock()
	if s.failure == "" {
		s.failure = fmt.Sprintf("after %s: ", time.Since(s.began).Round(time.Millisecond)) + fmt.Sprintf(format, args...)
		s.events = append(s.events, event{time.Since(s.began), "FAILURE", s.failure, "", 0})
	}
}

func (s *simRun) failed() bool {
	s.noting.Lock()
	defer s.noting.Unlock()
	return s.failure != ""
}

func traced() bool { return os.Getenv("TOKEND_TEST_LOG") != "" }
