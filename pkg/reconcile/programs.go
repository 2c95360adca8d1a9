package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Each run of a hook is a process or more, so there is a limit to them. One that hangs
// must not keep others from running: after a moment it makes room for the next to begin,
// and some of all places are kept for hooks that are known to come to an end.

const (
	// programLimit is how many runs of hooks are in their first moment at once, so that
	// a change of many sinks does not start all their programs together.
	programLimit = 64
	// programMoment is how long that is.
	programMoment = time.Second
	// programMost bounds all runs of hooks at once, however long they last.
	programMost = 512
	// programKept is how many of these are never given to a hook whose last run took
	// longer than programLong, or that has not come to an end since the start: not even
	// where more than all the others hang.
	programKept = 64
	programLong = 10 * time.Second
	// programTold is how long a run has to take for status to say so: many a unit takes
	// its time to be restarted.
	programTold = 30 * time.Second
)

// programs hand out the places of hooks that run. The zero value is ready to use; all
// methods are safe for concurrent use.
type programs struct {
	mu       sync.Mutex
	all      int                    // that have a place
	young    int                    // of these, in their first moment
	doubtful int                    // of these, of hooks that were not proven when they began
	proven   map[string]bool        // hooks whose last run ended within programLong
	of       map[string]*programRun // by hook: what runs or waits
	first    []*programRun          // what waits, in the order in which it came: of proven hooks …
	others   []*programRun          // … and of all others
}

// programRun is a run of one hook that waits for its place or has it.
type programRun struct {
	hook    string
	since   time.Time     // when it began to wait, or got its place; only for spans, since it is monotonic
	timeout time.Duration // 0: none is known
	proven  bool
	young   bool
	begun   chan struct{} // closed once it has its place
	moment  *time.Timer   // nil while it waits
}

// begin waits for a place. What follows gives it back.
func (p *programs) begin(ctx context.Context, hook string, timeout time.Duration) (end func(), err error) {
	r := p.enter(hook, timeout)
	select {
	case <-r.begun:
		return func() { p.leave(r, true) }, nil
	case <-ctx.Done():
		p.leave(r, false)
		return nil, ctx.Err()
	}
}

func (p *programs) enter(hook string, timeout time.Duration) *programRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of, p.proven = map[string]*programRun{}, map[string]bool{}
	}
	r := &programRun{hook: hook, since: time.Now(), timeout: timeout, proven: p.proven[hook], begun: make(chan struct{})}
	p.of[hook] = r
	if r.proven {
		p.first = append(p.first, r)
	} else {
		p.others = append(p.others, r)
	}
	p.admit()
	return r
}

// admit lets those begin for whom there is a place.
func (p *programs) admit() {
	for p.young < programLimit && p.all < programMost {
		var r *programRun
		switch {
		case len(p.first) > 0:
			r, p.first = p.first[0], p.first[1:]
		case len(p.others) > 0 && p.doubtful < programMost-programKept:
			r, p.others = p.others[0], p.others[1:]
			p.doubtful++
		default:
			return
		}
		p.all++
		p.young++
		r.young, r.since = true, time.Now()
		r.moment = time.AfterFunc(programMoment, func() { p.aged(r) })
		close(r.begun)
	}
}

// aged makes room for the next after a run's first moment.
func (p *programs) aged(r *programRun) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.young {
		r.young = false
		p.young--
		p.admit()
	}
}

// leave ends a run, or a wait for it; ran says that it was begun, and so how long it
// took tells something.
func (p *programs) leave(r *programRun, ran bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[r.hook] == r {
		delete(p.of, r.hook)
	}
	if r.moment == nil {
		without := func(x *programRun) bool { return x == r }
		p.first, p.others = slices.DeleteFunc(p.first, without), slices.DeleteFunc(p.others, without)
		return
	}
	r.moment.Stop()
	p.all--
	if r.young {
		r.young = false
		p.young--
	}
	if !r.proven {
		p.doubtful--
	}
	if ran {
		p.proven[r.hook] = time.Since(r.since) <= programLong
	}
	p.admit()
}

// forget drops what is known of a hook that is gone.
func (p *programs) forget(hook string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.proven, hook)
}

// words say of a hook that it has been running for long, or waits for a place; "": there
// is nothing to be said.
func (p *programs) words(hook string) (why string, waits bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.of[hook]
	if r == nil {
		return "", false
	}
	lasts := time.Since(r.since)
	switch {
	case r.moment == nil && lasts > programMoment:
		why = fmt.Sprintf("it has been waiting for %s for a place among the hooks that run: %d do, and no more than %d may at once", span(lasts), p.all, programMost)
		if !r.proven {
			why += fmt.Sprintf(", of which %d are kept for hooks whose last run ended within %s", programKept, span(programLong))
		}
		return why, true
	case r.moment != nil && lasts > programTold:
		why = "it has been running for " + span(lasts)
		if r.timeout > 0 {
			why += ", its timeout is " + span(r.timeout)
		}
	}
	return why, false
}

// waiting lists the hooks that have been waiting for longer than a moment.
func (p *programs) waiting() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var hooks []string
	for _, queue := range [][]*programRun{p.first, p.others} {
		for _, r := range queue {
			if time.Since(r.since) > programMoment {
				hooks = append(hooks, r.hook)
			}
		}
	}
	return hooks
}

// span is how long something takes, in whole seconds, as "2m" or "1h30m".
func span(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// hookWords say of a hook's line that it runs for long, or waits for its place.
func (l *Loop) hookWords(line *Line) {
	why, waits := l.w.programs.words(line.Address)
	switch {
	case why == "":
	case line.Why != "":
		line.Why += "; " + why
	case waits && line.State == Ready:
		line.State, line.Why, line.Next = Waiting, why, "its run"
	default:
		line.Why = why
	}
}

// countProgramless counts hooks that wait for a place as waiting.
func (l *Loop) countProgramless(v *View) {
	for _, hook := range l.w.programs.waiting() {
		if it := l.items[hook]; it != nil && l.stateOf(it) == Ready {
			v.Counts[Waiting]++
			v.Ready = false
		}
	}
}
