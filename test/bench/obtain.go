package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// obtain measures new tokens: obtained over TLS, recorded durably with intents,
// delivered to files; beside a bare client's requests.
func obtain(ctx context.Context, b *bench) error {
	if _, err := b.up(ctx); err != nil {
		return err
	}
	for _, g := range []struct {
		inFlight int
		goal     float64
	}{{64, 0.5}, {256, 0.6}} {
		var own, bare []pace
		var syncs []float64
		busy := map[pace]shares{}
		for range b.o.runs {
			p, err := b.bare(ctx, g.inFlight, b.logins(), nil)
			if err != nil {
				return err
			}
			bare = append(bare, p)
			p, s, on, err := b.obtainOnce(ctx, g.inFlight)
			if err != nil {
				return err
			}
			own, syncs, busy[p] = append(own, p), append(syncs, s), on
			b.detail("obtain, %d in flight: %s, bare %s, %.3f syncs a token, processors: %s", g.inFlight, p, bare[len(bare)-1], s, on)
		}
		b.table.add(against(fmt.Sprintf("obtain %d tokens, %d in flight", b.o.tokens, g.inFlight), own, bare, g.goal))
		b.table.add(row{work: "  disk syncs a token", figure: fmt.Sprintf("%.3f", median(syncs))})
		b.table.add(row{work: "  processors meanwhile", figure: busy[middle(own)].String()})
	}
	return b.down()
}

func (p pace) String() string {
	return fmt.Sprintf("%.0f/s (%d µs of CPU each)", p.rate(), p.each().Microseconds())
}

// against is the row of a rate beside the bare client's.
func against(work string, own, bare []pace, goal float64) row {
	p, q := middle(own), middle(bare)
	ratio := p.rate() / q.rate()
	return row{
		work: work, figure: fmt.Sprintf("%.2f × = %s", ratio, p), against: "bare " + q.String(),
		goal: fmt.Sprintf("≥ %.1f ×", goal), met: ratio >= goal, share: ratio / max(goal, 0.001),
	}
}

// middle is the one of median rate.
func middle(list []pace) pace {
	rates := make([]float64, len(list))
	for i, p := range list {
		rates[i] = p.rate()
	}
	m := median(rates)
	for i, p := range list {
		if rates[i] == m {
			return p
		}
	}
	return list[0]
}

func (b *bench) logins() []string {
	var bodies []string
	for _, n := range names(fmt.Sprintf("bare%d-", b.extra), b.o.tokens) {
		bodies = append(bodies, login(n))
	}
	return bodies
}

// obtainOnce adds a file with new credentials to the directory of the running
// daemon. The time begins when it has taken them over.
func (b *bench) obtainOnce(ctx context.Context, inFlight int) (pace, float64, shares, error) {
	d := b.running
	block := fmt.Sprintf("more%d", b.extra)
	path, err := b.list(block+".json", names(block+"-", b.o.tokens))
	if err != nil {
		return pace{}, 0, shares{}, err
	}
	there, err := d.ask(ctx)
	if err != nil {
		return pace{}, 0, shares{}, err
	}
	b.extra++
	total := there.total() + 2*b.o.tokens
	if err := b.put(b.conf, block+".hcl", b.provider(block, inFlight)+traders(block, block, path, filepath.Join(b.shm, block))); err != nil {
		return pace{}, 0, shares{}, err
	}
	began, first, err := d.await(ctx, "the new configuration", time.Millisecond, func(s *status) bool { return s.total() == total })
	if err != nil {
		return pace{}, 0, shares{}, err
	}
	before, err := b.processors(d)
	if err != nil {
		return pace{}, 0, shares{}, err
	}
	// Being asked costs it something too, which the bare client does not pay: it is
	// asked often only towards the end.
	if _, _, err := d.await(ctx, "most of the tokens", 250*time.Millisecond, func(s *status) bool { return total-s.Counts["ready"] <= b.o.tokens/2 }); err != nil {
		return pace{}, 0, shares{}, err
	}
	end, last, err := d.settled(ctx, 25*time.Millisecond, total)
	if err != nil {
		return pace{}, 0, shares{}, err
	}
	after, err := b.processors(d)
	if err != nil {
		return pace{}, 0, shares{}, err
	}
	return pace{end.Sub(began), after.tokend - before.tokend, b.o.tokens}, float64(last.State.Syncs-first.State.Syncs) / float64(b.o.tokens), after.since(before), nil
}
