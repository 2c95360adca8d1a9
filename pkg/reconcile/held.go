package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"tokend/pkg/state"
)

// HeldChange is a change that the guard holds back.
type HeldChange struct {
	// ID tells it from any other change, also of the same addresses: an approval
	// is for the one that was shown.
	ID          string    `json:"id"`
	Since       time.Time `json:"since"`
	Reason      string    `json:"reason"`
	Rule        HeldRule  `json:"rule,omitempty"`
	Revocations []string  `json:"revocations,omitempty"` // addresses of credentials
	Sinks       []string  `json:"sinks,omitempty"`
	// Steps say what would be done with each of them, and why.
	Steps []HeldStep `json:"steps,omitempty"`

	all []candidate // the same, with what exactly is held of each
}

// HeldRule is the rule by which a change is held back, in one word.
type HeldRule string

// The rules.
const (
	HeldRevocations HeldRule = "max_revocations"
	HeldPercent     HeldRule = "max_revoked_percent"
	HeldEmptied     HeldRule = "emptied"    // the configuration declares no credential any more
	HeldOrigin      HeldRule = "origin"     // an API's address changed
	HeldUnreadable  HeldRule = "unreadable" // what declared something last cannot be read back
)

// HeldStep is what a held change would do to one address.
type HeldStep struct {
	Address string `json:"address"`
	Action  Action `json:"action"` // revoke, replace, drop or remove
	Reason  string `json:"reason"`
}

// Total is what `apply --allow-revocations` has to cover.
func (h *HeldChange) Total() int { return len(h.Revocations) + len(h.Sinks) }

func (h *HeldChange) add(c candidate) {
	h.all = append(h.all, c)
	s := HeldStep{Address: c.addr, Action: ActRevoke, Reason: c.reason}
	switch {
	case c.sink:
		s.Action = ActRemove
		h.Sinks = append(h.Sinks, c.addr)
	case c.replaced:
		s.Action = ActReplace
	case c.forget:
		s.Action = ActDrop
	}
	if !c.sink {
		h.Revocations = append(h.Revocations, c.addr)
	}
	h.Steps = append(h.Steps, s)
}

// seal completes a held change: sorted, and with its identity.
func (h *HeldChange) seal(s state.Store) {
	sort.Strings(h.Revocations)
	sort.Strings(h.Sinks)
	sort.Slice(h.Steps, func(i, j int) bool { return h.Steps[i].Address < h.Steps[j].Address })
	var all strings.Builder
	sort.Slice(h.all, func(i, j int) bool { return h.all[i].addr < h.all[j].addr })
	for i, x := range h.Steps {
		fmt.Fprintf(&all, "%s\x00%s\x00%s\n", x.Address, x.Action, h.all[i].digest)
	}
	const enough = 16
	h.ID = s.Hash("held", []byte(all.String()))
	h.ID = h.ID[:min(enough, len(h.ID))]
}

func (h *HeldChange) addresses() []string { return append(slices.Clone(h.Revocations), h.Sinks...) }

// heldMemory is what is kept of a held change over a restart: since when, and of
// which addresses.
type heldMemory struct {
	Since     time.Time `json:"since"`
	Addresses []string  `json:"addresses"`
}

// continues says since when a change is held that has an address in common with
// one that was held before.
func (m heldMemory) continues(addrs []string) (time.Time, bool) {
	for _, a := range m.Addresses {
		if slices.Contains(addrs, a) {
			return m.Since, true
		}
	}
	return time.Time{}, false
}

func (l *Loop) heldBefore(ctx context.Context) (heldMemory, error) {
	var m heldMemory
	b, err := l.o.Store.Meta(ctx, metaHeld)
	if errors.Is(err, state.ErrNotFound) || err == nil && len(b) == 0 {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		return m, fmt.Errorf("reading what the guard held before: %w", err)
	}
	return m, nil
}

// heldNow is the named value that remembers what is held.
func heldNow(h *HeldChange) (state.Change, error) {
	c := state.Change{MetaKey: metaHeld}
	if h == nil {
		return c, nil
	}
	var err error
	c.Meta, err = json.Marshal(heldMemory{Since: h.Since, Addresses: h.addresses()})
	return c, err
}

// holdBack takes over what the guard holds back, and says so once. It runs in the
// loop's goroutine.
func (l *Loop) holdBack(h *HeldChange) {
	before := l.held
	l.held = h
	switch {
	case l.dry || l.paused: // a person is shown it instead
	case h == nil && before != nil:
		l.log.Info("nothing is held back any more")
	case h != nil && (before == nil || before.ID != h.ID):
		l.log.Warn("a change is held back until a person approves it; everything else goes on", "reason", h.Reason, "since", h.Since,
			"revocations", len(h.Revocations), "sinks", len(h.Sinks), "addresses", list(h.addresses()), "hint", "tokend approve")
	}
}

// Held is the change that the guard holds back, or nil.
func (l *Loop) Held(ctx context.Context) (*HeldChange, error) {
	var h *HeldChange
	err := l.do(ctx, func() { h = l.held })
	return h, err
}

// Approve lets the held change go ahead, at once. shown is what the person saw:
// when the change is another one by now, nothing is approved and ErrChanged is
// returned.
func (l *Loop) Approve(ctx context.Context, shown *HeldChange) error {
	l.setting.Lock()
	defer l.setting.Unlock()
	cfg := l.config.Load()
	var held *HeldChange
	var log guardLog
	err := l.do(ctx, func() { held, log = l.held, l.guard })
	if err != nil {
		return err
	}
	if !sameChange(held, shown) {
		return ErrChanged
	}
	if held == nil {
		return nil
	}
	approved := map[string]string{}
	for _, c := range held.all {
		approved[c.addr] = c.digest
	}
	b, err := json.Marshal(approved)
	if err != nil {
		return err
	}
	log = log.withApproved(held.all, l.o.Now())
	logged, err := json.Marshal(log)
	if err != nil {
		return err
	}
	a := acceptance{approved: true}
	if err := l.do(ctx, func() { a.goesOn = l.goesOnNow() }); err != nil {
		return err
	}
	for i, o := range a.goesOn {
		if _, let := approved[o.addr]; let { // a start is not to go back to what was before
			a.goesOn[i] = o.after(turned{declared: !o.gone})
		}
	}
	if err := l.accept(ctx, cfg, a, state.Change{MetaKey: metaApproved, Meta: b}, state.Change{MetaKey: metaGuardLog, Meta: logged}); err != nil {
		return err
	}
	return l.do(ctx, func() {
		l.log.Info("a held change was approved", "reason", held.Reason, "revocations", len(held.Revocations), "sinks", len(held.Sinks))
		l.held = nil
		l.takeLog(log)
		for a, digest := range approved {
			if it, ok := l.items[a]; ok {
				x := it.ext()
				x.allowed, x.agreed, x.quiet = true, digest, time.Time{}
				l.unhold(it)
				l.wake(it)
				if it.gone {
					l.unsettle(it)
				}
			}
		}
	})
}

// unsettle lets the removed sinks of a credential go at once that was approved to
// go: it waits for them, whichever change removed them. One that is to be replaced
// waits for none: those who approved that were not shown its sinks.
func (l *Loop) unsettle(c *item) {
	for _, u := range c.users {
		if u.kind == kindSink && u.gone && u.x != nil && u.x.guarded == "" && !u.x.quiet.IsZero() {
			u.x.quiet = time.Time{}
			l.wake(u)
		}
	}
}

// ErrChanged: the change to be approved is not the one that was shown.
var ErrChanged = errors.New("the held change is not the one that was shown any more; look at it again")

func sameChange(a, b *HeldChange) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && slices.Equal(a.Revocations, b.Revocations) && slices.Equal(a.Sinks, b.Sinks)
}

// approvals are address -> digest of what a person let go ahead.
func (l *Loop) approvals(ctx context.Context) (map[string]string, error) {
	b, err := l.o.Store.Meta(ctx, metaApproved)
	if errors.Is(err, state.ErrNotFound) || err == nil && len(b) == 0 {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading approvals: %w", err)
	}
	m := map[string]string{}
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("reading approvals: %w", err)
	}
	return m, nil
}
