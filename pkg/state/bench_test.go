package state_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// sample is a credential of the size that a login API's usually has.
func sample(address string, generation uint64) state.Credential {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return state.Credential{
		Head: state.Head{Address: address, Generation: generation, Due: now.Add(time.Hour), ExpiresAt: now.Add(2 * time.Hour)},
		Grant: &state.Grant{Generation: generation, Endpoint: "0123456789abcdefghijkl", Provider: "provider.coinify.default", Type: "coinify", GrantType: "password",
			AccessToken: secret.New(strings.Repeat("a", 300)), RefreshToken: secret.New(strings.Repeat("r", 100)), TokenType: "Bearer", HeaderName: "Authorization",
			Header: secret.New("Bearer " + strings.Repeat("a", 300)), Scopes: []string{"read", "trade"}, Outputs: []byte("{}"), GrantedAt: now, ObtainedAt: now, ExpiresAt: now.Add(time.Hour),
			Origins:     []string{"https://app-api.coinify.com:443"},
			InputHashes: map[string]string{"email": "0123456789abcdefghijkl", "password": "0123456789abcdefghijkl", "partner_id": "0123456789abcdefghijkl", "grant": "0123456789abcdefghijkl"},
			Inputs:      []byte(strings.Repeat("i", 60))},
		Lifecycle: state.Lifecycle{OnRemove: "revoke", Overlap: 30 * time.Second, MaxOverlap: time.Hour},
	}
}

func sampleSink(address string) state.Sink {
	return state.Sink{Head: state.Head{Address: address}, SinkKind: "file", Written: []byte(strings.Repeat("w", 150)),
		Delivered: map[string]uint64{"credential.coinify.trader[\"user-000001\"]": 1}, WrittenAt: time.Unix(1.7e9, 0)}
}

func trader(i int) string { return fmt.Sprintf("credential.coinify.trader[\"user-%06d\"]", i) }

// fill puts n credentials and n sinks into the store.
func fill(tb testing.TB, s state.Store, n int) {
	tb.Helper()
	const chunk = 500
	for from := 0; from < n; from += chunk {
		var changes []state.Change
		for i := from; i < min(from+chunk, n); i++ {
			c, k := sample(trader(i), 1), sampleSink(fmt.Sprintf("sink.file.trader[\"user-%06d\"]", i))
			changes = append(changes, state.Change{Credential: &c}, state.Change{Sink: &k})
		}
		if err := s.Commit(context.Background(), changes...); err != nil {
			tb.Fatalf("Commit = %v", err)
		}
	}
}

func benchStore(b *testing.B, n int) *state.Bolt {
	dir := b.TempDir()
	if root := os.Getenv("TOKEND_BENCH_DIR"); root != "" {
		var err error
		if dir, err = os.MkdirTemp(root, "state"); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	s, err := state.Open(b.Context(), state.Options{Dir: dir})
	if err != nil {
		b.Fatalf("Open = %v", err)
	}
	b.Cleanup(func() { _ = s.Close() })
	fill(b, s, n)
	return s
}

// BenchmarkRefresh is the durable part of a refresh: intent, call, grant. The
// call takes latency and no processor.
func BenchmarkRefresh(b *testing.B) {
	const records = 100_000
	s := benchStore(b, records)
	for _, latency := range []time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond} {
		for _, workers := range []int{1, 64, 256, 512} {
			b.Run(fmt.Sprintf("latency=%s/workers=%d", latency, workers), func(b *testing.B) {
				refresh(b, s, records, workers, latency)
			})
		}
	}
}

func refresh(b *testing.B, s *state.Bolt, records, workers int, latency time.Duration) {
	syncs := s.Info().Syncs
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				// Each worker has records of its own, all over the file.
				a := trader((i*7919%(records/workers))*workers + w)
				c, _, err := s.Credential(b.Context(), a)
				if err != nil {
					b.Error(err)
					return
				}
				err = s.Commit(b.Context(), state.Change{IntentFor: a, Intent: &state.Intent{Op: "refresh", Attempt: 1, TokenHash: "0123456789abcdefghijkl", Generation: c.Head.Generation}})
				if latency > 0 {
					<-time.After(latency)
				}
				c.Head.Generation++
				c.Grant.Generation++
				if err == nil {
					err = s.Commit(b.Context(), state.Change{Credential: &c, ClearIntent: true})
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	b.ReportMetric(float64(b.N)/took.Seconds(), "refreshes/s")
	b.ReportMetric(float64(s.Info().Syncs-syncs)/float64(b.N), "syncs/refresh")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkStart(b *testing.B) {
	const records = 100_000
	dir := b.TempDir()
	s, err := state.Open(b.Context(), state.Options{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, s, records)
	b.Logf("%d MiB on disk, %s resident before trimming", s.Info().Bytes>>20, resident(b))
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			s, err := state.Open(b.Context(), state.Options{Dir: dir})
			if err != nil {
				b.Fatal(err)
			}
			_ = s.Close()
		}
	})
	if s, err = state.Open(b.Context(), state.Options{Dir: dir}); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.Run("heads of 200000 records", func(b *testing.B) {
		for b.Loop() {
			n := 0
			if err := s.Heads(b.Context(), func(state.Head) error { n++; return nil }); err != nil || n != 2*records {
				b.Fatal(n, err)
			}
		}
	})
	b.Logf("after the scan: %s", resident(b))
	b.Run("unseal 100000 credentials", func(b *testing.B) {
		for b.Loop() {
			for i := range records {
				if _, _, err := s.Credential(b.Context(), trader(i)); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Logf("after unsealing all: %s", resident(b))
	b.Run("read one", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i++
			if _, _, err := s.Credential(b.Context(), trader(i*7919%records)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Logf("after reading: %s", resident(b))
	s.Trim()
	b.Logf("after trimming: %s", resident(b))
}

// resident is what the kernel says of this process's memory.
func resident(b *testing.B) string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "unknown"
	}
	var out []string
	for line := range strings.Lines(string(status)) {
		for _, key := range []string{"RssAnon:", "RssFile:"} {
			if rest, ok := strings.CutPrefix(line, key); ok {
				kib, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
				out = append(out, fmt.Sprintf("%s %d MiB", key, kib>>10))
			}
		}
	}
	return strings.Join(out, " ")
}
