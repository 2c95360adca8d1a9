package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"tokend/pkg/state"
)

// A provider counts on when tokend is started anew. So the state says when requests
// were sent to each that has a rate limit: that is written together with what each of
// them has to be recorded for anyway, its intent before it is sent and its outcome
// after, and by itself only before one that spends nothing and has no intent. The
// first request under a limit since the start goes by what is read back.
//
// What is kept are times before which a request has certainly arrived: of one that was
// answered that of the reply, of one that is about to be sent the latest at which that
// is done without saying so again. How long ago they are a clock tells that nobody can
// step; after a reboot there is only the wall clock, and where that went back meanwhile
// as little is taken to have passed as is certain. Nothing counts as later than the
// start, so that nobody waits for longer than one length of the limit.

const (
	// metaSent is before the keyed hash of a lane's name. (A name may be longer than a key.)
	metaSent = "sent/"
	// reservedFor is how long after its intent a request may be sent without another
	// word about it: longer than they mostly wait for their turn.
	reservedFor = paceAheadMost + paceLong
	// sentGrains is how many times of a limit's length are told apart: requests that are
	// nearer to each other count as the last of them.
	sentGrains = 64
)

// sentBefore is what the state keeps of one lane.
type sentBefore struct {
	Boot string        `json:"boot,omitempty"` // of the machine, when it was written
	Up   time.Duration `json:"up"`             // since that boot
	At   time.Time     `json:"at"`             // when it was written, by the wall clock
	// Sent are the latest times at which requests arrived, oldest first, in
	// milliseconds from At, and how many each stands for.
	Sent [][2]int64 `json:"sent"`
}

func sentKey(s state.Store, lane string) string {
	return metaSent + s.Hash("sent", []byte(lane))
}

// reserve says that a request is about to be sent whose worker has this seat.
func (s *seat) reserve(now time.Time) {
	if s == nil {
		return
	}
	p := s.p.lockInForce()
	defer p.mu.Unlock()
	if p.reserved == nil {
		p.reserved = map[*seat]time.Time{}
	}
	p.reserved[s] = now
}

// reserved reports whether that was said, and what was said holds still.
func (s *seat) reserved(now time.Time) bool {
	if s == nil {
		return false
	}
	p := s.p.lockInForce()
	defer p.mu.Unlock()
	at, ok := p.reserved[s]
	return ok && now.Sub(at).Abs() < reservedFor
}

// release takes that back.
func (s *seat) release() {
	p := s.p.lockInForce()
	defer p.mu.Unlock()
	delete(p.reserved, s)
}

// lockInForce locks the limit that holds now in the place of this one.
func (p *pace) lockInForce() *pace {
	for {
		p.mu.Lock()
		after := p.after
		if after == nil {
			return p
		}
		p.mu.Unlock()
		p = after
	}
}

// sentGrain is some requests that are near to each other: when the first of them
// arrived and the last, at the latest, and how many they are.
type sentGrain struct {
	first, last time.Time
	n           int64
}

// addGrain adds a request to grains, oldest first, of which each is so long.
func addGrain(grains []sentGrain, long time.Duration, arrived time.Time, n int64) []sentGrain {
	if i := len(grains) - 1; i >= 0 && arrived.Sub(grains[i].first) <= long {
		g := &grains[i]
		if arrived.After(g.last) {
			g.last = arrived
		}
		g.n += n
		return grains
	}
	return append(grains, sentGrain{arrived, arrived, n})
}

// settle moves what is known of requests for good, since they were answered or are taken
// for arrived, from the ring into grains: the ring of a great limit has thousands, and
// is looked at twice for each request. The caller holds mu.
func (p *pace) settle(now time.Time) {
	size := uint64(len(p.ring))
	p.settled = max(p.settled, p.count-min(p.count, size))
	for ; p.settled < p.count; p.settled++ {
		r := &p.ring[p.settled%size]
		if r.ended.IsZero() && r.sent.Add(p.grace).After(now) {
			break
		}
		p.grains = addGrain(p.grains, p.per/sentGrains, p.arrived(r), 1)
	}
	over := 0
	for over < len(p.grains) && !p.grains[over].last.Add(p.per).After(now) {
		over++
	}
	p.grains = slices.Delete(p.grains, 0, over)
}

// sent is what the state is to keep, at a time; nil: nothing that still counts.
func (p *pace) sent(now time.Time, boot string, up time.Duration) []byte {
	p = p.lockInForce()
	defer p.mu.Unlock()
	rec := sentBefore{Boot: boot, Up: up, At: now.Round(0).UTC()}
	long := p.per / sentGrains
	p.settle(now)
	all := slices.Clone(p.grains)
	for i := p.settled; i < p.count; i++ {
		if at := p.arrived(&p.ring[i%uint64(len(p.ring))]); at.Add(p.per).After(now) {
			all = addGrain(all, long, at, 1)
		}
	}
	if n := len(p.reserved); n > 0 {
		var latest time.Time
		for _, at := range p.reserved {
			if at.After(latest) {
				latest = at
			}
		}
		all = addGrain(all, long, latest.Add(reservedFor), int64(n))
	}
	if len(all) == 0 {
		return nil
	}
	for _, g := range all {
		rec.Sent = append(rec.Sent, [2]int64{int64(math.Ceil(float64(g.last.Sub(now)) / float64(time.Millisecond))), g.n})
	}
	b, err := json.Marshal(rec)
	if err != nil {
		panic(fmt.Sprintf("encoding when requests were sent: %v", err)) // of numbers and one time
	}
	return b
}

// recall has a limit that begins take over what was sent before the start. It is not
// shared yet.
func (p *pace) recall(rec sentBefore, now time.Time, boot string, up time.Duration) {
	passed := rec.passed(now, boot, up)
	for _, s := range rec.Sent {
		at := now.Add(min(0, time.Duration(s[0])*time.Millisecond-passed))
		for range min(max(s[1], 0), int64(len(p.ring))) {
			p.count++
			p.ring[(p.count-1)%uint64(len(p.ring))] = passage{number: p.count, sent: at, ended: at}
		}
	}
	if p.count > 0 {
		p.next = p.ring[(p.count-1)%uint64(len(p.ring))].sent.Add(p.every)
	}
}

// passed is how much time has certainly passed since it was written.
func (r *sentBefore) passed(now time.Time, boot string, up time.Duration) time.Duration {
	if boot != "" && boot == r.Boot {
		return max(0, up-r.Up)
	}
	if d := now.Round(0).Sub(r.At); d >= 0 {
		return d
	}
	if boot == "" {
		return 0
	}
	return up // the clock was set back, but it was written before this boot
}

// recallSent reads back what was sent to a lane before its limit began. Where that cannot be
// read, as much was sent just now as it allows.
func (l *Loop) recallSent(lane string, p *pace) {
	store, now := l.recorded(), l.o.Now()
	boot, up := l.o.Uptime()
	b, err := store.Meta(context.Background(), sentKey(store, lane))
	if errors.Is(err, state.ErrNotFound) {
		return
	}
	var rec sentBefore
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	if err != nil {
		l.log.Warn("reading how many requests were sent of late failed; as many as its limit allows are taken for sent just now", "provider", lane, "error", err)
		rec = sentBefore{Boot: boot, Up: up, At: now, Sent: [][2]int64{{0, int64(len(p.ring))}}}
	}
	p.recall(rec, now, boot, up)
}

// sent is the change that has the state keep what is sent under the job's limit; none
// where it has no limit.
func (w *worker) sent(j *job) []state.Change {
	if j.pace == nil {
		return nil
	}
	p := j.pace
	return []state.Change{{MetaKey: sentKey(w.store, j.lane.base().name), MetaNow: func() []byte {
		boot, up := w.o.Uptime()
		return p.sent(w.now(), boot, up)
	}}}
}

// keepSent says by itself that a request is about to be sent, or was sent later than had
// been said. Where the disk does not take that it is sent all the same: it spends
// nothing, or what it spends is recorded.
func (w *worker) keepSent(j *job) {
	if err := w.store.Commit(context.Background(), w.sent(j)...); err != nil {
		w.log.Debug("recording that a request is sent failed; a start would not count it", "address", j.addr, "error", err)
	}
}
