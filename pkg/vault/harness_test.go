package vault_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
	"tokend/pkg/vault"
	"tokend/test/rig"
)

const main = spec.Address("vault.main")

// journal collects log lines of several goroutines.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// blocks is a resolver whose settings a test may change.
type blocks struct {
	mu    sync.Mutex
	now   vault.Settings
	err   error
	reads int
}

func (b *blocks) set(s vault.Settings) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = s
}

func (b *blocks) resolve(context.Context, spec.Address) (vault.Settings, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	return b.now, b.err
}

func (b *blocks) resolved() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reads
}

// newPool makes a pool that logs at debug level, and closes it after the test.
func newPool(t *testing.T, s vault.Settings) (*vault.Pool, *blocks, *journal) {
	t.Helper()
	b, j := &blocks{now: s}, &journal{}
	p := vault.NewPool(b.resolve, vault.Options{Logger: slog.New(slog.NewTextHandler(j, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		p.Close(ctx)
	})
	return p, b, j
}

func hidden(s string) cty.Value { return spec.Sensitive(cty.StringVal(s)) }

func byToken(address, token string) vault.Settings {
	return vault.Settings{Address: address, Timeout: 30 * time.Second, AuthKind: "token", Auth: spec.NewValues(map[string]cty.Value{"token": hidden(token)})}
}

func byAppRole(address, roleID, secretID string) vault.Settings {
	return vault.Settings{Address: address, Timeout: 30 * time.Second, AuthKind: "approle",
		Auth: spec.NewValues(map[string]cty.Value{"role_id": hidden(roleID), "secret_id": hidden(secretID)})}
}

// run runs the pool's renewals until the test ends.
func run(t *testing.T, p *vault.Pool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want the context's error", err)
		}
	})
}

// client logs in, or ends the test.
func client(t *testing.T, p *vault.Pool) *vault.Client {
	t.Helper()
	c, err := p.Client(t.Context(), main)
	if err != nil {
		t.Fatalf("Client: %v", err)
	}
	return c
}

// eventually polls until cond holds, for as long as a real server may need.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

const kvPolicy = `
path "kv/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "kv1/*" { capabilities = ["create", "read", "update", "delete", "list"] }
`

// tokensInForce counts the service tokens that Vault knows.
func tokensInForce(t *testing.T, v *rig.VaultServer) int {
	t.Helper()
	keys, _ := v.Read("auth/token/accessors?list=true")["keys"].([]any)
	return len(keys)
}
