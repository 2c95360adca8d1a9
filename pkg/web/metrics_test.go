package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"tokend/pkg/reconcile"
)

// families is a parsed scrape.
type families map[string]*dto.MetricFamily

func scrapeOf(t testing.TB, h http.Handler) families {
	t.Helper()
	w := newRecorderFor(t, h, "/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	fams, err := parser.TextToMetricFamilies(w)
	if err != nil {
		t.Fatal(err)
	}
	return fams
}

func newRecorderFor(t testing.TB, h http.Handler, path string) *bytes.Buffer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &bodyWriter{header: http.Header{}}
	h.ServeHTTP(w, r)
	if w.status != 0 && w.status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", path, w.status, w.Buffer.String())
	}
	return &w.Buffer
}

// bodyWriter is a ResponseWriter that costs a benchmark little.
type bodyWriter struct {
	bytes.Buffer
	header http.Header
	status int
}

func (w *bodyWriter) Header() http.Header { return w.header }
func (w *bodyWriter) WriteHeader(s int)   { w.status = s }

// find returns the series of a family that has exactly the labels, given as
// names and values by turns.
func (f families) find(name string, labels ...string) *dto.Metric {
	for _, m := range f[name].GetMetric() {
		if len(m.GetLabel()) != len(labels)/2 {
			continue
		}
		have := map[string]string{}
		for _, l := range m.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		same := true
		for i := 0; i < len(labels); i += 2 {
			if v, ok := have[labels[i]]; !ok || v != labels[i+1] {
				same = false
			}
		}
		if same {
			return m
		}
	}
	return nil
}

func (f families) histogram(t *testing.T, name string, labels ...string) *dto.Histogram {
	t.Helper()
	m := f.find(name, labels...)
	if m == nil {
		t.Fatalf("no %s%v", name, labels)
	}
	return m.GetHistogram()
}

func (f families) want(t *testing.T, value float64, name string, labels ...string) {
	t.Helper()
	m := f.find(name, labels...)
	if m == nil {
		t.Errorf("no %s%v", name, labels)
		return
	}
	got := m.GetGauge().GetValue()
	if f[name].GetType() == dto.MetricType_COUNTER {
		got = m.GetCounter().GetValue()
	}
	if got != value {
		t.Errorf("%s%v is %v, want %v", name, labels, got, value)
	}
}

func (f families) absent(t *testing.T, name string, labels ...string) {
	t.Helper()
	if m := f.find(name, labels...); m != nil {
		t.Errorf("there is %s%v: %v", name, labels, m)
	}
}

func TestMetrics(t *testing.T) {
	src := healthy().failing()
	src.config.Errors = 2
	src.config.Valid = false
	src.config.Commit = "0123abcd"
	src.config.Git = &Git{URL: "https://git.example.com/tokens", Ref: "main", CheckedAt: noon().Add(-time.Minute), Failing: true}
	src.view.Credentials = append(src.view.Credentials,
		reconcile.Line{Address: "credential.coinify.old", Type: "coinify", State: reconcile.Stopped, Since: noon().Add(-time.Hour), ExpiresAt: noon().Add(-time.Minute), Generation: 2})
	src.view.Sinks[0].State = reconcile.Waiting
	src.view.Hooks[0].State = reconcile.Failing
	src.view.Lanes = []reconcile.LaneView{{Name: "", Running: 1, Waiting: 2}, {Name: "provider.coinify.default", Running: 3, Waiting: 4, InFlight: 2, OpenSince: noon()}}
	src.view.Credentials[0].Orphans, src.view.Credentials[0].Retiring = 3, 2
	src.view.Credentials[2].Retiring = 1
	src.view.Store.Intents = 5
	src.view.Held = &reconcile.HeldChange{Since: noon().Add(-2 * time.Hour), Rule: reconcile.HeldPercent, Revocations: make([]string, 12), Sinks: make([]string, 3)}
	h := Handler(Options{
		Source: src, Version: "0.1.0", Revision: "abc123", Now: noon,
		State: func() StateStats { return StateStats{Bytes: 65536, Syncs: 99} },
	})
	f := scrapeOf(t, h)

	alice := []string{"address", `credential.coinify.trader["alice"]`, "type", "coinify"}
	key := []string{"address", "credential.apirone.key", "type", "apirone"}
	unix := func(d time.Duration) float64 { return float64(noon().Add(d).Unix()) }
	f.want(t, unix(time.Hour), "tokend_credential_expiry_timestamp_seconds", alice...)
	f.absent(t, "tokend_credential_expiry_timestamp_seconds", key...)
	f.want(t, 7, "tokend_credential_generation", alice...)
	f.want(t, 1, "tokend_credential_state", append(alice, "state", "failing")...)
	f.absent(t, "tokend_credential_state", append(alice, "state", "ready")...)
	f.want(t, 1, "tokend_credential_state", append(key, "state", "ready")...)
	f.want(t, unix(-5*time.Minute), "tokend_credential_unready_since_timestamp_seconds", alice...)
	f.absent(t, "tokend_credential_unready_since_timestamp_seconds", key...)
	f.want(t, 3, "tokend_orphans", "type", "coinify")
	f.want(t, 0, "tokend_orphans", "type", "apirone")
	f.want(t, 3, "tokend_pending_revocations", "type", "coinify")
	f.want(t, 0, "tokend_pending_revocations", "type", "apirone")
	f.want(t, 1, "tokend_lane_open", "lane", "provider.coinify.default")
	f.want(t, 0, "tokend_lane_open", "lane", "local")
	f.want(t, 2, "tokend_lane_in_flight", "lane", "provider.coinify.default")
	f.want(t, 0, "tokend_series_dropped")

	f.want(t, 1, "tokend_credentials", "type", "coinify", "state", "failing")
	f.want(t, 1, "tokend_credentials", "type", "coinify", "state", "stopped")
	f.want(t, 0, "tokend_credentials", "type", "coinify", "state", "ready")
	f.want(t, 1, "tokend_credentials", "type", "apirone", "state", "ready")
	f.want(t, 0, "tokend_credentials", "type", "apirone", "state", "needs_login")
	f.want(t, 1, "tokend_sinks", "type", "file", "state", "waiting")
	f.want(t, 0, "tokend_sinks", "type", "file", "state", "ready")
	f.want(t, 1, "tokend_hooks", "type", "exec", "state", "failing")
	f.want(t, 1, "tokend_credentials_expired", "type", "coinify")
	f.want(t, 0, "tokend_credentials_expired", "type", "apirone")
	f.want(t, unix(-time.Minute), "tokend_credentials_earliest_expiry_timestamp_seconds", "type", "coinify")
	f.absent(t, "tokend_credentials_earliest_expiry_timestamp_seconds", "type", "apirone")

	f.want(t, 1, "tokend_lane_running", "lane", "local")
	f.want(t, 4, "tokend_lane_waiting", "lane", "provider.coinify.default")
	f.want(t, 4, "tokend_queue_running")
	f.want(t, 6, "tokend_queue_depth")
	f.want(t, 5, "tokend_journal_open_intents")
	f.want(t, 12, "tokend_held_changes", "kind", "revocation")
	f.want(t, 3, "tokend_held_changes", "kind", "sink")
	f.want(t, unix(-2*time.Hour), "tokend_held_since_timestamp_seconds")
	f.want(t, 1, "tokend_held_reason", "rule", "max_revoked_percent")
	f.want(t, 0, "tokend_configuration_valid")
	f.want(t, 2, "tokend_configuration_errors")
	f.want(t, 1, "tokend_configuration_info", "commit", "0123abcd", "repository", "https://git.example.com/tokens", "ref", "main")
	f.want(t, 0, "tokend_git_up_to_date", "repository", "https://git.example.com/tokens", "ref", "main")
	f.want(t, unix(-time.Minute), "tokend_git_checked_timestamp_seconds", "repository", "https://git.example.com/tokens", "ref", "main")
	f.want(t, unix(-time.Hour), "tokend_configuration_load_timestamp_seconds")
	f.want(t, 42, "tokend_state_serial")
	f.want(t, 3, "tokend_state_records")
	f.want(t, 1, "tokend_state_writable")
	f.want(t, 65536, "tokend_state_size_bytes")
	f.want(t, 99, "tokend_state_syncs_total")
	f.want(t, 0.25, "tokend_state_commit_seconds")
	f.want(t, 0, "tokend_ready")
	f.want(t, 1, "tokend_first_pass_done")
	f.want(t, unix(-time.Second), "tokend_loop_progress_timestamp_seconds")
	f.want(t, 1, "tokend_snapshot_success")
	f.want(t, 1, "tokend_build_info", "version", "0.1.0", "revision", "abc123", "goversion", runtime.Version())
	f.want(t, 0, "promhttp_metric_handler_errors_total", "cause", "gathering")
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if f[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

// What is gone leaves no series, and what is over leaves none either.
func TestMetricsKeepNothing(t *testing.T) {
	src := healthy().failing()
	src.view.Held = &reconcile.HeldChange{Since: noon(), Sinks: make([]string, 3)}
	h := handlerOf(src)
	before := scrapeOf(t, h)
	if len(before["tokend_credential_generation"].GetMetric()) != 2 {
		t.Fatalf("before: %v", before["tokend_credential_generation"])
	}
	src.mu.Lock()
	src.view.Credentials, src.view.Sinks, src.view.Held = src.view.Credentials[1:], nil, nil
	src.mu.Unlock()
	after := pollScrape(t, h, func(f families) bool { return len(f["tokend_credential_generation"].GetMetric()) == 1 })
	for _, gone := range []string{
		"tokend_credential_expiry_timestamp_seconds", "tokend_credential_unready_since_timestamp_seconds", "tokend_sinks", "tokend_held_since_timestamp_seconds", "tokend_held_reason",
	} {
		if m := after[gone].GetMetric(); len(m) != 0 {
			t.Errorf("left over: %v", m)
		}
	}
	after.want(t, 0, "tokend_held_changes", "kind", "sink")
}

// pollScrape scrapes until ok: a snapshot may be shared for a moment.
func pollScrape(t *testing.T, h http.Handler, ok func(families) bool) families {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-tick.C {
		if f := scrapeOf(t, h); ok(f) {
			return f
		}
	}
	t.Fatal("the metrics did not follow the view")
	return nil
}

func TestMetricsCap(t *testing.T) {
	// Alice has expiry, generation and state; the key has no expiry.
	for _, c := range []struct {
		max     int
		dropped float64
	}{{0, 0}, {5, 0}, {4, 5}, {-1, 5}} {
		src := healthy()
		f := scrapeOf(t, Handler(Options{Source: src, MaxSeries: c.max, Now: noon}))
		f.want(t, c.dropped, "tokend_series_dropped")
		n := 0
		for name, fam := range f {
			if strings.HasPrefix(name, "tokend_credential_") {
				n += len(fam.GetMetric())
			}
		}
		if n != 5-int(c.dropped) {
			t.Errorf("MaxSeries %d: %d series of single credentials", c.max, n)
		}
		f.want(t, 1, "tokend_credentials", "type", "coinify", "state", "ready")
		f.want(t, float64(noon().Add(time.Hour).Unix()), "tokend_credentials_earliest_expiry_timestamp_seconds", "type", "coinify")
	}
}

// A loop that does not answer is seen, and the rest of the metrics with it.
func TestMetricsWithoutTheLoop(t *testing.T) {
	for _, err := range []error{reconcile.ErrClosed, context.DeadlineExceeded, errors.New("canary-message")} {
		src := healthy()
		src.err = err
		f := scrapeOf(t, handlerOf(src))
		f.want(t, 0, "tokend_snapshot_success")
		f.want(t, 1, "tokend_configuration_valid")
		f.want(t, float64(noon().Unix()-1), "tokend_loop_progress_timestamp_seconds")
		f.absent(t, "tokend_ready")
		f.absent(t, "tokend_queue_depth")
	}
	src := healthy()
	src.turned, src.config = time.Time{}, Configuration{}
	f := scrapeOf(t, handlerOf(src))
	f.absent(t, "tokend_loop_progress_timestamp_seconds")
	f.absent(t, "tokend_configuration_load_timestamp_seconds")
	f.want(t, 0, "tokend_configuration_valid")
	f.absent(t, "tokend_policy_valid")
	for policy, valid := range map[string]float64{PolicyInForce: 1, PolicyBroken: 0} {
		src.config.Policy = policy
		scrapeOf(t, handlerOf(src)).want(t, valid, "tokend_policy_valid")
	}
}

// Names, units and help are as Prometheus wants them, and the collector
// describes exactly what it collects.
func TestMetricsFollowTheConventions(t *testing.T) {
	src := healthy().failing()
	src.view.Lanes = []reconcile.LaneView{{Name: "x"}}
	src.view.Held = &reconcile.HeldChange{Since: noon()}
	rec := NewRecorder(noon)
	rec.Observe(reconcile.Event{Address: "sink.file.a", Type: "file", Op: "write", Class: "ok"})
	reg := prometheus.NewPedanticRegistry()
	pedantic := prometheus.NewPedanticRegistry()
	o := Options{Source: src, Recorder: rec, State: func() StateStats { return StateStats{} }, MaxSeries: 100, Now: noon, Logger: slog.New(slog.DiscardHandler)}
	reg.MustRegister(buildInfo(o))
	rec.register(reg)
	pedantic.MustRegister(&collector{o: o, desc: describe(), view: src.view})
	if _, err := pedantic.Gather(); err != nil {
		t.Fatal(err)
	}
	all := &gatherer{o: o, snaps: &snapshots{source: src}, desc: describe(), always: reg}
	problems, err := testutil.GatherAndLint(all)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	fams, err := all.Gather()
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{"address": true, "type": true, "state": true, "lane": true, "kind": true, "op": true, "class": true, "rule": true, "version": true, "revision": true, "goversion": true}
	for _, f := range fams {
		// What a registry checks, checked for what goes past it.
		seen := map[string]bool{}
		for _, m := range f.GetMetric() {
			if key := fmt.Sprint(m.GetLabel()); seen[key] {
				t.Errorf("%s has %s twice", f.GetName(), key)
			} else {
				seen[key] = true
			}
			if !slices.IsSortedFunc(m.GetLabel(), func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) }) {
				t.Errorf("%s has labels out of order: %v", f.GetName(), m.GetLabel())
			}
		}
		for _, l := range f.GetMetric()[0].GetLabel() {
			if !allowed[l.GetName()] {
				t.Errorf("%s has a label %q", f.GetName(), l.GetName())
			}
		}
	}
}

// Text that is no UTF-8 costs neither the scrape nor the process.
func TestMetricsOfBrokenText(t *testing.T) {
	src := healthy()
	src.view.Credentials[0].Address = "credential.x.\xff\xfe"
	src.view.Credentials[0].Type = "x\xff"
	src.view.Lanes = []reconcile.LaneView{{Name: "\xff"}}
	f := scrapeOf(t, Handler(Options{Source: src, Version: "\xff", Now: noon}))
	f.want(t, 7, "tokend_credential_generation", "address", "credential.x.\uFFFD", "type", "x\uFFFD")
}

// No message, place or source gets into metrics, and readyz shows no place.
func TestCanary(t *testing.T) {
	const canary = "s3cr3t+canary/value=="
	src := healthy()
	spoil := func(lines []reconcile.Line, state reconcile.State) {
		for i := range lines {
			l := &lines[i]
			l.State, l.Why, l.Next, l.Mend, l.Place = state, canary, canary, canary, canary
		}
	}
	src.view.Ready = false
	spoil(src.view.Credentials, reconcile.Failing)
	spoil(src.view.Sinks, reconcile.Stopped)
	spoil(src.view.Hooks, reconcile.Failing)
	src.view.Held = &reconcile.HeldChange{Since: noon(), Reason: canary, Revocations: []string{canary}, Sinks: []string{canary}}
	src.view.Store.Path, src.view.Store.Error = canary, canary
	src.config = Configuration{Errors: 1, LoadedAt: noon(), Source: canary}
	rec := NewRecorder(noon)
	rec.Observe(reconcile.Event{Address: canary, Type: canary, Op: canary, Class: canary})
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h := Handler(Options{Source: src, Recorder: rec, Now: noon, Logger: logger})

	check := func(what, text string) {
		t.Helper()
		for _, form := range []string{canary, "s3cr3t", base64.StdEncoding.EncodeToString([]byte(canary)), url.QueryEscape(canary)} {
			if strings.Contains(text, form) {
				t.Errorf("%s has %q: %s", what, form, text)
			}
		}
	}
	metrics := newRecorderFor(t, h, "/metrics").String()
	check("/metrics", metrics)
	if !strings.Contains(metrics, `tokend_calls_total{class="other",kind="other",op="other",type="other"} 1`) {
		t.Error("the odd event was not counted")
	}
	check("/livez", get(t, h, "/livez").Body.String())

	// The reasons are there to be read, the places are not.
	for _, accept := range []string{"*/*", "application/json"} {
		clean := healthy().failing()
		clean.view.Sinks[0].Place, clean.view.Sinks[0].State = canary, reconcile.Failing
		clean.view.Store.Path = canary
		h := Handler(Options{Source: clean, Now: noon, Logger: logger})
		for _, path := range []string{"/readyz", "/readyz?verbose", "/readyz/sink.file.trader%5B%22alice%22%5D"} {
			check(path, get(t, h, path, "Accept", accept).Body.String())
		}
	}
	check("the log", log.String())
}

func TestMetricsCompressed(t *testing.T) {
	w := get(t, handlerOf(many(100)), "/metrics", "Accept-Encoding", "gzip")
	if got := w.Header().Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("Content-Encoding is %q", got)
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil || !bytes.Contains(plain, []byte("tokend_credentials{")) {
		t.Errorf("%v: %.200s", err, plain)
	}
}
