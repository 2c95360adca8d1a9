package web

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// metricsHandler serves a registry of its own.
func metricsHandler(o Options, snaps *snapshots) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(o),
	)
	if o.Recorder != nil {
		o.Recorder.register(reg)
	}
	g := &gatherer{o: o, snaps: snaps, desc: describe(), always: reg}
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		// What can be said is said; what cannot is logged and counted.
		ErrorHandling:  promhttp.ContinueOnError,
		ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
		Registry:       reg,
		CoalesceGather: true,
		// Each answer of a large host is megabytes.
		MaxRequestsInFlight: 4,
	})
}

// gatherer brings together, for one scrape, what is counted all the time and
// what one view of the loop shows.
type gatherer struct {
	o      Options
	snaps  *snapshots
	desc   *descriptions
	always *prometheus.Registry
}

// Gather implements prometheus.Gatherer.
func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	// Bounded by the snapshot's own patience: a scrape has no context.
	c := &collector{o: g.o, desc: g.desc}
	c.view, c.err = g.snaps.get(context.Background())
	if c.err != nil {
		g.o.Logger.Warn("a scrape goes without the reconcile loop's metrics", "error", c.err)
	}
	var single []*dto.MetricFamily
	single, c.dropped = credentialSeries(c.view.Credentials, g.o.MaxSeries)
	now := prometheus.NewRegistry()
	if err := now.Register(c); err != nil {
		return nil, err
	}
	fams, err := prometheus.Gatherers{g.always, now}.Gather()
	fams = append(fams, single...)
	slices.SortFunc(fams, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return fams, err
}

func buildInfo(o Options) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tokend_build_info",
		Help: "1; its labels say what is running.",
		ConstLabels: prometheus.Labels{
			"version": label(o.Version), "revision": label(o.Revision), "goversion": runtime.Version(),
		},
	})
	g.Set(1)
	return g
}

// label is a label's value: Prometheus takes no invalid UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// seconds is an instant as metrics have it, to the microsecond.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
