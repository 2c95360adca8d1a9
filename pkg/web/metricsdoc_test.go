package web

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"tokend/pkg/reconcile"
)

var updateMetrics = flag.Bool("update-metrics", false, "write the table of docs/metrics.md anew")

const metricsPage = "../../docs/metrics.md"

// docs/metrics.md lists every metric that a scrape of a host brings on which all that
// metrics are about is there: what each means, in what unit, and its labels. It is
// written anew by: go test ./pkg/web -run TestEveryMetricIsDocumented -update-metrics
func TestEveryMetricIsDocumented(t *testing.T) {
	fams := scrapeOf(t, hostWithAll())
	for _, d := range describe().all {
		if name := regexp.MustCompile(`tokend_\w+`).FindString(d.String()); fams[name] == nil {
			t.Errorf("%s is not in the scrape of a host on which everything is there", name)
		}
	}
	want := []string{"| metric | type | unit | labels | what it says |", "| --- | --- | --- | --- | --- |"}
	var names []string
	for name, f := range fams {
		switch {
		case strings.HasPrefix(name, "tokend_"):
			names = append(names, name)
			if f.GetHelp() == "" {
				t.Errorf("%s says nothing of itself", name)
			}
		case !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.HasPrefix(name, "promhttp_"):
			t.Errorf("%s is of none of the families that the page names", name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		f := fams[name]
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", name, strings.ToLower(f.GetType().String()), unitOf(name), labelsOf(f), strings.ReplaceAll(f.GetHelp(), "|", `\|`)))
	}
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	rest := strings.Split(string(page), "\n")
	begin := slices.IndexFunc(rest, func(l string) bool { return strings.HasPrefix(l, "|") })
	if begin < 0 {
		t.Fatal("the page has no table")
	}
	end := begin + slices.IndexFunc(rest[begin:], func(l string) bool { return !strings.HasPrefix(l, "|") })
	got = rest[begin:end]
	if *updateMetrics {
		text := strings.Join(slices.Concat(rest[:begin], want, rest[end:]), "\n")
		if err := os.WriteFile(metricsPage, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("docs/metrics.md is not what /metrics has (-page +scrape); write it anew with -update-metrics:\n%s", diff)
	}
}

// hostWithAll is a host on which everything is there that a metric is about.
func hostWithAll() http.Handler {
	src := healthy().failing()
	src.view.Held = &reconcile.HeldChange{Since: noon(), Reason: "too much", Rule: reconcile.HeldRevocations, Revocations: []string{"credential.a.b"}}
	src.view.Lanes = []reconcile.LaneView{{Name: "provider.coinify.default"}}
	src.config.Commit, src.config.Policy, src.config.Git = "abc", PolicyInForce, &Git{URL: "https://git.example.com/x", Ref: "main", CheckedAt: noon()}
	rec := NewRecorder(noon)
	rec.Observe(reconcile.Event{Address: "credential.coinify.trader", Type: "coinify", Op: "refresh", Class: "ok", Took: time.Second})
	rec.Observe(reconcile.Event{Address: "sink.file.trader", Type: "file", Op: string(reconcile.ActWrite), Class: "ok", Took: time.Millisecond})
	return Handler(Options{Source: src, Recorder: rec, State: func() StateStats { return StateStats{Bytes: 1, Syncs: 1} }, Version: "0.1.0", Revision: "abc123", Now: noon})
}

// unitOf is the unit of a metric, as its name says by Prometheus's own habit.
func unitOf(name string) string {
	switch {
	case strings.HasSuffix(name, "_timestamp_seconds"):
		return "Unix time, s"
	case strings.HasSuffix(name, "_seconds"):
		return "s"
	case strings.HasSuffix(name, "_bytes"):
		return "bytes"
	}
	return ""
}

func labelsOf(f *dto.MetricFamily) string {
	var all []string
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if n := "`" + l.GetName() + "`"; !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
