package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// startAndRest measures how long a start takes when everything is recorded and
// still valid, and what memory it settles at.
func startAndRest(ctx context.Context, b *bench) error {
	if err := b.fill(ctx); err != nil {
		return err
	}
	before, err := b.counts(ctx)
	if err != nil {
		return err
	}
	var took, used []time.Duration
	for range b.o.runs {
		if err := b.down(); err != nil {
			return err
		}
		d, err := b.up(ctx)
		if err != nil {
			return err
		}
		cpu, err := d.cpu()
		if err != nil {
			return err
		}
		took, used = append(took, time.Since(d.started)), append(used, cpu)
		b.detail("start: %s, %s of CPU", ms(took[len(took)-1]), ms(cpu))
	}
	after, err := b.counts(ctx)
	if err != nil {
		return err
	}
	if after.Requests != before.Requests {
		return fmt.Errorf("a start with everything recorded asked the provider %d times", after.Requests-before.Requests)
	}
	b.table.add(row{
		work: fmt.Sprintf("start with %d recorded tokens, to readiness", b.o.records), figure: ms(median(took)),
		against: ms(median(used)) + " of CPU", goal: "≤ 2.5 s", met: median(took) <= 2500*time.Millisecond, share: share(median(took), 2500*time.Millisecond),
	})
	return b.rest(ctx, fmt.Sprintf("memory at rest, %d credentials and sinks by for_each", b.o.records), 128<<20, 0)
}

// rest waits until the memory does not shrink any more. Goals are in bytes; no
// goal for the peak: 0.
func (b *bench) rest(ctx context.Context, work string, goal, peakGoal int64) error {
	const longest = 30 * time.Second
	calm := b.o.calm
	var least, peak int64
	since, began := time.Now(), time.Now()
	for time.Since(since) < calm && time.Since(began) < longest {
		now, most, err := b.running.resident()
		if err != nil {
			return err
		}
		if least == 0 || now < least-1<<20 {
			least, since = now, time.Now()
		}
		peak = most
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	b.table.add(row{work: work, figure: mib(least), goal: "≤ " + mib(goal), met: least <= goal, share: share(least, goal)})
	top := row{work: "  its peak", figure: mib(peak)}
	if peakGoal > 0 {
		top.goal, top.met, top.share = "≤ "+mib(peakGoal), peak <= peakGoal, share(peak, peakGoal)
	}
	b.table.add(top)
	return nil
}

// plans asks the daemon what it would do, which is nothing.
func plans(ctx context.Context, b *bench) error {
	d, err := b.up(ctx)
	if err != nil {
		return err
	}
	var took []time.Duration
	for range max(5, b.o.runs) {
		var reply struct {
			Steps       []struct{} `json:"steps"`
			Credentials int        `json:"credentials"`
			Sinks       int        `json:"sinks"`
		}
		began := time.Now()
		if err := d.client.Do(ctx, "POST", "/v1/plan", map[string]bool{}, &reply); err != nil {
			return err
		}
		took = append(took, time.Since(began))
		b.detail("plan: %s", ms(took[len(took)-1]))
		if len(reply.Steps) > 0 || 2*(reply.Credentials+reply.Sinks) != 2*b.total() {
			return fmt.Errorf("a plan over %d credentials and %d sinks has %d steps; there is nothing to do", reply.Credentials, reply.Sinks, len(reply.Steps))
		}
	}
	b.table.add(row{
		work: fmt.Sprintf("plan over %d credentials with nothing to do", b.o.records), figure: ms(median(took)),
		goal: "≤ 100 ms", met: median(took) <= 100*time.Millisecond, share: share(median(took), 100*time.Millisecond),
	})
	return nil
}

// idle measures what doing nothing costs.
func idle(ctx context.Context, b *bench) error {
	d, err := b.up(ctx)
	if err != nil {
		return err
	}
	if err := pause(ctx, b.o.calm); err != nil { // what the parts before left behind
		return err
	}
	before, err := d.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, b.o.idle); err != nil {
		return err
	}
	after, err := d.cpu()
	if err != nil {
		return err
	}
	part := float64(after-before) / float64(time.Since(began))
	b.table.add(row{
		work: fmt.Sprintf("idle with %d tokens, besides refreshes", b.o.records), figure: fmt.Sprintf("%.2f %%", 100*part),
		against: "one core", goal: "≤ 1 %", met: part <= 0.01, share: part / 0.01,
	})
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// changes measures how long after the move of a changed file into the directory
// the one sink that it changes has its new content.
func changes(ctx context.Context, b *bench) error {
	d, err := b.up(ctx)
	if err != nil {
		return err
	}
	out := filepath.Join(b.shm, "one.token")
	one := func(mark string) string {
		return fmt.Sprintf(`
credential "coinify" "one" {
  provider   = provider.coinify.wide
  grant      = "password"
  email      = "one@example.com"
  partner_id = %q
  password   = secret.file.password.value
}
sink "file" "one" {
  path    = %q
  content = "%s ${credential.coinify.one.access_token}"
}
`, partner, out, mark)
	}
	// The first one obtains a token, which is not what is measured.
	if _, err := b.changeOne(ctx, out, "first", one); err != nil {
		return err
	}
	b.single = 1
	const longest = 30 * time.Second
	var took []time.Duration
	used, err := d.cpu()
	if err != nil {
		return err
	}
	for began := time.Now(); len(took) < b.o.changes && time.Since(began) < longest; {
		t, err := b.changeOne(ctx, out, fmt.Sprintf("v%d", len(took)), one)
		if err != nil {
			return err
		}
		took = append(took, t)
		// So that no debounce of the one before is met, and not always the same one
		// of the daemon's own beats.
		if err := pause(ctx, time.Duration(20+len(took)%7)*time.Millisecond); err != nil {
			return err
		}
	}
	after, err := d.cpu()
	if err != nil {
		return err
	}
	b.table.add(row{
		work:    fmt.Sprintf("changed file to changed sink, among %d (p99 of %d)", b.o.records, len(took)),
		figure:  ms(quantile(took, 0.99)),
		against: fmt.Sprintf("median %s, %s of CPU each", ms(median(took)), ms((after-used)/time.Duration(len(took)))),
		goal:    "≤ 150 ms", met: quantile(took, 0.99) <= 150*time.Millisecond, share: share(quantile(took, 0.99), 150*time.Millisecond),
	})
	return b.down()
}

// changeOne moves a changed file into the directory and waits for the sink.
func (b *bench) changeOne(ctx context.Context, out, mark string, text func(string) string) (time.Duration, error) {
	if err := b.put(b.conf, "one.hcl", text(mark)); err != nil {
		return 0, err
	}
	return b.until(ctx, out, func(content []byte) bool { return strings.HasPrefix(string(content), mark+" ") })
}

// until waits until a file has a content, and says how long that took.
func (b *bench) until(ctx context.Context, file string, ok func(content []byte) bool) (time.Duration, error) {
	began := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		got, err := os.ReadFile(file)
		switch {
		case err == nil && ok(got):
			return time.Since(began), nil
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return 0, err
		case time.Since(began) > time.Minute:
			return 0, fmt.Errorf("a changed sink was not written within a minute\n%s", b.running.lastWords())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
