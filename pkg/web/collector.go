package web

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tokend/pkg/reconcile"
)

// collector makes metrics of one view, all but those of single credentials. It
// is made for one scrape, so what is gone from the view is gone from the next.
type collector struct {
	o       Options
	desc    *descriptions
	view    reconcile.View
	err     error // why there is no view
	dropped int   // series of single credentials
}

// descriptions of what a collector exports, made once.
type descriptions struct {
	dropped                                                  *prometheus.Desc
	credentials, sinks, hooks                                *prometheus.Desc
	expired, earliest, orphans, revocations                  *prometheus.Desc
	laneRunning, laneWaiting, running, depth                 *prometheus.Desc
	laneInFlight, laneOpen                                   *prometheus.Desc
	intents, serial, records, writable, size, syncs, commits *prometheus.Desc
	held, heldSince, heldRule                                *prometheus.Desc
	configValid, configErrors, configLoaded, policyValid     *prometheus.Desc
	commit, gitFollowed, gitChecked                          *prometheus.Desc
	ready, firstPass, progress, success                      *prometheus.Desc

	all []*prometheus.Desc
}

func describe() *descriptions {
	var all []*prometheus.Desc
	d := func(name, help string, labels ...string) *prometheus.Desc {
		desc := prometheus.NewDesc("tokend_"+name, help, labels, nil)
		all = append(all, desc)
		return desc
	}
	descs := &descriptions{
		dropped: d("series_dropped", "Series of single credentials that were left out because there would have been too many."),

		credentials: d("credentials", "Credentials by state.", "type", "state"),
		sinks:       d("sinks", "Sinks by state.", "type", "state"),
		hooks:       d("hooks", "Hooks by state.", "type", "state"),
		expired:     d("credentials_expired", "Credentials that hold a token that has expired.", "type"),
		earliest:    d("credentials_earliest_expiry_timestamp_seconds", "When the first of the tokens expires, or did.", "type"),

		revocations: d("pending_revocations", "Earlier tokens that wait to be given up: for their sinks, their overlap, or their provider.", "type"),

		orphans: d("orphans", "Tokens that nobody knows and that may live: a reply was lost, or state rm has forgotten them.", "type"),

		laneInFlight: d("lane_in_flight", "Requests in flight, by what is asked.", "lane"),
		laneOpen:     d("lane_open", "1 while a provider that answers nobody is asked only now and then: its breaker is open.", "lane"),
		laneRunning:  d("lane_running", "Addresses that are worked on, by what is asked.", "lane"),
		laneWaiting:  d("lane_waiting", "Addresses that are due and wait for room, by what is asked.", "lane"),
		running:      d("queue_running", "Addresses that are worked on."),
		depth:        d("queue_depth", "Addresses that are due and wait for room."),

		intents:  d("journal_open_intents", "Calls that were begun and whose outcome is not recorded."),
		serial:   d("state_serial", "Grows with every commit of the state."),
		records:  d("state_records", "Records in the state."),
		writable: d("state_writable", "1 while the state takes writes."),
		size:     d("state_size_bytes", "Size of the state's file."),
		commits:  d("state_commit_seconds", "How long a commit of the state took of late, as a moving average: the longer, the more is in progress."),
		syncs:    d("state_syncs_total", "Disk syncs of the state's file since it was opened."),

		held:      d("held_changes", "What the guard holds back until a person approves.", "kind"),
		heldRule:  d("held_reason", "1 for the rule by which the guard holds a change back; no series while it holds none.", "rule"),
		heldSince: d("held_since_timestamp_seconds", "Since when the guard holds a change back; no series while it holds none."),

		configValid:  d("configuration_valid", "1 when the last load of the configuration had no error."),
		configErrors: d("configuration_errors", "Errors of the last load of the configuration."),
		configLoaded: d("configuration_load_timestamp_seconds", "When the configuration in force was taken over."),
		policyValid:  d("policy_valid", "1 while the host's policy is in force as its file is now, 0 while that cannot be used; no series where there is none."),
		commit:       d("configuration_info", "1 for the commit whose configuration is in force; no series where it is no checkout.", "commit", "repository", "ref"),
		gitFollowed:  d("git_up_to_date", "1 while the newest commit of the repository that is followed is known and taken.", "repository", "ref"),
		gitChecked:   d("git_checked_timestamp_seconds", "When the repository that is followed last answered.", "repository", "ref"),

		ready:     d("ready", "1 when every address is ready; what is held back counts as ready while its token is good."),
		firstPass: d("first_pass_done", "1 once every address was looked at."),
		progress:  d("loop_progress_timestamp_seconds", "When the reconcile loop last turned."),
		success:   d("snapshot_success", "1 when the reconcile loop answered this scrape; else what comes from it is missing."),
	}
	descs.all = all
	return descs
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.desc.all {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	out := scrape{ch: ch, d: c.desc}
	// These do not wait for the loop.
	out.configuration(c.o.Source.Configuration())
	out.time(c.desc.progress, c.o.Source.Progress())
	if c.o.State != nil {
		stats := c.o.State()
		out.gauge(c.desc.size, float64(stats.Bytes))
		out.counter(c.desc.syncs, float64(stats.Syncs))
	}
	out.gauge(c.desc.success, truth(c.err == nil))
	if c.err != nil {
		return
	}
	v := &c.view
	out.gauge(c.desc.ready, truth(v.Ready))
	out.gauge(c.desc.firstPass, truth(v.FirstPass))
	out.lanes(v.Lanes)
	out.store(v.Store)
	out.heldBack(v.Held)
	out.counts(c.desc.credentials, v.Credentials)
	out.counts(c.desc.sinks, v.Sinks)
	out.counts(c.desc.hooks, v.Hooks)
	out.expiries(v.Credentials, v.Now)
	out.gauge(c.desc.dropped, float64(c.dropped))
}

// scrape sends metrics to one scrape.
type scrape struct {
	ch chan<- prometheus.Metric
	d  *descriptions
}

func (s scrape) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (s scrape) counter(d *prometheus.Desc, value float64) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value)
}

// time sends an instant; none is no series, because 0 would be 1970.
func (s scrape) time(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		s.gauge(d, seconds(t), labels...)
	}
}

func (s scrape) configuration(c Configuration) {
	s.gauge(s.d.configValid, truth(c.Valid))
	s.gauge(s.d.configErrors, float64(c.Errors))
	s.time(s.d.configLoaded, c.LoadedAt)
	if c.Policy != "" {
		s.gauge(s.d.policyValid, truth(c.Policy == PolicyInForce))
	}
	repository, ref := "", ""
	if g := c.Git; g != nil {
		repository, ref = label(g.URL), label(g.Ref)
		s.gauge(s.d.gitFollowed, truth(!g.Failing), repository, ref)
		s.time(s.d.gitChecked, g.CheckedAt, repository, ref)
	}
	if c.Commit != "" {
		s.gauge(s.d.commit, 1, label(c.Commit), repository, ref)
	}
}

func (s scrape) lanes(lanes []reconcile.LaneView) {
	running, waiting := 0, 0
	for _, l := range lanes {
		name := label(l.Name)
		if name == "" {
			name = "local"
		}
		s.gauge(s.d.laneRunning, float64(l.Running), name)
		s.gauge(s.d.laneWaiting, float64(l.Waiting), name)
		s.gauge(s.d.laneInFlight, float64(l.InFlight), name)
		s.gauge(s.d.laneOpen, truth(!l.OpenSince.IsZero()), name)
		running += l.Running
		waiting += l.Waiting
	}
	s.gauge(s.d.running, float64(running))
	s.gauge(s.d.depth, float64(waiting))
}

func (s scrape) store(v reconcile.StoreView) {
	s.gauge(s.d.intents, float64(v.Intents))
	s.gauge(s.d.serial, float64(v.Serial))
	s.gauge(s.d.records, float64(v.Records))
	s.gauge(s.d.writable, truth(v.Error == ""))
	s.gauge(s.d.commits, v.CommitSeconds)
}

func (s scrape) heldBack(h *reconcile.HeldChange) {
	revocations, sinks := 0, 0
	if h != nil {
		revocations, sinks = len(h.Revocations), len(h.Sinks)
		s.time(s.d.heldSince, h.Since)
		s.gauge(s.d.heldRule, 1, label(string(h.Rule)))
	}
	s.gauge(s.d.held, float64(revocations), "revocation")
	s.gauge(s.d.held, float64(sinks), "sink")
}

// states in which an address can be; those that occur nowhere are exported as
// 0, so that a rule can count on them.
func states() []reconcile.State {
	return []reconcile.State{
		reconcile.Ready, reconcile.Pending, reconcile.Waiting, reconcile.Failing, reconcile.Stopped,
		reconcile.NeedsLogin, reconcile.Indeterminate, reconcile.Unread, reconcile.Held, reconcile.Removing, reconcile.Removed,
	}
}

func (s scrape) counts(d *prometheus.Desc, lines []reconcile.Line) {
	byType := map[string]map[reconcile.State]int{}
	for i := range lines {
		counts := byType[lines[i].Type]
		if counts == nil {
			counts = map[reconcile.State]int{}
			for _, st := range states() {
				counts[st] = 0
			}
			byType[lines[i].Type] = counts
		}
		counts[lines[i].State]++
	}
	for typ, counts := range byType {
		for st, n := range counts {
			s.gauge(d, float64(n), label(typ), label(string(st)))
		}
	}
}

func (s scrape) expiries(lines []reconcile.Line, now time.Time) {
	type expiry struct {
		expired  int
		earliest time.Time
		orphans  int
		retiring int
	}
	byType := map[string]expiry{}
	for i := range lines {
		l := &lines[i]
		e := byType[l.Type]
		e.orphans += l.Orphans
		e.retiring += l.Retiring
		if at := l.ExpiresAt; !at.IsZero() {
			if !at.After(now) {
				e.expired++
			}
			if e.earliest.IsZero() || at.Before(e.earliest) {
				e.earliest = at
			}
		}
		byType[l.Type] = e
	}
	for typ, e := range byType {
		s.gauge(s.d.expired, float64(e.expired), label(typ))
		s.time(s.d.earliest, e.earliest, label(typ))
		s.gauge(s.d.orphans, float64(e.orphans), label(typ))
		s.gauge(s.d.revocations, float64(e.retiring), label(typ))
	}
}
