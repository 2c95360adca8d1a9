package web

import (
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"tokend/pkg/reconcile"
)

// Recorder counts finished calls. Its Observe is what reconcile.Options.Observe
// wants; it takes well under a microsecond, never waits, and is safe for
// concurrent use. Counters live as long as the Recorder, and what they are
// labelled with is bounded: kinds, types, operations and classes, not addresses.
type Recorder struct {
	now   func() time.Time
	calls *prometheus.CounterVec
	took  *prometheus.HistogramVec

	writes    *prometheus.GaugeVec
	mu        sync.Mutex
	lastWrite map[string]*lastWrite // by type of sink
	known     map[labels]counters
}

// lastWrite is when a sink of some type was last written.
type lastWrite struct {
	at    time.Time
	gauge prometheus.Gauge
}

// labels are what finished calls are told apart by.
type labels struct{ kind, typ, op, class string }

// counters are those of some labels, which cost more to find than to raise.
type counters struct {
	calls prometheus.Counter
	took  prometheus.Observer
}

// NewRecorder makes a Recorder; now is the clock, nil for time.Now.
func NewRecorder(now func() time.Time) *Recorder {
	if now == nil {
		now = time.Now
	}
	return &Recorder{
		now: now,
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tokend_calls_total",
			Help: `Finished calls by result: class is "ok" or a class of failure.`,
		}, []string{"kind", "type", "op", "class"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tokend_call_duration_seconds",
			Help: "How long finished calls took, whatever came of them.",
			// From a local file to the longest timeouts that are sensible.
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"kind", "type", "op"}),
		writes: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "tokend_sink_last_write_timestamp_seconds",
			Help: "When a sink of the type was last written with success, since the start.",
		}, []string{"type"}),
		lastWrite: map[string]*lastWrite{},
		known:     map[labels]counters{},
	}
}

// Observe takes an event down.
func (r *Recorder) Observe(e reconcile.Event) {
	l := labels{kindOf(e.Address), word(e.Type), word(e.Op), word(e.Class)}
	c := r.counters(l)
	c.calls.Inc()
	c.took.Observe(max(e.Took, 0).Seconds())
	if l.kind == "sink" && l.class == classOK && writes(reconcile.Action(l.op)) {
		r.wrote(l.typ)
	}
}

func (r *Recorder) counters(l labels) counters {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.known[l]
	if !ok {
		c = counters{r.calls.WithLabelValues(l.kind, l.typ, l.op, l.class), r.took.WithLabelValues(l.kind, l.typ, l.op)}
		r.known[l] = c
	}
	return c
}

const classOK = "ok"

// writes reports whether a sink's step puts the token there.
func writes(a reconcile.Action) bool {
	return a == reconcile.ActWrite || a == reconcile.ActRepair
}

// wrote keeps the latest, since events of several workers may overtake.
func (r *Recorder) wrote(typ string) {
	at := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.lastWrite[typ]
	if !ok {
		w = &lastWrite{gauge: r.writes.WithLabelValues(typ)}
		r.lastWrite[typ] = w
	}
	if at.After(w.at) {
		w.at = at
		w.gauge.Set(seconds(at))
	}
}

func (r *Recorder) register(reg *prometheus.Registry) {
	reg.MustRegister(r.calls, r.took, r.writes)
}

// kindOf is the first part of an address.
func kindOf(addr string) string {
	kind, _, _ := strings.Cut(addr, ".")
	switch kind {
	case "credential", "sink", "hook":
		return kind
	}
	return other
}

const (
	other = "other"
	// wordLength is more than any identifier of ours or of a provider type has.
	wordLength = 64
)

// word lets identifiers through. Anything else was meant to be read by people,
// could be of any number, and may hold what does not belong into a label.
func word(s string) string {
	if s == "" || len(s) > wordLength {
		return other
	}
	for i, r := range s {
		if unicode.IsLetter(r) || r == '_' || i > 0 && (r == '-' || unicode.IsDigit(r)) {
			continue
		}
		return other
	}
	return s
}
