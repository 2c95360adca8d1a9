package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// A secret may take its time, or never answer: a program that hangs, a Vault that is
// away. Whoever needs it waits, and nobody else: each read has a goroutine of its own,
// one for all that ask for it meanwhile, and a look that needs one which has not
// answered for a moment is over. Its address then holds no place in any lane and no
// stack, and is looked at again once the read has ended, with its outcome.

const (
	// lookPatience is how long a look waits for a read, counted from when that was
	// asked for: of ten thousand that need one which hangs, few wait at all.
	lookPatience = 50 * time.Millisecond
	// readsAtOnce is how many reads of one block, or of one Vault, are under way at a
	// time once so many are in all. The rest wait for their turn without a goroutine.
	readsAtOnce = 64
	// readsEnd is how long a stop waits for reads that were told to end: a program is
	// killed within a second. What is stuck in the kernel nobody waits for.
	readsEnd = 2 * time.Second
)

// secretRead is one read of a secret, for all that ask for it meanwhile.
type secretRead struct {
	key   secretKey
	asked time.Time     // when it was asked for first
	done  chan struct{} // closed when it is over: value, err and ended are there then
	value cty.Value
	err   error
	ended time.Time
	begun atomic.Bool // else it waits for its turn

	// Under the reader's lock.
	fetch   func(context.Context) (cty.Value, error)
	group   *readGroup         // nil: it counts in none
	cancel  context.CancelFunc // of one that has begun
	file    bool               // it reads a file, of whose changes events tell
	late    bool               // it began before it was said that the secret may have changed
	next    *secretRead        // the one after it, for who asks since then
	asking  int                // who waits for it in a goroutine
	kept    bool               // a look was put back for it, so it is not given up
	dropped bool               // it was given up before its turn came

	told []*item // the loop's: those that are looked at once it is over
}

// readGroup are reads that have a bound in common.
type readGroup struct {
	running int
	waiting []*secretRead
	moved   time.Time // when one of them began last
}

// over says whether a read has ended.
func (rd *secretRead) over() bool {
	select {
	case <-rd.done:
		return true
	default:
		return false
	}
}

// why says in words what is waited for.
func (rd *secretRead) why() string {
	d := time.Since(rd.asked).Round(time.Second)
	if d == 0 {
		return rd.key.addr.Short() + " is being read"
	}
	if !rd.begun.Load() {
		return fmt.Sprintf("%s waits for %s to be read: as many others of its block, or of its Vault, are being read as may be at a time", rd.key.addr.Short(), d)
	}
	return fmt.Sprintf("%s has not answered for %s", rd.key.addr.Short(), d)
}

// pendingError: a secret is still being read. It is no failure.
type pendingError struct{ read *secretRead }

func (e *pendingError) Error() string { return e.read.why() }

// pendingOf is the read that an error says is not over, or nil.
func pendingOf(err error) *secretRead {
	var p *pendingError
	if errors.As(err, &p) {
		return p.read
	}
	return nil
}

// secretLook is what one look has to do with reads of secrets. A nil one waits for
// each until it is over. Safe for concurrent use.
type secretLook struct {
	waits bool // for each until it is over, but remembers how that ended

	mu      sync.Mutex
	had     []*secretRead // that are over, and whose outcome, value or error, is this look's
	pending []*secretRead // that it did not wait for
	closed  bool          // it cannot be put back any more: what is pending is only an error
}

type lookKey struct{}

func withLook(ctx context.Context, s *secretLook) context.Context {
	return context.WithValue(ctx, lookKey{}, s)
}

func lookOf(ctx context.Context) *secretLook {
	s, _ := ctx.Value(lookKey{}).(*secretLook)
	return s
}

// putsBack says that the look ends rather than waits.
func (s *secretLook) putsBack() bool { return s != nil && !s.waits }

// outcome is a read of a secret that was over before, or in this look; nil: there is none.
func (s *secretLook) outcome(k secretKey) *secretRead {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rd := range s.had {
		if rd.key == k {
			return rd
		}
	}
	return nil
}

func (s *secretLook) remember(rd *secretRead) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.had = append(s.had, rd)
}

// note remembers a read that the look did not wait for; nil is none.
func (s *secretLook) note(rd *secretRead) {
	if s == nil || rd == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && !slices.Contains(s.pending, rd) {
		s.pending = append(s.pending, rd)
	}
}

// close has nothing be put back from now on: what follows cannot be done again.
func (s *secretLook) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// first is one of the reads that it did not wait for, or nil.
func (s *secretLook) first() *secretRead {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return nil
	}
	return s.pending[0]
}

// join is the read of a secret that is under way, begun where none is.
func (r *secretReader) join(ctx context.Context, cfg *spec.Config, k secretKey, look *secretLook) *secretRead {
	r.mu.Lock()
	defer r.mu.Unlock()
	rd := r.under[k]
	if rd != nil && rd.late {
		if rd.next == nil {
			rd.next = r.newRead(ctx, cfg, k)
		}
		rd = rd.next
	}
	if rd == nil {
		rd = r.newRead(ctx, cfg, k)
		r.under[k] = rd
		if r.running < readsAtOnce || look == nil {
			r.begin(rd)
		} else {
			r.inTurn(rd, cfg)
		}
	}
	if look == nil && !rd.begun.Load() && r.under[k] == rd {
		r.begin(rd) // another secret needs it, and would wait for it in its own turn
	}
	rd.asking++
	return rd
}

func (r *secretReader) newRead(ctx context.Context, cfg *spec.Config, k secretKey) *secretRead {
	// What it needs itself it waits for, whoever asked.
	ctx = withLook(context.WithoutCancel(ctx), nil)
	rd := &secretRead{key: k, asked: time.Now(), done: make(chan struct{})}
	rd.fetch = func(cancelled context.Context) (cty.Value, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(cancelled, cancel)()
		return r.fetch(ctx, cfg, rd)
	}
	return rd
}

// inTurn has a read begin when there is room in its group.
func (r *secretReader) inTurn(rd *secretRead, cfg *spec.Config) {
	name := groupOf(cfg, rd.key.addr)
	g := r.groups[name]
	if g == nil {
		g = &readGroup{}
		r.groups[name] = g
	}
	rd.group = g
	if g.running < readsAtOnce {
		r.begin(rd)
		return
	}
	g.waiting = append(g.waiting, rd)
}

// groupOf names what a secret is read from: its Vault, or its block.
func groupOf(cfg *spec.Config, a spec.Address) string {
	if b, err := cfg.Secret(a, spec.Scope{}); err == nil && b.Kind == "vault_kv" {
		if v, err := b.Args.String("vault"); err == nil {
			return v
		}
	}
	block, _, _ := strings.Cut(string(a), "[")
	return block
}

// begin starts a read. The reader's lock is held.
func (r *secretReader) begin(rd *secretRead) {
	rd.begun.Store(true)
	ctx, cancel := context.WithCancel(r.life)
	rd.cancel = cancel
	r.running++
	if g := rd.group; g != nil {
		g.running++
		g.moved = time.Now()
	}
	go func() {
		v, err := r.guarded(ctx, rd)
		cancel()
		if r.ends(rd, v, err) && r.tell != nil {
			r.tell(rd)
		}
	}()
}

// guarded turns a panic into an error of that read alone.
func (r *secretReader) guarded(ctx context.Context, rd *secretRead) (v cty.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("reading a secret panicked", "address", string(rd.key.addr), "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			v, err = cty.NilVal, fmt.Errorf("reading %s: a defect in tokend: see the log", rd.key.addr)
		}
	}()
	if err := ctx.Err(); err != nil {
		return cty.NilVal, err
	}
	return rd.fetch(ctx)
}

// ends takes the outcome of a read over, has those begin whose turn it is, and says
// whether a look was put back for it.
func (r *secretReader) ends(rd *secretRead, v cty.Value, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	rd.value, rd.err, rd.ended = v, err, time.Now()
	if err == nil && !rd.late {
		r.keep(rd.key, v)
	}
	r.running--
	if r.under[rd.key] == rd {
		delete(r.under, rd.key)
		if next := rd.next; next != nil {
			next.group = rd.group
			r.under[rd.key] = next
			r.begin(next)
		}
	}
	if g := rd.group; g != nil {
		g.running--
		for g.running < readsAtOnce && len(g.waiting) > 0 {
			next := g.waiting[0]
			if g.waiting = g.waiting[1:]; !next.dropped && !next.begun.Load() {
				r.begin(next)
			}
		}
		if g.running == 0 && len(g.waiting) == 0 {
			r.dropGroup(g)
		}
	}
	if r.running == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
	close(rd.done)
	return rd.kept
}

func (r *secretReader) dropGroup(g *readGroup) {
	for name, x := range r.groups {
		if x == g {
			delete(r.groups, name)
		}
	}
}

// await is the outcome of a read, or a [pendingError] where the look does not wait
// for it.
func (r *secretReader) await(ctx context.Context, rd *secretRead, look *secretLook) (cty.Value, error) {
	defer r.asked(rd)
	var patience <-chan time.Time
	givenUp := ctx.Done()
	if look.putsBack() {
		t := time.NewTimer(r.patience(rd))
		defer t.Stop()
		patience, givenUp = t.C, nil
	}
	select {
	case <-rd.done:
	case <-patience:
		if r.leaves(rd) {
			look.note(rd)
			return cty.NilVal, &pendingError{rd}
		}
	case <-givenUp:
		r.giveUp(rd)
		return cty.NilVal, ctx.Err()
	}
	if rd.err != nil && r.life.Err() != nil && look.putsBack() {
		look.note(rd) // it was cut short by a stop, which says nothing of the secret
		return cty.NilVal, &pendingError{rd}
	}
	look.remember(rd)
	return rd.value, rd.err
}

// patience is how long a look waits for a read.
func (r *secretReader) patience(rd *secretRead) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := rd.group; g != nil && !rd.begun.Load() && time.Since(g.moved) > lookPatience {
		return 0 // those before it hang
	}
	return max(0, time.Until(rd.asked.Add(lookPatience)))
}

// leaves has a read go on for a look that is put back; false: it is over.
func (r *secretReader) leaves(rd *secretRead) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rd.over() {
		return false
	}
	rd.kept = true
	return true
}

func (r *secretReader) asked(rd *secretRead) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rd.asking--
}

// giveUp ends a read that nobody else waits for, and waits until it has ended.
func (r *secretReader) giveUp(rd *secretRead) {
	r.mu.Lock()
	if rd.asking > 1 || rd.kept || rd.over() {
		r.mu.Unlock()
		return
	}
	begun := rd.begun.Load()
	if r.under[rd.key] == rd && rd.next == nil {
		delete(r.under, rd.key)
	}
	if rd.dropped = true; begun {
		rd.cancel()
	}
	r.mu.Unlock()
	if begun {
		<-rd.done
	}
}

// end waits for the reads that a stop has told to end.
func (r *secretReader) end() {
	r.mu.Lock()
	if r.running == 0 {
		r.mu.Unlock()
		return
	}
	over := make(chan struct{}) // others may begin to read meanwhile: a plan, a Vault's login
	r.idle = over
	r.mu.Unlock()
	select {
	case <-over:
	case <-time.After(readsEnd):
		r.log.Log(context.Background(), slog.LevelWarn, "secrets that are still being read are not waited for")
	}
}
