package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/providers/login"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// simDevice is a device code, as the API knows it that gave it (RFC 8628).
type simDevice struct {
	simCode
	interval, atFirst time.Duration // between two questions: as the server wants it by now, and as it said at first
	decides           time.Time     // when the person does
	approves          bool
	ends              time.Time
	asked             time.Time // when last
	grant             *simGrant // that it brought; nil: not yet
}

// simDeviceReply is the body of the reply to a request for a device code.
type simDeviceReply struct {
	Device         string
	Interval, Life time.Duration
}

// giveDevice is what an API makes of a request for a device code.
func (b *simBooks) giveDevice(e *simEndpoint, c providers.Call) (string, *providers.Error) {
	account, err := c.Inputs.String("account")
	if err != nil {
		b.s.fail("a device code is asked for, and not for whom: %v", err)
	}
	if b.ended[account] {
		return "", refusedCall(c.Op, providers.ClassPermanent, "the account was ended")
	}
	d, now := b.s.draws, b.s.real()
	given := simDeviceReply{Device: fmt.Sprint("device", len(b.devices)+1), Interval: d.longOrShort("interval", "device", time.Second, 20*time.Second), Life: d.longOrShort("code lasts", "device", time.Minute, 40*time.Minute)}
	b.devices[given.Device] = &simDevice{
		simCode: simCode{account, e.base}, interval: given.Interval, atFirst: given.Interval, ends: now.Add(given.Life),
		decides: now.Add(d.longOrShort("decides", "device", 100*time.Millisecond, given.Life+given.Life/4)), approves: d.chance("approves", "device", 0.85),
	}
	body, err := json.Marshal(given)
	if err != nil {
		panic(err)
	}
	return string(body), nil
}

// poll is what an API says of a device code (RFC 8628 section 3.5).
func (b *simBooks) poll(e *simEndpoint, c providers.Call, account string) (string, *providers.Error) {
	code, now := c.Flow.DeviceCode.Reveal(), b.s.real()
	d, ok := b.devices[code]
	if !ok {
		b.s.fail("it is asked about the device code %q, which nobody gave", code)
		return "", refusedCall(c.Op, providers.ClassPermanent, "no such code")
	}
	b.checkPoll(e, account, code, d)
	early := !d.asked.IsZero() && now.Sub(d.asked) < d.interval
	d.asked = now
	refused := func(class providers.Class, code string) (string, *providers.Error) {
		err := refusedCall(c.Op, class, code)
		err.Code = code
		return "", err
	}
	switch {
	case d.grant != nil:
		if e.typ.reuseKills {
			d.grant.end()
		}
		return refused(providers.ClassPermanent, "invalid_grant")
	case b.ended[account]:
		return refused(providers.ClassPermanent, "access_denied")
	case now.After(d.ends):
		return refused(providers.ClassPermanent, "expired_token")
	case early, now.Before(d.decides) && b.s.draws.chance("slow down", code, 0.15):
		d.interval += 5 * time.Second
		return refused(providers.ClassThrottled, providers.CodeSlowDown)
	case now.Before(d.decides):
		return refused(providers.ClassTransient, providers.CodePending)
	case !d.approves:
		return refused(providers.ClassPermanent, "access_denied")
	}
	body := b.issue(e.typ, account, e.base, c.Grant)
	d.grant = b.grants[len(b.grants)-1]
	return body, nil
}

// checkPoll: a question goes where the code is from, as often as the server allows,
// with an intent that says so; and none about a code whose answer is on disk.
func (b *simBooks) checkPoll(e *simEndpoint, account, code string, d *simDevice) {
	s := b.s
	rec := s.record(addressOf(account))
	if rec.open != "poll" {
		s.fail("it is asked about the device code %s, and no intent says so", code)
	}
	if d.simCode != (simCode{account, e.base}) {
		s.fail("the device code for %s of %s is sent to %s for %s", d.account, d.origin, e.base, account)
	}
	gap := s.real().Sub(d.asked)
	if wait := d.atFirst + e.p.slowed[code]; !d.asked.IsZero() && gap < wait {
		s.fail("it is asked about the device code %s after %s, and the interval is %s", code, gap, wait)
	}
	if d.grant == nil {
		return
	}
	if token := d.grant.access[0].token; s.known[token] || strings.Contains(rec.raw, `"`+token+`"`) {
		s.fail("the device code %s is sent again, and %s, which it brought, is on disk", code, token)
	}
}

// slows notes that tokend has heard that it is to ask less often.
func (e *simEndpoint) slows(c providers.Call, refused *providers.Error) {
	if refused.Code == providers.CodeSlowDown {
		e.p.slowed[c.Flow.DeviceCode.Reveal()] += 5 * time.Second
	}
}

// simDeviceLogin is a login by a device code as the daemon has it that polls: what it
// began with. That it waits is a value of the state.
type simDeviceLogin struct {
	addr, device string
	call         reconcile.LoginCode
	began, until time.Time
	interval     time.Duration
}

// metaSimLogins is that value: the codes that are waited for.
const metaSimLogins = "logins"

// simPolls are the logins by a device code that one process is at.
type simPolls struct {
	mu   sync.Mutex
	open map[string]chan struct{} // by the code; closed when another takes its place

	keeping chan struct{} // one write of them at a time: a lock that is seen to be waited for
}

// drawDevice has a person begin a login by a device code, and what may come in the
// way of it.
func (s *simRun) drawDevice() {
	d := s.draws
	if d.chance("declared", "device", 0.3) && !s.config.declares(2) {
		c := s.config
		c.declared[2] = 1 + d.below("to what", "device", 2)
		s.declare(c, false)
	}
	s.beginDevice()
	if d.chance("again", "device", 0.2) {
		s.moment("device")
		s.beginDevice() // before the first has its answer, perhaps before it has its code
	}
	s.wait(d.longOrShort("at the device", "", 20*time.Millisecond, 20*time.Minute))
	if s.failed() {
		return
	}
	switch what := d.below("meanwhile", "device", 10); {
	case what < 4:
		s.armed.Store(int64(1 + d.below("dies after", "device", 20)))
	case what < 5:
		s.restart(d.longOrShort("down", "device", 10*time.Millisecond, 30*time.Minute), false)
	case what < 6:
		c := s.config
		c.declared[2] = d.below("to what", "device", 3)
		s.declare(c, d.chance("while down", "device", 0.3))
	case what < 7:
		s.becomes(&weather{calls: 0.6})
	case what < 8:
		s.orderFor(simCredentials[2])
	}
}

// beginDevice has a person begin a login by a device code.
func (s *simRun) beginDevice() {
	addr, p := s.config.nameOf(simCredentials[2]), s.p
	s.note("device login", addr, "", 0)
	p.asking.Add(1)
	go func() {
		defer p.asking.Done()
		if err := p.beginDevice(addr); err != nil && !p.isDead() { // who is killed answers nobody
			s.note("answer", "device login "+addr, err.Error(), 0)
		}
	}()
}

func (p *simProcess) beginDevice(addr string) error {
	s := p.s
	ep, call, want, err := p.loop.LoginCall(p.ctx, addr)
	if err != nil {
		return err
	}
	ask := call
	ask.Op = providers.OpDevice
	var given simDeviceReply
	err = p.loop.Ask(p.ctx, want, ep, ask, func(r *providers.Reply) error {
		return json.Unmarshal([]byte(r.Body.Reveal()), &given)
	})
	if err != nil {
		return err
	}
	origins, err := ep.Origins(call.Grant, call.Inputs)
	if err != nil || p.isDead() {
		return errors.Join(err, p.ctx.Err())
	}
	now := s.wall()
	l := &simDeviceLogin{addr: addr, device: given.Device, began: now, until: now.Add(given.Life), interval: given.Interval,
		call: reconcile.LoginCode{Flow: providers.Flow{DeviceCode: secret.New(given.Device)}, Began: call, Origins: origins}}
	s.mu.Lock()
	s.devices[l.device] = l
	s.mu.Unlock()
	done := make(chan struct{})
	p.polls.mu.Lock()
	for code, old := range p.polls.open {
		close(old) // another takes its place
		delete(p.polls.open, code)
	}
	p.polls.open[l.device] = done
	p.polls.mu.Unlock()
	p.keepPolls()
	p.poll(l, done)
	return nil
}

// keepPolls writes into the state which codes are waited for.
func (p *simProcess) keepPolls() {
	p.polls.keeping <- struct{}{}
	defer func() { <-p.polls.keeping }()
	p.polls.mu.Lock()
	codes := slices.Sorted(maps.Keys(p.polls.open))
	p.polls.mu.Unlock()
	b, err := json.Marshal(codes)
	if err != nil {
		panic(err)
	}
	_ = p.disk.Commit(context.WithoutCancel(p.ctx), state.Change{MetaKey: metaSimLogins, Meta: b})
}

// resumePolls goes on with the logins that wait since before a restart.
func (p *simProcess) resumePolls() {
	s := p.s
	b, err := p.disk.Meta(p.ctx, metaSimLogins)
	var codes []string
	if err != nil || json.Unmarshal(b, &codes) != nil {
		return
	}
	over := false
	for _, code := range codes {
		s.mu.Lock()
		l := s.devices[code]
		s.mu.Unlock()
		token, unread, _ := p.loop.Answered(p.ctx, l.addr, l.began, l.call.Flow.DeviceCode)
		if token || unread || s.wall().After(l.until) {
			s.note("device login over", l.addr, code, 0)
			over = true
			continue
		}
		done := make(chan struct{})
		p.polls.mu.Lock()
		p.polls.open[code] = done
		p.polls.mu.Unlock()
		p.asking.Add(1)
		go func() {
			defer p.asking.Done()
			p.poll(l, done)
		}()
	}
	if over {
		p.keepPolls()
	}
}

// poll asks about a device code until there is an answer, as the daemon does.
func (p *simProcess) poll(l *simDeviceLogin, done chan struct{}) {
	s := p.s
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-p.dead:
			cancel()
		case <-over:
		}
	}()
	err := p.loop.Poll(ctx, reconcile.Polling{
		Address: l.addr, Code: l.call, Asks: login.NewPoll(l.interval), Until: l.until, Done: done,
		Failed: func(err error) {
			if !p.isDead() { // who is killed answers nobody
				s.note("answer", "device "+l.device, err.Error(), 0)
			}
		},
	})
	if p.isDead() || errors.Is(err, reconcile.ErrUndecided) {
		return
	}
	if err == nil {
		s.note("answer", "device "+l.device, "done", 0)
	}
	p.polls.mu.Lock()
	if p.polls.open[l.device] == done {
		delete(p.polls.open, l.device)
	}
	p.polls.mu.Unlock()
	p.keepPolls()
}
