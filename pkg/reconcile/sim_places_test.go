package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// simPlace is where a sink's value goes; it outlives processes.
type simPlace struct {
	content string
	written string // what tokend wrote last
}

// simSink is the kind of sink of one process.
type simSink struct{ p *simProcess }

// slowest is the longest that a slow place takes.
const slowest = 3 * time.Minute

var errPlace = errors.New("the place is away")

func (k simSink) Render(args spec.Values) (sinks.Desired, error) {
	place, err := args.String("place")
	if err != nil {
		return sinks.Desired{}, err
	}
	content, err := args.Secret("content")
	if err != nil || !args.Cty("content").IsKnown() {
		return sinks.Desired{Place: "mem:" + place}, sinks.ErrUnknown
	}
	return sinks.Desired{Place: "mem:" + place, Content: content.Reveal()}, nil
}

// ready waits as long as the place takes, and says whether it can be used.
func (k simSink) ready(what, place string, longest time.Duration) error {
	if k.p.isDead() {
		return errDead
	}
	s := k.p.s
	w := s.weatherNow()
	if w.slowPlaces {
		longest = slowest
	}
	if !k.p.sleeps(s.draws.longOrShort(what, place, 20*time.Microsecond, longest)) {
		return errDead
	}
	if w.placesAway || s.draws.chance("place fails", place, w.places) {
		return errPlace
	}
	return nil
}

func (k simSink) Check(_ context.Context, d sinks.Desired, _ []byte) (string, error) {
	place := strings.TrimPrefix(d.Place, "mem:")
	if err := k.ready("check", place, 100*time.Microsecond); err != nil {
		return "", err
	}
	s := k.p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.place(place).content != d.Content.(string) {
		return "content differs", nil
	}
	return "", nil
}

func (k simSink) Write(_ context.Context, d sinks.Desired, _ []byte) ([]byte, error) {
	place := strings.TrimPrefix(d.Place, "mem:")
	if err := k.ready("write place", place, 5*time.Millisecond); err != nil {
		return nil, err
	}
	if !k.p.passes("deliver") {
		return nil, errDead
	}
	s := k.p.s
	content := d.Content.(string)
	s.mu.Lock()
	s.checkDelivery(place, content)
	s.hold(place, content)
	if p := s.place(place); p.written != content {
		p.written, s.lastWritten = content, s.changes // a repair brings nothing new: no record tells of it before its hooks have run
	}
	s.mu.Unlock()
	s.note("deliver", place, content, 0)
	if !k.p.passes("delivered") {
		return nil, errDead
	}
	return []byte(place + " " + content), nil
}

func (k simSink) Wrote(d sinks.Desired, written []byte) bool {
	if d.Content == nil {
		return false
	}
	account, err := k.Intend(d)
	return err == nil && string(account) == string(written)
}

func (k simSink) Portray(d sinks.Desired, _ []byte, hash func([]byte) string) (sinks.Portrait, error) {
	content, known := d.Content.(string)
	if !known {
		return sinks.Portrait{}, sinks.ErrUnknown
	}
	return sinks.Portrait{Content: hash([]byte(content))}, nil
}

func (k simSink) Intend(d sinks.Desired) ([]byte, error) {
	return []byte(strings.TrimPrefix(d.Place, "mem:") + " " + d.Content.(string)), nil
}

func (k simSink) Intact(_ context.Context, written []byte) (sinks.Seen, bool) {
	place, content, _ := strings.Cut(string(written), " ")
	s := k.p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	return sinks.Seen{}, s.place(place).content == content
}

func (k simSink) Remove(_ context.Context, written []byte) error {
	place, content, _ := strings.Cut(string(written), " ")
	if err := k.ready("clean", place, 5*time.Millisecond); err != nil {
		return err
	}
	if !k.p.passes("clean") {
		return errDead
	}
	s := k.p.s
	s.mu.Lock()
	held := s.place(place).content
	if held == content {
		if held != "" && s.isFor(place) && !s.inForce.IsZero() && s.real().Sub(s.inForce) > 10*time.Minute {
			s.fail("%s is cleaned, where something shall be", place)
		}
		s.hold(place, "")
	}
	s.mu.Unlock()
	s.note("clean", place, held, 0)
	if !k.p.passes("cleaned") {
		return errDead
	}
	if held != content && held != "" {
		return sinks.ErrForeign
	}
	return nil
}

// isFor says that the configuration has a sink at a place, and that the sink is
// there: one that the guard holds is where it was before.
func (s *simRun) isFor(place string) bool {
	_, declared := s.config.places()[place]
	return declared && !slices.Contains(s.heldSinks, s.config.sinkAt(place))
}

func (simSink) Paths([]byte) []string { return nil }

// simHook is the kind of hook of one process.
type simHook struct{ p *simProcess }

func (h simHook) Run(context.Context, spec.Values, []spec.Address) error {
	s := h.p.s
	if !h.p.passes("hook") {
		return errDead
	}
	s.mu.Lock()
	began := s.changes
	s.mu.Unlock()
	if !h.p.sleeps(s.draws.longOrShort("hook takes", "", time.Millisecond, 20*time.Second)) {
		return errDead
	}
	if s.draws.chance("hook fails", "", s.weatherNow().places) {
		return errors.New("the hook failed")
	}
	s.mu.Lock()
	s.told = max(s.told, began)
	s.mu.Unlock()
	s.note("hook", "", "", began)
	if !h.p.passes("hooked") {
		return errDead
	}
	return nil
}
