package vault_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/vault"
)

// pipes is a network of net.Pipe, in which time can be a bubble's.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble is a pool and a fake Vault in a bubble of their own time.
type bubble struct {
	*fake
	blocks *blocks
	pool   *vault.Pool
	log    *journal
	start  time.Time
	skew   atomic.Int64 // what the pool's clock is ahead of the bubble's
}

// inBubble runs a test in one; with run, the pool's renewals run as well.
func inBubble(t *testing.T, ttl int, run bool, test func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		b := &bubble{fake: &fake{ttl: ttl}, blocks: &blocks{now: byAppRole("http://vault.test", "canary-role", "canary-secret")}, log: &journal{}, start: time.Now()}
		b.pool = vault.NewPool(b.blocks.resolve, vault.Options{
			Logger:      slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Now:         func() time.Time { return time.Now().Add(time.Duration(b.skew.Load())) },
			DialContext: network.dial,
		})
		server := &http.Server{Handler: b.fake, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelError)}
		go func() { _ = server.Serve(network) }()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		if run {
			running.Go(func() { _ = b.pool.Run(ctx) })
		}
		test(t, b)
		cancel()
		running.Wait()
		b.pool.Close(t.Context())
		_ = server.Close()
	})
}

// after lists when a call was made, counted from the start.
func (b *bubble) after(call string) []time.Duration {
	out := []time.Duration{}
	for _, at := range b.times(call) {
		out = append(out, at.Sub(b.start))
	}
	return out
}

func (b *bubble) use(t *testing.T) error {
	t.Helper()
	c, err := b.pool.Client(t.Context(), main)
	if err != nil {
		return err
	}
	_, _, err = c.ReadKV(t.Context(), "kv", "x", 0)
	return err
}

const (
	renew  = "PUT auth/token/renew-self"
	revoke = "PUT auth/token/revoke-self"
)

func seconds(n ...float64) []time.Duration {
	out := []time.Duration{}
	for _, s := range n {
		out = append(out, time.Duration(s*float64(time.Second)))
	}
	return out
}
