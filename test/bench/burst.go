package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	burstRate = 500              // requests that the provider lets through in any second
	burstLead = 30 * time.Second // from the daemon's start to the expiry, for the number of tokens below
	burstOf   = 10_000
)

// burst measures tokens that all expire in the same second, at a provider that
// refuses what goes above its limit: whether all are replaced in their files
// before, and whether any request was above the limit.
func burst(ctx context.Context, b *bench) error {
	if err := b.down(); err != nil {
		return err
	}
	lead := max(burstLead*time.Duration(b.o.tokens)/burstOf, 5*time.Second)
	r := &refreshing{b: b, conf: filepath.Join(b.dir, "burst.conf"), state: filepath.Join(b.dir, "burst.state"), out: filepath.Join(b.shm, "burst")}
	if err := r.prepare(ctx, fmt.Sprintf("  rate_limit {\n    requests    = %d\n    per         = \"1s\"\n    concurrency = 64\n  }\n", burstRate)); err != nil {
		return err
	}
	if err := b.tell(ctx, "PATCH", "/rules?api=coinify", fmt.Sprintf(`{"rate_requests":%d,"rate_per":"1s"}`, burstRate), nil); err != nil {
		return err
	}
	before, err := b.counts(ctx)
	if err != nil {
		return err
	}
	aged := time.Now()
	expiry := aged.Add(lead + time.Second) // the daemon starts within a second
	if err := r.age(ctx, expiry); err != nil {
		return fmt.Errorf("making the tokens end at once: %w", err)
	}
	d, err := b.startDaemon(r.conf, r.state)
	if err != nil {
		return err
	}
	b.running = d
	// Ready is said at once, since all tokens still live: it is over when as many
	// were refreshed and nothing is under way.
	_, _, err = d.await(ctx, "the last refresh", 200*time.Millisecond, func(s *status) bool {
		if !s.Ready || s.busy() {
			return false
		}
		counts, err := b.counts(ctx)
		return err == nil && counts.Refreshes-before.Refreshes >= b.o.tokens
	})
	if err != nil {
		return err
	}
	last, late, err := writtenAfter(r.out, aged, expiry)
	if err != nil {
		return err
	}
	after, err := b.counts(ctx)
	if err != nil {
		return err
	}
	over := after.Throttled - before.Throttled
	b.table.add(row{
		work: fmt.Sprintf("%d tokens that end in one second, %d requests/s let through", b.o.tokens, burstRate), figure: fmt.Sprintf("%d ended in a file", late),
		against: fmt.Sprintf("the last replaced %s after the start, %s before its end", ms(last.Sub(d.started)), ms(expiry.Sub(last))), goal: "0", met: late == 0,
	})
	b.table.add(row{work: "  requests above the limit", figure: fmt.Sprint(over), against: fmt.Sprintf("of %d", after.Requests-before.Requests), goal: "0", met: over == 0})
	if err := b.tell(ctx, "PATCH", "/rules?api=coinify", `{"rate_requests":-1}`, nil); err != nil {
		return err
	}
	return b.down()
}

// writtenAfter says when the last file of a directory was written, and how many
// were written after a deadline, or not at all since a time.
func writtenAfter(dir string, since, deadline time.Time) (last time.Time, late int, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil // a temporary name
		}
		if err != nil {
			return err
		}
		if at := info.ModTime(); at.Before(since) || at.After(deadline) {
			late++
		} else if at.After(last) {
			last = at
		}
		return nil
	})
	return last, late, err
}

// away measures what a provider costs that nobody can reach, with everything due
// and tried again and again: the tries of a day, in fast motion.
func away(ctx context.Context, b *bench) error {
	if err := b.down(); err != nil {
		return err
	}
	r := &refreshing{b: b, conf: filepath.Join(b.dir, "away.conf"), state: filepath.Join(b.dir, "away.state"), out: filepath.Join(b.shm, "away")}
	retry := "tokend {\n  defaults {\n    retry {\n      initial = \"100ms\"\n      max     = \"2s\"\n    }\n  }\n}\n"
	if err := r.prepare(ctx, ""); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.conf, "retry.hcl"), []byte(retry), 0o600); err != nil {
		return err
	}
	if err := r.age(ctx, time.Now().Add(-time.Minute)); err != nil {
		return fmt.Errorf("making the tokens end: %w", err)
	}
	// From here on nobody answers: this is the last part that needs the stand-in.
	b.silence()
	d, err := b.startDaemon(r.conf, r.state)
	if err != nil {
		return err
	}
	b.running = d
	if _, _, err := d.await(ctx, "the first tries", 50*time.Millisecond, func(s *status) bool { return s.Counts["failing"] > 0 }); err != nil {
		return err
	}
	if err := pause(ctx, b.o.away/4); err != nil {
		return err
	}
	early, _, err := d.resident()
	if err != nil {
		return err
	}
	var most int64
	used, err := d.cpu()
	if err != nil {
		return err
	}
	began := time.Now()
	for time.Since(began) < b.o.away*3/4 {
		now, _, err := d.resident()
		if err != nil {
			return err
		}
		most = max(most, now)
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	after, err := d.cpu()
	if err != nil {
		return err
	}
	const room = 32 << 20
	b.table.add(row{
		work: fmt.Sprintf("memory while a provider is away with %d due, tried at a day's length in fast motion", b.o.tokens), figure: mib(most),
		against: fmt.Sprintf("%s at first; %s of CPU in %s", mib(early), ms(after-used), ms(time.Since(began))),
		goal:    "grows ≤ " + mib(room), met: most-early <= room,
	})
	return b.down()
}
