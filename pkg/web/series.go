package web

import (
	"time"

	dto "github.com/prometheus/client_model/go"

	"tokend/pkg/reconcile"
)

// credentialSeries makes the families of single credentials, or none of them
// when they would be more than limit series together; then it says how many
// are missing.
//
// It does by hand what a collector and a registry would do, because there can
// be hundreds of thousands of these: memory comes in a few large pieces, labels
// are shared between the series of a credential and between credentials, and
// nothing is sorted or compared, since a view's lines are in order and distinct.
func credentialSeries(lines []reconcile.Line, limit int) (fams []*dto.MetricFamily, dropped int) {
	n := countSeries(lines)
	if total := n.total(); total > max(limit, 0) {
		return nil, total
	}
	b := newSeriesBuilder(n, len(lines))
	for i := range lines {
		b.add(&lines[i])
	}
	for _, f := range []*dto.MetricFamily{b.expiry, b.generation, b.state, b.unready} {
		if len(f.Metric) > 0 { // a family without a metric is refused by encoders
			fams = append(fams, f)
		}
	}
	return fams, 0
}

// seriesCount is how many series each family gets.
type seriesCount struct{ expiry, unready, credentials int }

func countSeries(lines []reconcile.Line) seriesCount {
	n := seriesCount{credentials: len(lines)}
	for i := range lines {
		if !lines[i].ExpiresAt.IsZero() {
			n.expiry++
		}
		if !unreadySince(&lines[i]).IsZero() {
			n.unready++
		}
	}
	return n
}

func (n seriesCount) total() int { return n.expiry + n.unready + 2*n.credentials }

// unreadySince is zero for a credential that is ready, and for one that is removed.
func unreadySince(l *reconcile.Line) time.Time {
	if l.State == reconcile.Ready || l.State == reconcile.Removed {
		return time.Time{}
	}
	return l.Since
}

// seriesBuilder hands out pieces of slices that were made once.
type seriesBuilder struct {
	expiry, generation, state, unready *dto.MetricFamily

	metrics   []dto.Metric
	gauges    []dto.Gauge
	values    []float64
	addresses []dto.LabelPair
	texts     []string
	pairs     []*dto.LabelPair
	types     map[string]*dto.LabelPair
	states    map[reconcile.State]*dto.LabelPair

	names struct{ address, typ, state string }
}

// pairsEach is how many labels a credential's series have: address and type,
// shared by three of them, and address, state and type.
const pairsEach = 5

func newSeriesBuilder(n seriesCount, credentials int) *seriesBuilder {
	b := &seriesBuilder{
		expiry:     gaugeFamily("tokend_credential_expiry_timestamp_seconds", "When the access token expires; no series where it does not.", n.expiry),
		generation: gaugeFamily("tokend_credential_generation", "Counts the tokens that the address has had.", credentials),
		state:      gaugeFamily("tokend_credential_state", "1 for the state that the credential is in; the others have no series.", credentials),
		unready:    gaugeFamily("tokend_credential_unready_since_timestamp_seconds", "Since when the credential is in a state other than ready.", n.unready),
		metrics:    make([]dto.Metric, n.total()),
		gauges:     make([]dto.Gauge, n.total()),
		values:     make([]float64, n.total()),
		addresses:  make([]dto.LabelPair, credentials),
		texts:      make([]string, credentials),
		pairs:      make([]*dto.LabelPair, 0, pairsEach*credentials),
		types:      map[string]*dto.LabelPair{},
		states:     map[reconcile.State]*dto.LabelPair{},
	}
	b.names.address, b.names.typ, b.names.state = "address", "type", "state"
	return b
}

func gaugeFamily(name, help string, series int) *dto.MetricFamily {
	return &dto.MetricFamily{
		Name: new(name), Help: new(help), Type: dto.MetricType_GAUGE.Enum(), Metric: make([]*dto.Metric, 0, series),
	}
}

func (b *seriesBuilder) add(l *reconcile.Line) {
	addr, typ, state := b.address(l.Address), b.typ(l.Type), b.stateOf(l.State)
	plain := b.labels(addr, typ)
	b.gauge(b.generation, float64(l.Generation), plain)
	b.gauge(b.state, 1, b.labels(addr, state, typ)) // in the order of the labels' names
	if !l.ExpiresAt.IsZero() {
		b.gauge(b.expiry, seconds(l.ExpiresAt), plain)
	}
	if since := unreadySince(l); !since.IsZero() {
		b.gauge(b.unready, seconds(since), plain)
	}
}

func (b *seriesBuilder) gauge(f *dto.MetricFamily, value float64, labels []*dto.LabelPair) {
	m, g, v := &b.metrics[0], &b.gauges[0], &b.values[0]
	b.metrics, b.gauges, b.values = b.metrics[1:], b.gauges[1:], b.values[1:]
	*v = value
	g.Value = v
	m.Label, m.Gauge = labels, g
	f.Metric = append(f.Metric, m)
}

func (b *seriesBuilder) labels(pairs ...*dto.LabelPair) []*dto.LabelPair {
	begin := len(b.pairs)
	b.pairs = append(b.pairs, pairs...)
	return b.pairs[begin:len(b.pairs):len(b.pairs)]
}

func (b *seriesBuilder) address(addr string) *dto.LabelPair {
	p, text := &b.addresses[0], &b.texts[0]
	b.addresses, b.texts = b.addresses[1:], b.texts[1:]
	*text = label(addr)
	p.Name, p.Value = &b.names.address, text
	return p
}

func (b *seriesBuilder) typ(typ string) *dto.LabelPair {
	p, ok := b.types[typ]
	if !ok {
		p = &dto.LabelPair{Name: &b.names.typ, Value: new(label(typ))}
		b.types[typ] = p
	}
	return p
}

func (b *seriesBuilder) stateOf(s reconcile.State) *dto.LabelPair {
	p, ok := b.states[s]
	if !ok {
		p = &dto.LabelPair{Name: &b.names.state, Value: new(label(string(s)))}
		b.states[s] = p
	}
	return p
}
