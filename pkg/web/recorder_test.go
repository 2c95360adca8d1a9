package web

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tokend/pkg/reconcile"
)

func TestRecorder(t *testing.T) {
	now := noon()
	rec := NewRecorder(func() time.Time { return now })
	for _, e := range []reconcile.Event{
		{Address: "credential.coinify.a", Type: "coinify", Op: "refresh", Class: "ok", Took: 20 * time.Millisecond},
		{Address: "credential.coinify.b", Type: "coinify", Op: "refresh", Class: "ok", Took: 3 * time.Second},
		{Address: "credential.coinify.a", Type: "coinify", Op: "refresh", Class: "transient", Took: time.Millisecond},
		{Address: "sink.file.a", Type: "file", Op: "write", Class: "ok", Took: time.Millisecond},
		{Address: "sink.env.a", Type: "env", Op: "repair", Class: "transient"},
		{Address: "sink.vault_kv.a", Type: "vault_kv", Op: "remove", Class: "ok"},
		{Address: "hook.exec.nginx", Type: "exec", Op: "hook", Class: "ok", Took: -time.Second},
	} {
		rec.Observe(e)
	}
	now = now.Add(-time.Minute) // a worker that was overtaken
	rec.Observe(reconcile.Event{Address: "sink.file.b", Type: "file", Op: "write", Class: "ok"})

	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(rec.calls, rec.writes)
	want := `
# HELP tokend_calls_total Finished calls by result: class is "ok" or a class of failure.
# TYPE tokend_calls_total counter
tokend_calls_total{class="ok",kind="credential",op="refresh",type="coinify"} 2
tokend_calls_total{class="transient",kind="credential",op="refresh",type="coinify"} 1
tokend_calls_total{class="ok",kind="sink",op="write",type="file"} 2
tokend_calls_total{class="transient",kind="sink",op="repair",type="env"} 1
tokend_calls_total{class="ok",kind="sink",op="remove",type="vault_kv"} 1
tokend_calls_total{class="ok",kind="hook",op="hook",type="exec"} 1
# HELP tokend_sink_last_write_timestamp_seconds When a sink of the type was last written with success, since the start.
# TYPE tokend_sink_last_write_timestamp_seconds gauge
tokend_sink_last_write_timestamp_seconds{type="file"} 1.7918064e+09
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}

	fams := scrapeOf(t, Handler(Options{Source: healthy(), Recorder: rec, Now: noon}))
	h := fams.histogram(t, "tokend_call_duration_seconds", "kind", "credential", "type", "coinify", "op", "refresh")
	if h.GetSampleCount() != 3 || h.GetSampleSum() < 3.02 || h.GetSampleSum() > 3.022 {
		t.Errorf("latencies: %v", h)
	}
	under := map[float64]uint64{}
	for _, b := range h.GetBucket() {
		under[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	if under[.001] != 1 || under[.025] != 2 || under[2.5] != 2 || under[5] != 3 {
		t.Errorf("buckets: %v", under)
	}
}

func TestWord(t *testing.T) {
	for in, want := range map[string]string{
		"refresh":                 "refresh",
		"vault_kv":                "vault_kv",
		"my-api2":                 "my-api2",
		"größe":                   "größe",
		"":                        other,
		"2fast":                   other,
		"-x":                      other,
		"invalid grant":           other,
		"eyJhbGciOi.eyJzdWIi.c2l": other,
		"a\nb":                    other,
		"\xff":                    other,
		`a"b`:                     other,
		strings.Repeat("a", 64):   strings.Repeat("a", 64),
		strings.Repeat("a", 65):   other,
	} {
		if got := word(in); got != want {
			t.Errorf("word(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRecorderIsBounded(t *testing.T) {
	rec := NewRecorder(nil)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				odd := strings.Repeat("!", 1+i%50)
				rec.Observe(reconcile.Event{Address: "nonsense" + odd, Type: odd, Op: odd + "x", Class: strings.Repeat("m e ", w+1)})
				rec.Observe(reconcile.Event{Address: "sink.file.x", Type: "file", Op: "write", Class: "ok"})
			}
		})
	}
	wg.Wait()
	if n := testutil.CollectAndCount(rec.calls); n != 2 {
		t.Errorf("%d series, want 2", n)
	}
	if diff := cmp.Diff(2000.0, testutil.ToFloat64(rec.calls.WithLabelValues(other, other, other, other))); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkRecorder(b *testing.B) {
	rec := NewRecorder(nil)
	e := reconcile.Event{Address: "credential.coinify.a", Type: "coinify", Op: "refresh", Class: "ok", Took: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		rec.Observe(e)
	}
}
