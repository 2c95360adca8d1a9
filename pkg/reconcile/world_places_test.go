package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// places is a kind of sink whose places are in memory, and a log of what
// happened to them.
type places struct {
	mu    sync.Mutex
	held  map[string]string
	log   []string
	block chan struct{} // not nil: writes wait
	stuck string        // the only place, or the sink of the hook, that waits for block; "": all places
	fail  error
	marks map[string]sinks.Mark
	tells atomic.Bool   // it is said whether a place is as it was left
	keeps string        // a place that cannot be cleaned
	slow  time.Duration // how long a hook takes
	deaf  error         // what hooks fail with
	// refusals is how many runs of hooks have failed with that.
	refusals atomic.Int64
	hangs    string // hooks of sinks whose address begins so hang for two minutes, and fail; others note whom they tell
	// checking is called before a place is compared; nil: nothing is.
	checking func()
	// broken keeps places from being rendered.
	broken error
}

// failWith has writes, removals and hooks fail, breakWith rendering; nil mends it.
func (p *places) failWith(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

func (p *places) breakWith(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = err
}

// failHooks has hooks fail, and nothing else.
func (p *places) failHooks(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = err
}

func (p *places) deafness() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaf
}

// checkBy has something done before a place is compared; nil: nothing is.
func (p *places) checkBy(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checking = f
}

// blockBy has writes wait for a channel from now on.
func (p *places) blockBy(c chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.block = c
}

func (p *places) blocked() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.block
}

// stick keeps a place from being cleaned; "" mends it.
func (p *places) stick(place string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keeps = place
}

func (p *places) sticks(place string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return place == p.keeps
}

func (p *places) failing() (fail, broken error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fail, p.broken
}

func (p *places) get(place string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[place]
}

func (p *places) events() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.log, " ")
}

func (p *places) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

func (p *places) Render(args spec.Values) (sinks.Desired, error) {
	place, err := args.String("place")
	if err != nil {
		return sinks.Desired{}, err
	}
	if _, broken := p.failing(); broken != nil {
		return sinks.Desired{Place: "mem:" + place}, broken
	}
	content, err := args.Secret("content")
	if err != nil || !args.Cty("content").IsKnown() {
		return sinks.Desired{Place: "mem:" + place}, sinks.ErrUnknown
	}
	return sinks.Desired{Place: "mem:" + place, Content: content.Reveal()}, nil
}

func (p *places) Check(_ context.Context, d sinks.Desired, _ []byte) (string, error) {
	p.mu.Lock()
	mark, marked := p.marks[d.Place]
	checking := p.checking
	p.mu.Unlock()
	if checking != nil {
		checking()
	}
	if marked && d.Found != nil {
		d.Found(mark)
	}
	if got := p.get(d.Place[len("mem:"):]); got != d.Content.(string) {
		return "content differs", nil
	}
	return "", nil
}

func (p *places) Write(ctx context.Context, d sinks.Desired, _ []byte) ([]byte, error) {
	if block := p.blocked(); block != nil && (p.stuck == "" || "mem:"+p.stuck == d.Place) {
		select {
		case <-block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fail, _ := p.failing(); fail != nil {
		return nil, fail
	}
	place := d.Place[len("mem:"):]
	p.note("write:%s", place)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[place] = d.Content.(string)
	if p.marks == nil {
		p.marks = map[string]sinks.Mark{}
	}
	p.marks[d.Place] = d.Mark
	return p.Intend(d)
}

func (p *places) Wrote(d sinks.Desired, written []byte) bool {
	if d.Content == nil {
		return false
	}
	account, err := p.Intend(d)
	return err == nil && string(account) == string(written)
}

func (p *places) Portray(d sinks.Desired, _ []byte, hash func([]byte) string) (sinks.Portrait, error) {
	content, known := d.Content.(string)
	if !known {
		return sinks.Portrait{}, sinks.ErrUnknown
	}
	return sinks.Portrait{Content: hash([]byte(content))}, nil
}

// Intend is the account of a write too: the place and its content.
func (p *places) Intend(d sinks.Desired) ([]byte, error) {
	return []byte(d.Place[len("mem:"):] + " " + d.Content.(string)), nil
}

func (p *places) Remove(_ context.Context, written []byte) error {
	if fail, _ := p.failing(); fail != nil {
		return fail
	}
	place, intended, only := strings.Cut(string(written), " ")
	if p.sticks(place) {
		return errors.New("it cannot be cleaned")
	}
	if held := p.get(place); only && held != intended {
		if held == "" {
			return nil
		}
		return sinks.ErrForeign
	}
	p.note("remove:%s", place)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.held, place)
	return nil
}

func (p *places) Paths([]byte) []string { return nil }

// Intact says nothing but in a test that has it tell.
func (p *places) Intact(_ context.Context, written []byte) (sinks.Seen, bool) {
	place, content, _ := strings.Cut(string(written), " ")
	return sinks.Seen{}, p.tells.Load() && p.get(place) == content
}

// hookInto is a kind of hook that writes into the log of the places.
type hookInto struct{ p *places }

func (h hookInto) Run(ctx context.Context, _ spec.Values, changed []spec.Address) error {
	if block := h.p.blocked(); block != nil && slices.Contains(changed, spec.Address(h.p.stuck)) {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if h.p.hangs != "" {
		if strings.HasPrefix(string(changed[0]), h.p.hangs) {
			select {
			case <-time.After(2 * time.Minute):
				return errors.New("it did not end in time")
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		h.p.note("told:%s", changed[0])
	}
	if fail, _ := h.p.failing(); fail != nil {
		return fail
	}
	if err := h.p.deafness(); err != nil {
		h.p.refusals.Add(1)
		return err
	}
	if h.p.slow > 0 {
		<-time.After(h.p.slow)
	}
	h.p.note("hook:%d", len(changed))
	return nil
}

// forge puts something into a place, as somebody else would.
func (p *places) forge(place, content string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[place] = content
}

// overwrite has somebody else write to places, where there is something.
func (p *places) overwrite(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range names {
		if _, ok := p.held[n]; ok {
			p.held[n] = "somebody else's"
		}
	}
}
