package reconcile_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"tokend/pkg/reconcile"
)

// comeRight ends all faults, does what status asks a person to do, and looks at
// what is left.
func (s *simRun) comeRight() {
	s.note("calm", "", "", 0)
	s.armed.Store(0)
	s.calm.Store(true)
	s.becomes(&weather{})
	if s.has(taleSecrets) {
		s.slowUntil = time.Now().Add(slowest)
	}
	s.wait(max(time.Second, time.Until(s.slowUntil)))
	s.mu.Lock()
	s.readable = true
	s.books.reopen()
	for account, p := range s.books.password {
		if s.passwords[account] != p {
			s.secretIs(account, p)
		}
	}
	s.mu.Unlock()
	s.set()
	_ = s.p.loop.Touched(context.Background(), nil, true)
	s.mu.Lock()
	written := s.lastWritten
	s.mu.Unlock()
	s.wait(40 * time.Second)
	s.checkFresh()
	s.wait(5 * time.Second)
	s.checkTold(written)
	for range 8 {
		if s.failed() {
			return
		}
		s.mendAll()
		s.wait(12 * time.Minute)
	}
	// What was written a moment ago may still wait for its hook.
	s.mu.Lock()
	written = s.lastWritten
	s.mu.Unlock()
	s.wait(45 * time.Second)
	s.mendReopened()
	s.mendLate()
	s.settled()
	s.p.disk.flushAll()
	s.checkEnd(written)
}

// settled waits a little for what has just begun: a refresh may be on its way at this
// very moment, a token that came a moment ago is not ready everywhere, and a rate
// limit has its own time.
func (s *simRun) settled() {
	for range 5 {
		v, err := s.p.loop.Status(context.Background(), "")
		if err != nil || v.Counts[reconcile.Pending] == 0 && s.quiet() {
			return
		}
		s.wait(simPer)
	}
}

// quiet says that nothing has happened for a moment.
func (s *simRun) quiet() bool {
	s.noting.Lock()
	defer s.noting.Unlock()
	return time.Since(s.began)-s.events[len(s.events)-1].at > simPer/2
}

// mendAll does what status says that would mend each address.
func (s *simRun) mendAll() {
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil {
		s.fail("asking for the status: %v", err)
		return
	}
	if v.Held != nil {
		s.approve()
	}
	s.mu.Lock()
	s.books.reopen() // also what an action ended that was ordered before everything was there again
	s.mu.Unlock()
	for _, l := range v.Sinks {
		if l.State == reconcile.Held && strings.HasPrefix(l.Mend, "take the moved block out") {
			s.note("status", l.Address, string(l.State)+": "+l.Why, 0)
			s.unmove()
			break
		}
	}
	for _, l := range v.Credentials {
		s.note("status", l.Address, string(l.State)+": "+l.Why, 0)
		if s.waitsForSharer(l) {
			continue
		}
		switch l.State {
		case reconcile.Ready:
			if l.Why != "" {
				s.heed(l)
			}
		case reconcile.NeedsLogin, reconcile.Indeterminate:
			if strings.Contains(l.Mend, "login") {
				s.login()
			}
		case reconcile.Unread, reconcile.Stopped:
			if s.loginHelps(l) {
				s.login()
			}
			s.retry(l.Address)
		}
	}
}

// heed does what status says of a credential that is ready all the same.
func (s *simRun) heed(l reconcile.Line) {
	switch {
	case strings.Contains(l.Mend, "login"):
		s.login()
	case strings.HasPrefix(l.Mend, "tokend refresh "):
		s.orderOf(firstName(l.Address), reconcile.Order{Kind: reconcile.OrderRefresh})
	default:
		s.retry(l.Address)
	}
}

func (s *simRun) retry(addr string) {
	s.mu.Lock()
	s.pardon(firstName(addr))
	s.mu.Unlock()
	s.ask("retry", addr, func(ctx context.Context, loop *reconcile.Loop) error {
		return loop.Do(ctx, addr, reconcile.Order{Kind: reconcile.OrderRetry})
	})
}

// unmove takes the moved block out of a configuration: what it led elsewhere has
// two records, and status says that this has one of them removed.
func (s *simRun) unmove() {
	c := s.config
	c.style = simRenamed
	s.declare(c, false)
}

// checkFresh: half a minute after everything is there again, no place holds a
// token that has expired, unless tokend was asked to wait.
func (s *simRun) checkFresh() {
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil || v.Held != nil {
		return
	}
	waits := map[string]bool{}
	for _, l := range append(v.Credentials, v.Sinks...) {
		waits[firstName(l.Address)] = l.State != reconcile.Ready && l.State != reconcile.Pending
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.skewed {
		return
	}
	for place, p := range s.places {
		if place == "both" && (waits[simCredentials[0]] || waits[simCredentials[1]]) {
			continue // one of its tokens is not there, and without it nothing can be written
		}
		for _, t := range strings.Fields(p.content) {
			a := s.books.access[t]
			if a == nil {
				continue
			}
			addr := a.grant.addr
			if i := int(place[0] - 'a'); slices.Contains(simSharers[:], i) {
				addr = simCredentials[i] // it may have been issued for the other one
			}
			if s.real().After(a.expires) && !waits[addr] && s.ready(addr) {
				s.fail("%s holds %s, which expired %s ago", place, t, s.real().Sub(a.expires))
			}
		}
	}
}

// checkTold: two runs of a hook after everything is there again, the last write of
// before is told, unless a hook that failed waits for its next try. What changes
// later would tell of it anyway, and hide that it was forgotten.
func (s *simRun) checkTold(written int) {
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil {
		return
	}
	for _, l := range v.Hooks {
		if l.State != reconcile.Ready {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told < written {
		s.fail("the hooks were told of %d changes, and the last write was the %dth", s.told, written)
	}
}

// simWrite is tokend's last write at one time, of which no hook had been told then.
type simWrite struct {
	n  int // 0: the hooks knew of all
	p  *simProcess
	at time.Time
}

func (s *simRun) untold() simWrite {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told >= s.lastWritten {
		return simWrite{}
	}
	return simWrite{s.lastWritten, s.p, time.Now()}
}

// checkToldSince: a while in which one process ran, and nothing kept it from that,
// was enough to tell hooks of what was written before.
func (s *simRun) checkToldSince(w simWrite) {
	now := s.weatherNow()
	if w.n == 0 || w.p != s.p || s.p.isDead() || time.Since(w.at) < 5*time.Minute || now.placesAway || now.slowPlaces || now.diskFull || now.places > 0 || time.Now().Before(s.slowUntil.Add(5*time.Minute)) {
		return
	}
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil {
		return
	}
	for _, l := range append(v.Sinks, v.Hooks...) {
		if l.State != reconcile.Ready {
			return // a hook that failed waits for its next try, and a place that did for its next write
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told < w.n && !s.inForce.IsZero() {
		s.fail("the hooks were told of %d changes after %s, and the last write was the %dth", s.told, time.Since(w.at), w.n)
	}
}

func (s *simRun) ready(addr string) bool {
	for i, a := range simCredentials {
		if a == addr {
			return s.config.declares(i)
		}
	}
	return false
}

// waitsForTheNewOne says that a line tells of an ordered revocation that failed and would
// end the token in force now: it waits until a person has that one revoked, too.
func (s *simRun) waitsForTheNewOne(l reconcile.Line) bool {
	rec := s.records[l.Address]
	return l.State == reconcile.Ready && strings.HasPrefix(l.Mend, "tokend revoke ") && rec != nil && rec.access != "" &&
		slices.ContainsFunc(rec.retiring, func(r simRetired) bool { return r.cause == "revoke" })
}

// checkEnd: what is declared is there and works, what is not is gone, and what
// lives is known or counted; hooks have told of what was written.
func (s *simRun) checkEnd(written int) {
	v, err := s.p.loop.Status(context.Background(), "")
	if err != nil {
		s.fail("asking for the status: %v", err)
		return
	}
	prevented, awaited, heirs := map[string]bool{}, map[string]bool{}, map[string]bool{}
	shares := map[string]bool{}
	var removing []reconcile.Line
	shown := map[string]int{}
	for _, l := range append(append(v.Credentials, v.Sinks...), v.Hooks...) {
		shown[firstName(l.Address)] += l.Orphans
		if l.State == reconcile.Removed && l.Orphans > 0 {
			continue
		}
		if l.State == reconcile.Held && strings.Contains(l.Mend, "prevent_destroy") {
			prevented[firstName(l.Address)] = true
			continue
		}
		if l.State == reconcile.Waiting && s.waitsForNone(l.Why, prevented) || waitsForPrevented(l, prevented) != "" {
			if l.State == reconcile.Waiting {
				awaited[waitsForPrevented(l, prevented)], heirs[l.Address] = true, true
			}
			continue
		}
		if s.waitsForSharer(l) || strings.Contains(l.Why, "which has the same refresh token") {
			shares[firstName(l.Address)] = true
			continue
		}
		if l.State == reconcile.Waiting && strings.HasPrefix(l.Address, "sink.") && slices.ContainsFunc(simSharers[:], func(i int) bool {
			return shares[simCredentials[i]] && strings.HasSuffix(l.Why, strings.TrimPrefix(s.config.nameOf(simCredentials[i]), "credential."))
		}) {
			awaited[l.Address] = true
			continue
		}
		if l.State == reconcile.Removing && strings.HasPrefix(l.Address, "sink.") {
			removing = append(removing, l)
			continue
		}
		if (l.State != reconcile.Ready || l.Why != "") && !s.loggedOut(l) && !s.waitsForTheNewOne(l) {
			s.fail("%s is %s, although nothing fails any more: %s", l.Address, l.State, l.Why)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.leftToHeirs(removing, heirs)
	real := s.real()
	for i, addr := range simCredentials {
		r := s.record(addr)
		if s.checkForgotten(addr); r.open != "" {
			s.fail("an intent of %s is open", addr)
		}
		if n := r.orphans.Living(s.wall()); shown[addr] < n && !s.skewed {
			s.fail("%d orphans of %s may live, and status shows %d", n, addr, shown[addr])
		}
		switch a := s.books.access[r.access]; {
		case prevented[addr], shares[addr], a != nil && s.overtaken(addr, a.grant):
		case s.config.declares(i) && a != nil && a.disowned && !s.config.verified(): // nobody asks whether it is honoured
		case !s.config.declares(i) && (r.grant != nil || len(r.retiring) > 0):
			s.fail("%s is not declared, and still has a token", addr)
		case s.config.declares(i) && (a == nil || !a.lives(real) && !s.stepLost) && !s.refreshEnded(r):
			s.fail("%s has no token that works", addr)
		case s.config.declares(i) && a.grant.typ.traits.Static && a.token != s.passwords[s.config.account(i)]:
			s.fail("%s has %s, and the key is %s", addr, a.token, s.passwords[s.config.account(i)])
		}
	}
	for addr := range shares {
		left[lastOf(addr)] = s.record(addr).access == "" // it keeps what it had until there is another
	}
	s.checkPlaces(prevented, awaited, left)
	if s.told < written {
		s.fail("the hooks were told of %d changes, and the last write was the %dth", s.told, written)
	}
}

// waitsForNone: a sink waits for a token that is not there, of a credential that may
// not be replaced: the refresh token that was taken over for it gave none.
func (s *simRun) waitsForNone(why string, prevented map[string]bool) bool {
	for addr := range prevented {
		s.mu.Lock()
		none := s.record(addr).access == ""
		s.mu.Unlock()
		if none && strings.HasSuffix(why, strings.TrimPrefix(addr, "credential.")) {
			return true
		}
	}
	return false
}

// loggedOut: its refresh token has ended by itself, which only a person mends;
// the last one looked a while ago.
func (s *simRun) loggedOut(l reconcile.Line) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.State == reconcile.NeedsLogin && s.refreshEnded(s.record(firstName(l.Address)))
}

func (s *simRun) refreshEnded(r *simRecord) bool {
	t := s.books.refresh[r.refresh]
	return t != nil && t.grant.typ.traits.Interactive && !t.expires.IsZero() && s.real().After(t.expires)
}

// checkPlaces: each place holds what its sink says, and no other holds anything. One
// that is new, or was removed and is declared again, is empty until there is what
// it names; and one that shall be elsewhere is where it was until then. left are those
// that wait as they are for a sink which waits itself.
func (s *simRun) checkPlaces(prevented, awaited, left map[string]bool) {
	want, stays := map[string]string{}, map[string]bool{}
	for place, of := range s.config.places() {
		var tokens []string
		for _, i := range of {
			tokens = append(tokens, s.contentNow(i))
			stays[place] = stays[place] || prevented[simCredentials[i]] && s.config.richness(i) == richOnly || awaited[simCredentials[i]] && s.place(place).content == ""
		}
		want[place] = strings.Join(tokens, " ")
	}
	for place, content := range want {
		if !stays[place] && !left[place] && s.place(place).content != content {
			s.fail("%s holds %q and shall hold %q", place, s.place(place).content, content)
		}
	}
	for place, p := range s.places {
		here := strings.TrimSuffix(place, "-elsewhere")
		moves := stays[here] || stays[here+"-elsewhere"] // once it can be written at its new place
		if want[place] == "" && p.content != "" && !moves && !left[place] {
			s.fail("%s still holds %q", place, p.content)
		}
	}
}

// counted is how many orphans of an address may live, as its record says. By a clock
// that was put they are counted too long or too short, and where an API gives a token
// again, whose life is another each time.
func (s *simRun) counted(addr string, r *simRecord) int {
	if s.skewed || s.config.shared && s.types[typeOfSim(simSharers[0])].repeats {
		return s.mostOrphans[addr]
	}
	return r.orphans.Living(s.wall())
}
