package spec

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// defaultSettings are those of a directory without a tokend block.
func defaultSettings() Settings {
	return Settings{
		Guard:   Guard{MaxRevocations: 10, MaxRevokedPercent: 25, Settle: 10 * time.Second},
		Refresh: RefreshPolicy{At: 0.66, Jitter: 0.1, MinRemaining: time.Minute},
		Retry:   RetryPolicy{Initial: time.Second, Max: 5 * time.Minute},
	}
}

// loadSettings reads the tokend block.
func (l *loader) loadSettings() {
	l.c.settings = defaultSettings()
	for i, at := range l.tokend {
		if i > 0 {
			first := l.tokend[0].header()
			l.report(problem(at.header(), "Duplicate block tokend", "A tokend block stands at %s:%d already; there may be one in a directory.", first.Filename, first.Start.Line))
			continue
		}
		l.readSettings(at)
	}
}

func (l *loader) readSettings(at place) {
	f, diags := newForm(at.src, at.row)
	l.report(diags...)
	sc := SettingsSchema()
	m, diags := l.ev.args(f, &sc, nil, &selectArgs{check: true})
	l.report(diags...)
	v := section{l: l, f: f, v: NewValues(m)}
	s := &l.c.settings
	s.RequiredVersion = v.text("required_version")
	l.checkVersion(f, s.RequiredVersion)
	s.Listen = v.text("listen")
	if s.Listen != "" {
		if _, port, err := net.SplitHostPort(s.Listen); err != nil || port == "" {
			v.wrong("listen", `listen must be HOST:PORT, such as "127.0.0.1:8250".`)
		}
	}
	s.PublicURL = strings.TrimSuffix(v.text("public_url"), "/")
	if s.PublicURL != "" && !isHTTPURL(s.PublicURL) {
		v.wrong("public_url", `public_url must be a URL such as "https://tokend.example.com", without query and fragment.`)
	}
	l.readState(v)
	if g, ok := v.block("guard"); ok {
		g.int("max_revocations", &s.Guard.MaxRevocations, 0, 1_000_000)
		g.int("max_revoked_percent", &s.Guard.MaxRevokedPercent, 0, 100)
		g.duration("settle", &s.Guard.Settle, 0)
	}
	if d, ok := v.block("defaults"); ok {
		d.refresh(&s.Refresh)
		d.retry(&s.Retry)
	}
}

func (l *loader) readState(v section) {
	st, ok := v.block("state")
	if !ok {
		return
	}
	s := &l.c.settings.State
	s.Path = st.text("path")
	s.KeyFile = st.text("key_file")
	s.SystemdCredential = st.text("systemd_credential")
	given := 0
	for _, n := range []string{s.KeyFile, s.SystemdCredential} {
		if n != "" {
			given++
		}
	}
	if t, ok := st.block("transit"); ok {
		given++
		s.Transit = &Transit{Vault: Address(t.text("vault")), Mount: "transit", Key: t.text("key")}
		if m := t.text("mount"); m != "" {
			s.Transit.Mount = m
		}
	}
	if given > 1 {
		l.report(problem(st.f.header(), "Several keys of the state", "The state is sealed by one key: give key_file, systemd_credential or transit, not several of them."))
	}
}

func isHTTPURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// checkVersion compares required_version with this program's version.
func (l *loader) checkVersion(f *form, constraint string) {
	if constraint == "" {
		return
	}
	a := f.arg("required_version")
	ok, err := versionAllowed(constraint, l.o.Version)
	switch {
	case err != nil:
		l.report(problem(a.rng(), "Invalid required_version", `required_version is a list of comparisons such as ">= 0.1, < 2".`))
	case !ok:
		l.report(hinted(problem(a.rng(), "Version of tokend not allowed", "This directory requires tokend %s; this is %s.", constraint, l.o.Version),
			"install a version that fits, or change required_version after reading the change log"))
	}
}

// section reads the values of one block into Go fields and reports what is out
// of bounds at the argument that says it.
type section struct {
	l  *loader // nil: nothing is reported, it was when the directory was loaded
	f  *form
	v  Values
	in *instance
}

func (s section) text(n string) string {
	t, err := s.v.String(n)
	if err != nil {
		return ""
	}
	return t
}

func (s section) has(n string) bool { return s.v.Has(n) }

// settled reports whether each of the arguments has a value or is not given:
// what is wrong with a value says nothing about the others.
func (s section) settled(names ...string) bool {
	for _, n := range names {
		if s.f != nil && s.f.arg(n) != nil && !s.has(n) {
			return false
		}
	}
	return true
}

// shortDuration is a duration as a person writes it: 1h, not 1h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (s section) bool(n string, into *bool) {
	if b, err := s.v.Bool(n, *into); err == nil {
		*into = b
	}
}

func (s section) block(n string) (section, bool) {
	v, ok := s.v.Nested(n)
	if !ok {
		return section{}, false
	}
	inner := section{l: s.l, f: s.f, v: v}
	for _, b := range s.f.blocks {
		if b.typ == n {
			inner.f = b
			break
		}
		if b.typ == "dynamic" && len(b.labels) == 1 && b.labels[0] == n && len(b.blocks) > 0 {
			inner.f = b.blocks[0]
			break
		}
	}
	return inner, true
}

// wrong reports an argument.
func (s section) wrong(n, detail string, args ...any) {
	if s.l == nil {
		return
	}
	at := s.f.header()
	if a := s.f.arg(n); a != nil {
		at = a.rng()
	}
	s.l.report(problem(at, "Invalid value", detail, args...))
}

func (s section) int(n string, into *int, lowest, highest int) {
	if !s.has(n) {
		return
	}
	v, _ := s.v.Cty(n).Unmark()
	x, ok := numberOf(v)
	if !ok || x < lowest || x > highest {
		s.wrong(n, "%s must be a whole number from %d to %d.", n, lowest, highest)
		return
	}
	*into = x
}

// fraction reads a number above low (or low itself, with closed) up to 1.
func (s section) fraction(n string, into *float64, closed bool) {
	if !s.has(n) {
		return
	}
	v, _ := s.v.Cty(n).Unmark()
	x, _ := v.AsBigFloat().Float64()
	if x > 1 || x < 0 || x == 0 && !closed {
		if closed {
			s.wrong(n, "%s is a fraction of the lifetime: from 0 to 1.", n)
		} else {
			s.wrong(n, "%s is a fraction of the lifetime: more than 0, at most 1.", n)
		}
		return
	}
	*into = x
}

func (s section) duration(n string, into *time.Duration, lowest time.Duration) {
	d, err := s.v.Duration(n, *into)
	if err != nil {
		return
	}
	if s.has(n) && d < lowest {
		s.wrong(n, "%s must be at least %s.", n, lowest)
		return
	}
	*into = d
}

func (s section) refresh(into *RefreshPolicy) {
	r, ok := s.block("refresh")
	if !ok {
		return
	}
	r.fraction("at", &into.At, false)
	r.fraction("jitter", &into.Jitter, true)
	r.duration("min_remaining", &into.MinRemaining, 0)
}

func (s section) retry(into *RetryPolicy) {
	r, ok := s.block("retry")
	if !ok {
		return
	}
	r.duration("initial", &into.Initial, time.Millisecond)
	r.duration("max", &into.Max, time.Millisecond)
	if r.settled("initial", "max") && into.Max < into.Initial {
		if r.has("max") {
			r.wrong("max", "max must be at least initial (%s).", shortDuration(into.Initial))
		} else {
			r.wrong("initial", "initial must be at most max (%s).", shortDuration(into.Max))
		}
	}
}

// versionAllowed evaluates a constraint such as ">= 0.1, < 2".
func versionAllowed(constraint, version string) (bool, error) {
	have, err := parseVersion(version)
	known := version != "" && err == nil
	for _, part := range strings.Split(constraint, ",") {
		part = strings.TrimSpace(part)
		op := strings.TrimRight(part[:len(part)-len(strings.TrimLeft(part, "<>=!~"))], " ")
		want, err := parseVersion(strings.TrimSpace(strings.TrimLeft(part, "<>=!~")))
		if err != nil {
			return false, err
		}
		ok, err := compareVersions(op, have, want)
		if err != nil {
			return false, err
		}
		if known && !ok {
			return false, nil
		}
	}
	return true, nil
}

type version struct {
	parts [3]int
	given int
}

func parseVersion(s string) (version, error) {
	var v version
	s = strings.TrimPrefix(s, "v")
	s, _, _ = strings.Cut(s, "+")
	s, _, _ = strings.Cut(s, "-")
	for i, p := range strings.Split(s, ".") {
		if i >= len(v.parts) {
			return v, strconv.ErrRange
		}
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return v, strconv.ErrSyntax
		}
		v.parts[i] = n
		v.given++
	}
	return v, nil
}

func compareVersions(op string, have, want version) (bool, error) {
	c := 0
	for i := range have.parts {
		if c == 0 {
			c = have.parts[i] - want.parts[i]
		}
	}
	switch op {
	case "", "=":
		return c == 0, nil
	case "!=":
		return c != 0, nil
	case ">":
		return c > 0, nil
	case ">=":
		return c >= 0, nil
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case "~>":
		for i := 0; i < want.given-1; i++ {
			if have.parts[i] != want.parts[i] {
				return false, nil
			}
		}
		return c >= 0, nil
	}
	return false, strconv.ErrSyntax
}

// rangeIn returns the range of an argument of a form, or of its header.
func rangeIn(f *form, n string) hcl.Range {
	if a := f.arg(n); a != nil {
		return a.rng()
	}
	return f.header()
}
