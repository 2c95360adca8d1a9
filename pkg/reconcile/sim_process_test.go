package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"tokend/pkg/hooks"
	"tokend/pkg/reconcile"
	"tokend/pkg/sinks"
	"tokend/pkg/sources"
	"tokend/pkg/spec"
)

// simProcess is tokend's loop from a start to its end, be that a stop or a
// crash. From its death on it reaches nothing any more, whatever its goroutines
// still do.
type simProcess struct {
	s      *simRun
	loop   *reconcile.Loop
	disk   *simDisk
	ctx    context.Context
	cancel context.CancelFunc
	ended  chan error
	asking sync.WaitGroup

	dead chan struct{}
	once sync.Once

	sent   map[string][]time.Time   // to each API, of late
	slowed map[string]time.Duration // device codes: by how much longer it has heard that it is to wait
	polls  simPolls
}

// paced notes that a request leaves, and that its API's rate limit was kept: so
// many at once after a rest, and then so many in each stretch of time.
func (p *simProcess) paced(e *simEndpoint) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	real := s.real()
	var late []time.Time
	for _, at := range p.sent[e.typ.name] {
		if real.Sub(at) < simPer {
			late = append(late, at)
		}
	}
	late = append(late, real)
	p.sent[e.typ.name] = late
	if s.limits(e) && !s.inForce.IsZero() && real.Sub(s.inForce) > time.Minute && real.Sub(s.skewedAt) > time.Minute && len(late) > 2*simRequests {
		s.fail("%s is asked %d times within %s", e.typ.name, len(late), simPer)
	}
}

// limits says that the limit of an API binds: that of the configuration, and
// where this does not declare it, that of the last one that did, and by which
// what is asked for was issued.
func (s *simRun) limits(e *simEndpoint) bool {
	if s.config.asks(e.typ.name) {
		return s.config.limited()
	}
	return e.limit.Requests > 0 && s.limited[slices.Index(simTypeNames[:], e.typ.name)]
}

// isDead says that it reaches nothing any more. Then it draws nothing either: by how
// often a dead process goes on trying, its successor's story would be another one
// each time.
func (p *simProcess) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// die is a SIGKILL.
func (p *simProcess) die() {
	p.once.Do(func() {
		p.s.forgetsSteps()
		close(p.dead)
		p.s.died <- struct{}{}
	})
}

// sleeps lets time go by; false when the process died meanwhile.
func (p *simProcess) sleeps(d time.Duration) bool {
	select {
	case <-time.After(d):
		return !p.isDead()
	case <-p.dead:
		return false
	}
}

// passes is a place where the process may die: before and after everything that
// others can see. False: it is dead.
func (p *simProcess) passes(what string) bool {
	if p.isDead() {
		return false
	}
	if p.s.timeToDie() {
		p.s.note("crash", what, "", 0)
		p.die()
		return false
	}
	return true
}

// start begins a process over what the disk holds.
func (s *simRun) start() bool {
	ctx, cancel := context.WithCancel(context.Background())
	p := &simProcess{s: s, ctx: ctx, cancel: cancel, ended: make(chan error, 1), dead: make(chan struct{}), sent: map[string][]time.Time{}, slowed: map[string]time.Duration{}}
	p.polls.open, p.polls.keeping = map[string]chan struct{}{}, make(chan struct{}, 1)
	p.disk = &simDisk{Memory: s.mem, p: p}
	s.p = p
	s.mu.Lock()
	s.ending = nil
	for account, r := range s.books.refused {
		if r.heard = ""; s.cutOff(account) { // the process that heard it is gone
			r.tries = max(0, r.tries-1)
		}
	}
	s.mu.Unlock()
	loop, err := reconcile.New(ctx, reconcile.Options{
		Store: p.disk, Providers: simOpener{p}, Sources: map[string]sources.Source{"mem": simSource{p}}, Sinks: map[string]sinks.Sink{"mem": simSink{p}},
		Hooks: map[string]hooks.Hook{"mem": simHook{p}}, HookDebounce: func(spec.Values) time.Duration { return 300 * time.Millisecond },
		Snapshot:     func(c *spec.Config) ([]byte, error) { return c.Sources()["main.hcl"], nil },
		LoadSnapshot: func(b []byte) (*spec.Config, error) { return s.configs.load(string(b)) },
		Host:         "host", Logger: s.log, Now: s.wall, Uptime: s.uptime, RevokeAtEnd: true,
	})
	if err != nil {
		s.fail("a start failed: %v", err)
		cancel()
		p.ended <- nil
		return false
	}
	p.loop = loop
	go func() { p.ended <- loop.Run(ctx) }()
	s.note("start", "", "", 0)
	return true
}

// gone waits for a process that died or was told to stop.
func (s *simRun) gone() {
	p := s.p
	s.mayEnd()
	p.cancel()
	if err := <-p.ended; err != nil {
		s.fail("a loop ended with %v", err)
	}
	p.asking.Wait()
}

// restart is a stop or a crash, and the next start.
func (s *simRun) restart(down time.Duration, reboot bool) {
	crashed := s.p.isDead()
	ends := s.shallEnd()
	s.gone()
	select {
	case <-s.died:
		crashed = true
	default:
	}
	if !crashed {
		s.p.disk.flushAll()
		s.checkEnded(ends)
	}
	s.mem = s.mem.Crash()
	if s.unrecorded() {
		s.stepLost = true // the process ended before it had looked at the clock, or before that was on disk
	}
	s.p.once.Do(func() { close(s.p.dead) })
	<-time.After(down)
	if reboot {
		s.booting.Lock()
		s.boot++
		s.booted = s.real()
		s.booting.Unlock()
	}
	s.armed.Store(0)
	if s.start() {
		s.set()
		if !s.p.isDead() && s.has(taleDevice) {
			s.p.resumePolls()
		}
	}
}

// set takes the configuration over, as often as it takes.
func (s *simRun) set() {
	cfg, err := s.configs.load(s.config.text())
	if err != nil {
		s.fail("%v", err)
		return
	}
	for range 30 {
		held, err := s.p.loop.Set(context.Background(), cfg, reconcile.SetOptions{})
		if err == nil {
			s.mu.Lock()
			if s.inForce, s.heldSinks = s.real(), nil; held != nil {
				s.heldSinks = held.Sinks
			}
			s.mu.Unlock()
		}
		if err == nil || s.p.isDead() {
			return
		}
		s.note("set failed", err.Error(), "", 0)
		if !s.p.sleeps(s.draws.between("set again", "", time.Second, 20*time.Second)) {
			return
		}
	}
}

// tookOver: the configuration is on disk as the one in force. What a later one does not
// declare lives on by it, and not by one that a full disk never let tokend take over.
func (s *simRun) tookOver() {
	for i := range simCredentials {
		if s.config.declares(i) {
			s.lastOf[i] = s.config
		}
	}
}

// ask gives an order, and does not wait.
func (s *simRun) ask(what, addr string, f func(context.Context, *reconcile.Loop) error) {
	p := s.p
	p.asking.Add(1)
	go func() {
		defer p.asking.Done()
		// Of orders that are given at one moment not all are given up at one.
		patience := 20*time.Minute + s.draws.always("patience", what+" "+addr, 0, time.Millisecond)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := f(ctx, p.loop)
		word := "done"
		var missing *reconcile.NotFoundError
		switch {
		case errors.As(err, &missing):
			word = "there is no such address"
		case err != nil:
			word = err.Error()
		}
		if !p.isDead() { // who is killed answers nobody
			s.note("answer", what+" "+addr, word, 0)
		}
	}()
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

var errNoSuch = errors.New("there is none")
