package reconcile_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/state"
)

// simRun is one simulated run: the world around a process of tokend, and what
// is known of it.
type simRun struct {
	draws   *draws
	configs *simConfigs
	types   map[string]*simType
	log     *slog.Logger
	began   time.Time
	died    chan struct{}
	armed   atomic.Int64 // how many places of death are left to pass; 0: no crash is planned
	looks   atomic.Int64 // how often any address was looked at

	asleep, skew atomic.Int64 // how long the machine was suspended; how wrong its clock is
	w            atomic.Pointer[weather]
	calm         atomic.Bool // nothing fails any more, and nothing takes long

	p      *simProcess
	mem    *state.Memory
	config simConfig

	mu          sync.Mutex // of what follows
	books       *simBooks
	places      map[string]*simPlace
	passwords   map[string]string // as the secrets say
	readable    bool              // the types were mended, so that garbled replies can be read
	booting     sync.Mutex        // of boot and booted: the state asks while mu is held
	boot        int
	booted      time.Time
	records     map[string]*simRecord
	mostOrphans map[string]int // that were ever counted
	more        bool           // there are more credentials than the few
	tales       []string       // that this run has
	keys        int            // how many keys there were
	known       map[string]bool
	named       map[string]map[string]bool      // sink -> places that its record names
	contents    map[string]string               // sink -> what it is recorded to hold
	delivered   map[string]int                  // place and credential -> the newest token recorded there
	left        map[string]map[string]time.Time // token -> place -> when it let go of it last
	changes     int                             // of places, so far
	lastWritten int                             // which of them was tokend's last write
	told        int                             // how many of them hooks have told
	before      simConfig
	said        simSaid                        // by all configurations so far
	ending      map[string]bool                // it is being stopped, and these may end with it
	lastOf      [len(simCredentials)]simConfig // the last one on disk that declares each
	changedAt   time.Time                      // since when it is no longer declared
	given       map[string]bool
	took        map[string]time.Time    // when each has had another token in force last
	logged      map[string]int          // logins of each account since nothing fails any more
	intended    map[string]time.Time    // when the last intent of each was about to be written
	heldSinks   []string                // that live on by a configuration before
	revoking    map[string]int          // orders to revoke that are not answered yet
	retrying    map[string]int          // orders to try again that are not answered yet
	limited     [len(simTypeNames)]bool // the configuration that declared its API last has a rate limit
	approved    map[string]bool
	acting      map[string]*simAct
	logins      []simLogin // that persons are at
	devices     map[string]*simDeviceLogin
	declared    int  // how many changes of the configuration there were
	skewed      bool // the clock was put at least once
	skewedAt    time.Time
	steppedAt   time.Time // when the clock was put last, by the time of the world
	setBackAt   time.Time // when the clock was set back last
	steps       simSteps
	fullFrom    time.Time // when the disk became full last
	fullUntil   time.Time // and when it had room again
	stepLost    bool      // nobody knows of a step back any more
	strictSince time.Time
	inForce     time.Time // since when the configuration is in force; zero: it is not yet
	slowUntil   time.Time // by the time that a suspend does not count: places may still be at what they began while they were slow
	begun       []simGivenUp
	slowSecrets map[string]bool // of accounts

	noting  sync.Mutex
	events  []event
	failure string
}

// weather is what goes wrong at present.
type weather struct {
	calls, places, rivals            float64 // how often
	away                             map[string]bool
	diskFull, placesAway, slowPlaces bool
	walls                            map[providers.Op]fate // web pages, instead of what the APIs would have answered
}

func newRun(configs *simConfigs, seed uint64) *simRun {
	s := &simRun{
		draws: newDraws(seed), configs: configs, types: map[string]*simType{}, log: discard(), began: time.Now(), died: make(chan struct{}, 4),
		mem: state.NewMemory(state.MemoryOptions{}), places: map[string]*simPlace{}, passwords: map[string]string{},
		records: map[string]*simRecord{}, mostOrphans: map[string]int{}, known: map[string]bool{}, contents: map[string]string{}, delivered: map[string]int{}, named: map[string]map[string]bool{},
		left: map[string]map[string]time.Time{}, intended: map[string]time.Time{}, given: map[string]bool{}, took: map[string]time.Time{}, logged: map[string]int{}, revoking: map[string]int{}, retrying: map[string]int{}, approved: map[string]bool{}, acting: map[string]*simAct{}, said: simSaid{revoked: map[string]bool{}}, devices: map[string]*simDeviceLogin{}, slowSecrets: map[string]bool{},
	}
	if traced() {
		s.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s.books = newBooks(s)
	s.booted = s.real().Add(-time.Hour)
	for _, name := range simTypeNames {
		s.types[name] = drawType(s.draws, name)
	}
	for i := range simCredentials {
		for _, n := range []string{"1", "2"} {
			account := letterOfSim(i) + n
			s.passwords[account], s.books.password[account] = "right", "right"
		}
	}
	s.w.Store(&weather{})
	s.config.style = s.draws.below("style", "", simStyles)
	for i := range simFew {
		s.config.declared[i] = s.draws.below("declared at first", simCredentials[i], 3)
	}
	s.drawMore()
	s.drawTales()
	return s
}

func (s *simRun) weatherNow() weather { return *s.w.Load() }

// real is the time, as the APIs know it; wall is what the machine's clock says.
func (s *simRun) real() time.Time { return time.Now().Add(time.Duration(s.asleep.Load())) }
func (s *simRun) wall() time.Time { return s.real().Add(time.Duration(s.skew.Load())) }

func (s *simRun) uptime() (string, time.Duration) {
	s.booting.Lock()
	defer s.booting.Unlock()
	return fmt.Sprint("boot ", s.boot), s.real().Sub(s.booted)
}

func (s *simRun) mended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readable
}

func (s *simRun) timeToDie() bool { return s.armed.Load() > 0 && s.armed.Add(-1) == 0 }

// live is the run: a while in which everything may happen, and a while in which
// it has to come right.
func (s *simRun) live() {
	if s.start() {
		s.set()
		for range 10 + s.draws.below("steps", "", 25) {
			untold := s.untold()
			s.wait(s.draws.longOrShort("until the next", "", 20*time.Millisecond, 3*time.Hour))
			s.checkToldSince(untold)
			if s.failed() {
				break
			}
			s.happens()
		}
		if !s.failed() {
			s.comeRight()
		}
	}
	s.gone()
	s.p.once.Do(func() { close(s.p.dead) })
}

// wait lets time go by, and starts what died.
func (s *simRun) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-s.died:
		if s.failed() {
			return
		}
		s.restart(s.draws.longOrShort("down", "", 10*time.Millisecond, 30*time.Minute), s.draws.chance("reboot", "", 0.2))
		// What comes next does not come at the very moment of the start's last step.
		<-time.After(s.draws.between("since the start", "", time.Microsecond, time.Millisecond))
	}
}

// moment lets a little time go by, after which hardly anything happens: which of two
// things at one moment goes first would be nobody's choice.
func (s *simRun) moment(before string) {
	<-time.After(s.draws.between("a moment before", before, time.Microsecond, time.Millisecond))
}

// happens draws what happens next.
func (s *simRun) happens() {
	d := s.draws
	if len(s.tales) > 0 && d.chance("a tale goes on", "", 0.3) {
		s.tell()
		return
	}
	if s.more && d.chance("more", "", 0.3) {
		s.happensMore()
		return
	}
	what := d.below("what", "", 100)
	switch {
	case what < 22:
		s.change()
	case what < 40:
		s.order()
	case what < 52:
		s.armed.Store(int64(1 + d.below("dies after", "", 40)))
	case what < 55:
		s.note("kill", "", "", 0)
		s.p.die()
	case what < 59:
		s.note("stop", "", "", 0)
		s.restart(d.longOrShort("down", "", 10*time.Millisecond, 3*time.Hour), d.chance("reboot", "", 0.3))
	case what < 63:
		s.suspend()
	case what < 66:
		s.step()
	case what < 82:
		s.turn()
	case what < 85:
		s.dismantle()
	case what < 88:
		s.disown()
	case what < 91:
		s.meddle()
	case what < 94:
		s.repassword()
	case what < 97:
		s.approve()
	default:
		s.login()
	}
}

// change draws another configuration; now and then while nothing runs.
func (s *simRun) change() {
	d := s.draws
	c := s.config
	i := d.below("which", "", simFew)
	c.declared[i] = d.below("to what", simCredentials[i], 3)
	if d.chance("another style", "", 0.25) {
		c.style = d.below("style", "", simStyles)
	}
	s.declare(c, d.chance("while down", "", 0.15))
}

// dismantle removes two credentials one soon after the other, where the guard
// allows one within the hour.
func (s *simRun) dismantle() {
	c := s.config
	c.style = 5
	for i := range simFew {
		c.declared[i] = max(c.declared[i], 1)
	}
	s.declare(c, false)
	s.wait(s.draws.longOrShort("before it goes", "", 2*time.Minute, 40*time.Minute))
	for _, i := range [...]int{s.draws.below("goes first", "", 2), 2} {
		if s.failed() {
			return
		}
		c.declared[i] = 0
		s.declare(c, false)
		s.wait(s.draws.longOrShort("before the next goes", "", 8*time.Second, 20*time.Minute))
	}
}

// declare has another configuration from now on.
func (s *simRun) declare(c simConfig, down bool) {
	s.note("change", fmt.Sprint(s.config), fmt.Sprint(c), 0)
	s.mu.Lock()
	if c.style == 5 && s.config.style != 5 {
		s.strictSince = s.real()
	}
	s.declared++
	s.said.also(s.config)
	s.before, s.changedAt = s.config, s.real()
	s.config, s.inForce = c, time.Time{}
	s.begunAnew(c)
	s.mu.Unlock()
	if down {
		s.p.die()
		return
	}
	s.set()
}

func (s *simRun) begunAnew(c simConfig) {
	for i, addr := range simCredentials {
		if c.declares(i) {
			s.limited[slices.Index(simTypeNames[:], typeOfSim(i))] = c.limited()
			s.books.refusals(c.account(i)).pardon(s.real())
			delete(s.given, addr)
		}
	}
}

// suspend has the machine sleep: its timers stand still, the world goes on.
func (s *simRun) suspend() {
	d := s.draws.longOrShort("suspended", "", time.Minute, 8*time.Hour)
	s.moment("asleep")
	s.note("suspend", d.String(), "", 0)
	s.asleep.Add(int64(d))
}

// step puts the machine's clock.
func (s *simRun) step() {
	d := s.draws.longOrShort("stepped", "", time.Second, time.Hour)
	if s.draws.chance("backwards", "", 0.3) {
		d = -d
	}
	s.putClock(d)
}

func (s *simRun) putClock(d time.Duration) {
	s.moment("the clock")
	s.note("clock", d.String(), "", 0)
	s.mu.Lock()
	s.skewed = true
	s.steppedAt = s.real()
	if at := s.wall().Add(max(0, d)); at.After(s.skewedAt) { // a second step back soon after the first is at an earlier hour
		s.skewedAt = at
	}
	if d < 0 {
		s.setBackAt = time.Now()
	}
	s.putOverlaps(d)
	s.mu.Unlock()
	s.skew.Add(int64(d))
}

// turn changes the weather.
func (s *simRun) turn() {
	d := s.draws
	w := weather{away: map[string]bool{}}
	switch d.below("weather", "", 9) {
	case 0, 1, 2:
		w.calls = one(d, "how rough", "", 0.1, 0.5, 0.9)
	case 3:
		w.calls, w.places, w.rivals = 0.3, 0.3, 0.1
	case 4:
		w.away["https://one.example"] = true
	case 5:
		w.diskFull = true
	case 6:
		w.placesAway, w.calls = true, 0.2
	case 7:
		w.slowPlaces, w.calls = true, 0.2
	}
	s.note("weather", fmt.Sprintf("%+v", w), "", 0)
	s.becomes(&w)
}

// becomes has other weather from now on. What a slow place has begun still takes
// its time.
func (s *simRun) becomes(w *weather) {
	was, now := s.weatherNow(), time.Now()
	if was.slowPlaces {
		s.slowUntil = now.Add(slowest)
	}
	switch {
	case w.diskFull && !was.diskFull:
		s.fullFrom = now
	case was.diskFull && !w.diskFull:
		s.fullUntil = now
	}
	s.w.Store(w)
}

// meddle has somebody else write to a place.
func (s *simRun) meddle() {
	place := one(s.draws, "meddled with", "", "a", "b", "c", "both", "a-elsewhere")
	s.mu.Lock()
	s.hold(place, "")
	s.mu.Unlock()
	s.note("meddle", place, "", 0)
	s.wake()
}

// wake tells the loop, as the watches do, that somebody wrote to places.
func (s *simRun) wake() {
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil {
		return
	}
	var addrs []string
	for _, l := range v.Sinks {
		addrs = append(addrs, l.Address)
	}
	_ = s.p.loop.Wake(context.Background(), addrs)
}

// disown has an API end a token and tell nobody: alone, or with all that would
// bring another. Only where tokend asks can it come to know.
func (s *simRun) disown() {
	addr := one(s.draws, "disowned", "", simCredentials[:simFew]...)
	s.mu.Lock()
	a := s.books.access[s.record(addr).access]
	if a == nil || !s.config.verified() {
		s.mu.Unlock()
		return
	}
	a.dead, a.disowned = true, true
	if s.draws.chance("with its grant", "", 0.4) {
		a.grant.end()
		for _, x := range a.grant.access {
			x.disowned = true // also one that nobody could read yet
		}
	}
	s.mu.Unlock()
	s.note("disown", addr, a.token, 0)
}

// repassword changes an account's password at the API, and sooner or later in
// the secret.
func (s *simRun) repassword() {
	s.repasswordOf(one(s.draws, "account", "", "a1", "a2", "b1", "b2"))
}

func (s *simRun) repasswordOf(account string) {
	account = s.person(account)
	d := s.draws
	password := fmt.Sprint("p", d.below("password", account, 3))
	tell := d.chance("told", account, 0.5)
	s.mu.Lock()
	s.books.password[account] = password
	if tell {
		s.secretIs(account, password)
	}
	s.mu.Unlock()
	s.note("password", account, password, 0)
	if tell {
		_ = s.p.loop.Touched(context.Background(), nil, true)
	}
}

func (s *simRun) secretIs(account, password string) {
	s.passwords[account] = password
	s.books.refusals(account).pardon(s.real())
}
