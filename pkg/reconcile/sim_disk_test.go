package reconcile_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"tokend/pkg/state"
)

// simDisk is the state as one process sees it: the store's own logic, over a
// disk that takes its time, that fails, and that keeps, when the process dies,
// what had reached it. A commit is cut in two places: it may be lost, or be on
// disk without anybody having been told.
type simDisk struct {
	*state.Memory
	p *simProcess

	mu    sync.Mutex
	later []laterWrite
	timer *time.Timer
	looks [len(busy)]looks
}

// looks are how often each address was looked at since a time.
type looks struct {
	since time.Time
	of    map[string]int
}

// busy is how often an address may be looked at within a time: at once without an
// end, or at the pace of a disk, or of a hook, that ends every look.
var busy = [...]struct {
	within time.Duration
	most   int
}{{time.Second, 1000}, {time.Hour, 2000}}

// watch notices a loop that looks at an address without an end.
func (d *simDisk) watch(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.p.s.looks.Add(1)
	for i, b := range busy {
		l := &d.looks[i]
		if time.Since(l.since) > b.within {
			*l = looks{since: time.Now(), of: map[string]int{}}
		}
		if l.of[address]++; l.of[address] == b.most {
			d.p.s.fail("%s is looked at %d times within %s", address, b.most, b.within)
			d.p.die()
		}
	}
}

// laterWrite is one that was queued at a time. At that very moment nobody else sees
// it yet: which of two that do something at one moment goes first is nobody's choice.
type laterWrite struct {
	change state.Change
	done   func(error)
	at     time.Time
}

func (w laterWrite) waits() bool { return w.at.Before(time.Now()) }

var (
	errDiskFull = errors.New("no space left on device")
	errDead     = errors.New("this process is dead")
)

// lost is what a dead process is told: it goes no further.
func (d *simDisk) lost() error { return state.ErrConflict }

func (d *simDisk) Credential(ctx context.Context, address string) (state.Credential, *state.Intent, error) {
	if !d.read(address) {
		return state.Credential{}, nil, errDead
	}
	return d.Memory.Credential(ctx, address)
}

func (d *simDisk) Sink(ctx context.Context, address string) (state.Sink, error) {
	if !d.read(address) {
		return state.Sink{}, errDead
	}
	return d.Memory.Sink(ctx, address)
}

// read takes a moment, and waits for what is still to be written there. It is as
// long each time that an address is read, so that it makes no difference which
// of two that read at once came first.
func (d *simDisk) read(address string) bool {
	if !d.p.sleeps(d.p.s.draws.always("read", address, time.Microsecond, 50*time.Microsecond)) {
		return false
	}
	d.watch(address)
	d.mu.Lock()
	waits := slices.ContainsFunc(d.later, func(w laterWrite) bool { return w.waits() && addressIn(w.change) == address })
	d.mu.Unlock()
	if waits {
		return d.flush()
	}
	return true
}

func addressIn(c state.Change) string {
	switch {
	case c.Credential != nil:
		return c.Credential.Head.Address
	case c.Sink != nil:
		return c.Sink.Head.Address
	case c.Delete != "":
		return c.Delete
	case c.IntentFor != "":
		return c.IntentFor
	}
	return "meta " + c.MetaKey
}

func (d *simDisk) Commit(ctx context.Context, changes ...state.Change) error {
	if len(changes) == 0 {
		return nil
	}
	if d.p.isDead() {
		return d.lost()
	}
	s, of := d.p.s, addressIn(changes[0])
	s.mu.Lock()
	for _, c := range changes {
		of = min(of, addressIn(c))
		if c.Intent != nil {
			s.intended[addressIn(c)] = s.real()
		}
	}
	s.mu.Unlock()
	if !d.p.sleeps(s.draws.between("write", of, 100*time.Microsecond, 8*time.Millisecond)) || !d.p.passes("commit") {
		return d.lost()
	}
	if s.weatherNow().diskFull {
		s.note("disk full", of, "", 0)
		return errDiskFull
	}
	if !d.flush() {
		return d.lost()
	}
	s.mu.Lock()
	d.interfere(ctx, changes)
	err := d.Memory.Commit(ctx, changes...)
	if err == nil {
		s.written(changes)
	}
	s.mu.Unlock()
	if !d.p.passes("committed") || !d.p.sleeps(s.draws.between("synced", of, 10*time.Microsecond, time.Millisecond)) {
		return d.lost()
	}
	return err
}

// interfere has somebody else write the same record first, now and then: a
// store need not be this process's alone.
func (d *simDisk) interfere(ctx context.Context, changes []state.Change) {
	for _, c := range changes {
		if c.Credential == nil || c.Credential.Head.Version == 0 || !d.p.s.draws.chance("another writer", c.Credential.Head.Address, d.p.s.weatherNow().rivals) {
			continue
		}
		rec, _, err := d.Memory.Credential(ctx, c.Credential.Head.Address)
		if err != nil {
			continue
		}
		rec.Note = "touched by another writer"
		if d.Memory.Commit(ctx, state.Change{Credential: &rec}) == nil {
			d.p.s.note("rival", c.Credential.Head.Address, "", 0)
		}
	}
}

// Later queues changes: they ride along with the next commit.
func (d *simDisk) Later(done func(error), changes ...state.Change) {
	if done == nil {
		done = func(error) {}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range changes {
		if k := c.Sink; k != nil {
			kept := *k
			kept.Notify, kept.Leaving, kept.Delivered = slices.Clone(k.Notify), slices.Clone(k.Leaving), maps.Clone(k.Delivered)
			kept.Left = maps.Clone(k.Left) // what is in it is never changed
			c.Sink = &kept
			k.Head.Version++
			k.Head.Kind = state.KindSink
		}
		d.later = append(d.later, laterWrite{c, done, time.Now()})
		done = func(error) {}
	}
	d.flushSoon()
}

func (d *simDisk) flushSoon() {
	if d.timer == nil {
		d.timer = time.AfterFunc(800*time.Millisecond, func() {
			d.flush()
		})
	}
}

// flushAll writes all that was queued, of this moment too.
func (d *simDisk) flushAll() {
	<-time.After(time.Nanosecond)
	d.flush()
}

// flush writes what was queued; false when the process is dead.
func (d *simDisk) flush() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.p.isDead() {
		d.later = nil
		return false
	}
	s := d.p.s
	var left []laterWrite
	for i, w := range d.later {
		if !w.waits() {
			left = append(left, w)
			continue
		}
		if s.weatherNow().diskFull {
			w.done(errDiskFull)
			continue
		}
		if !d.p.passes("later") {
			for _, rest := range d.later[i:] {
				rest.done(errDead)
			}
			d.later = nil
			return false
		}
		s.mu.Lock()
		err := d.Memory.Commit(context.Background(), w.change)
		if err == nil {
			s.written([]state.Change{w.change})
		}
		s.mu.Unlock()
		w.done(err)
	}
	if d.later = left; len(left) > 0 {
		d.flushSoon()
	}
	return true
}

func (d *simDisk) PutBlob(ctx context.Context, content []byte) (string, error) {
	if d.p.isDead() || !d.p.passes("blob") {
		return "", errDead
	}
	if d.p.s.weatherNow().diskFull {
		return "", errDiskFull
	}
	return d.Memory.PutBlob(ctx, content)
}

func (d *simDisk) DropBlobs(ctx context.Context, names []string) error {
	if !d.p.passes("drop blobs") {
		return errDead
	}
	return d.Memory.DropBlobs(ctx, names)
}

func (d *simDisk) Meta(ctx context.Context, key string) ([]byte, error) {
	if d.p.isDead() {
		return nil, errDead
	}
	d.mu.Lock()
	waits := slices.ContainsFunc(d.later, func(w laterWrite) bool { return w.waits() && w.change.MetaKey == key })
	d.mu.Unlock()
	if waits && !d.flush() {
		return nil, errDead
	}
	return d.Memory.Meta(ctx, key)
}

// unrecorded says that the clock was set back, and that the disk has no record of it
// yet: nobody has looked at the clock since, or the disk has been full ever since.
func (s *simRun) unrecorded() bool {
	const looked = 40 * time.Second
	if s.setBackAt.IsZero() {
		return false
	}
	since := s.setBackAt
	if !s.fullFrom.IsZero() && s.fullFrom.Before(since.Add(looked)) {
		if s.weatherNow().diskFull {
			return true
		}
		if s.fullUntil.After(since) {
			since = s.fullUntil
		}
	}
	return time.Since(since) < looked
}
