package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"tokend/pkg/state"
)

const refreshInFlight = 256

// refresh measures refreshes that are all due at once: how many disk syncs each
// costs, and the rate beside that of the bare client.
func refresh(ctx context.Context, b *bench) error {
	if err := b.down(); err != nil {
		return err
	}
	r := &refreshing{b: b, conf: filepath.Join(b.dir, "refresh.conf"), state: filepath.Join(b.dir, "refresh.state")}
	if err := r.prepare(ctx, ""); err != nil {
		return err
	}
	if err := r.prepareBare(ctx); err != nil {
		return err
	}
	for _, g := range []struct {
		latency time.Duration
		syncs   float64
		rate    float64 // 0: no goal
	}{{0, 0.05, 0}, {20 * time.Millisecond, 0.05, 0}, {100 * time.Millisecond, 0.1, 0.9}} {
		if err := b.latency(ctx, g.latency); err != nil {
			return err
		}
		bare, err := r.bare(ctx)
		if err != nil {
			return err
		}
		own, syncs, err := r.once(ctx)
		if err != nil {
			return err
		}
		work := fmt.Sprintf("refresh %d tokens, %d in flight, latency %s", b.o.tokens, refreshInFlight, ms(g.latency))
		b.table.add(row{work: work, figure: fmt.Sprintf("%.3f syncs each", syncs), goal: fmt.Sprintf("≤ %.2f", g.syncs), met: syncs <= g.syncs, share: syncs / g.syncs})
		rate := against("  its rate", []pace{own}, []pace{bare}, g.rate)
		if g.rate == 0 {
			rate.goal = ""
		}
		b.table.add(rate)
	}
	return b.latency(ctx, 0)
}

// refreshing is a state of its own whose tokens are refreshed again and again.
type refreshing struct {
	b           *bench
	conf, state string
	out         string // where sinks write; "": there are none
	bareTokens  []string
}

// prepare obtains a token for each credential. more are settings of the provider
// that count from then on.
func (r *refreshing) prepare(ctx context.Context, more string) error {
	b := r.b
	path, err := b.list("refresh.json", names("r", b.o.tokens))
	if err != nil {
		return err
	}
	config := func(more string) error {
		provider := b.provider("wide", refreshInFlight)
		if more != "" {
			provider = b.providerWith("wide", more)
		}
		return b.directory(r.conf, provider+traders("trader", "wide", path, r.out))
	}
	if err := config(""); err != nil {
		return err
	}
	d, err := b.startDaemon(r.conf, r.state)
	if err != nil {
		return err
	}
	b.running = d
	if _, _, err := d.settled(ctx, 20*time.Millisecond, r.total()); err != nil {
		return err
	}
	if err := b.down(); err != nil || more == "" {
		return err
	}
	return config(more)
}

// total is the number of addresses.
func (r *refreshing) total() int {
	if r.out != "" {
		return 2 * r.b.o.tokens
	}
	return r.b.o.tokens
}

// prepareBare obtains as many tokens for the bare client.
func (r *refreshing) prepareBare(ctx context.Context) error {
	b := r.b
	var bodies []string
	for _, n := range names("rbare", b.o.tokens) {
		bodies = append(bodies, login(n))
	}
	r.bareTokens = make([]string, len(bodies))
	_, err := b.bare(ctx, refreshInFlight, bodies, r.keep)
	return err
}

func (r *refreshing) keep(i int, reply []byte) error {
	var t struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := json.Unmarshal(reply, &t); err != nil {
		return err
	}
	if t.RefreshToken == "" {
		return errors.New("the stand-in gave no refresh token")
	}
	r.bareTokens[i] = t.RefreshToken
	return nil
}

func (r *refreshing) bare(ctx context.Context) (pace, error) {
	var bodies []string
	for _, t := range r.bareTokens {
		bodies = append(bodies, renewal(t))
	}
	return r.b.bare(ctx, refreshInFlight, bodies, nil)
}

// once makes all tokens old and has a daemon refresh them.
func (r *refreshing) once(ctx context.Context) (pace, float64, error) {
	b := r.b
	if err := r.age(ctx, time.Now().Add(20*time.Minute)); err != nil {
		return pace{}, 0, fmt.Errorf("making the tokens old: %w", err)
	}
	before, err := b.counts(ctx)
	if err != nil {
		return pace{}, 0, err
	}
	d, err := b.startDaemon(r.conf, r.state)
	if err != nil {
		return pace{}, 0, err
	}
	b.running = d
	began, first, err := d.await(ctx, "the first refresh", time.Millisecond, (*status).busy)
	if err != nil {
		return pace{}, 0, err
	}
	used, err := d.cpu()
	if err != nil {
		return pace{}, 0, err
	}
	end, last, err := d.settled(ctx, 25*time.Millisecond, b.o.tokens)
	if err != nil {
		return pace{}, 0, err
	}
	after, err := d.cpu()
	if err != nil {
		return pace{}, 0, err
	}
	counts, err := b.counts(ctx)
	if err != nil {
		return pace{}, 0, err
	}
	if n := counts.Refreshes - before.Refreshes; n != b.o.tokens {
		return pace{}, 0, fmt.Errorf("%d refreshes were asked of %d", n, b.o.tokens)
	}
	p := pace{end.Sub(began), after - used, b.o.tokens}
	b.detail("refresh: %s, %d syncs", p, last.State.Syncs-first.State.Syncs)
	return p, float64(last.State.Syncs-first.State.Syncs) / float64(b.o.tokens), b.down()
}

// age rewrites the state as if its tokens had been obtained hours ago and ended
// at a time, so that all of them are due.
func (r *refreshing) age(ctx context.Context, expiry time.Time) error {
	store, err := state.Open(ctx, state.Options{Dir: r.state, Key: state.GeneratedKeyFile(filepath.Join(r.state, state.GeneratedName))})
	if err != nil {
		return err
	}
	var addresses []string
	err = store.Heads(ctx, func(h state.Head) error {
		if h.Kind == state.KindCredential {
			addresses = append(addresses, h.Address)
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	failed := make(chan error, len(addresses))
	for _, a := range addresses {
		c, _, err := store.Credential(ctx, a)
		if err != nil {
			return errors.Join(err, store.Close())
		}
		now := time.Now()
		c.Grant.ObtainedAt, c.Grant.ExpiresAt = now.Add(-3*time.Hour), expiry
		c.Head.ExpiresAt, c.Head.Due = c.Grant.ExpiresAt, now.Add(-time.Minute)
		store.Later(func(err error) { failed <- err }, state.Change{Credential: &c})
	}
	for range addresses {
		err = errors.Join(err, <-failed)
	}
	return errors.Join(err, store.Close())
}
