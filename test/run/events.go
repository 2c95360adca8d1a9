package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action      string
	Package     string
	Test        string
	Output      string
	Elapsed     float64
	ImportPath  string // of build-output and build-fail
	FailedBuild string // of a package's fail
}

// stream reads the events of one go test -json and turns them into results: each
// test without subtests is one, and so is each fuzz target with its seeds, and a
// package that fails without a failing test of its own (it does not build, panics,
// is out of time or exits).
type stream struct {
	tally *tally
	out   io.Writer // progress and failures

	packages map[string]*pkg
	builds   map[string]*strings.Builder // what the compiler said, by import path
	stray    strings.Builder             // what is no event
	ended    int                         // packages that ended
}

// pkg is what is known of a package that runs.
type pkg struct {
	output strings.Builder // of no test
	tests  map[string]*test
	order  []string
}

// test is what is known of a test that runs.
type test struct {
	output strings.Builder
	end    string // pass, fail, skip, or "" while it runs
	parent bool   // it has subtests
}

func newStream(t *tally, out io.Writer) *stream {
	return &stream{tally: t, out: out, packages: map[string]*pkg{}, builds: map[string]*strings.Builder{}}
}

// line takes one line of the command's output.
func (s *stream) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		s.stray.Write(line)
		s.stray.WriteByte('\n')
		return
	}
	switch e.Action {
	case "build-output":
		b := s.builds[e.ImportPath]
		if b == nil {
			b = &strings.Builder{}
			s.builds[e.ImportPath] = b
		}
		b.WriteString(e.Output)
		return
	case "build-fail":
		return // told again, with FailedBuild, for each package that it fails
	}
	p := s.packages[e.Package]
	if p == nil {
		p = &pkg{tests: map[string]*test{}}
		s.packages[e.Package] = p
	}
	if e.Test != "" {
		p.event(e)
		return
	}
	switch e.Action {
	case "output":
		p.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		s.end(e, p)
	}
}

func (p *pkg) event(e event) {
	t := p.tests[e.Test]
	if t == nil {
		t = &test{}
		p.tests[e.Test] = t
		p.order = append(p.order, e.Test)
		for name := e.Test; ; {
			i := strings.LastIndexByte(name, '/')
			if i < 0 {
				break
			}
			name = name[:i]
			if above := p.tests[name]; above != nil {
				above.parent = true
			}
		}
	}
	switch e.Action {
	case "output":
		if !isMarker(e.Output) {
			t.output.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		t.end = e.Action
	}
}

// isMarker reports whether a line only says that a test begins, waits or goes on.
func isMarker(line string) bool {
	for _, marker := range []string{"=== RUN ", "=== PAUSE ", "=== CONT ", "=== NAME "} {
		if strings.HasPrefix(line, marker) {
			return true
		}
	}
	return false
}

// end counts what a package brought and says how it went.
func (s *stream) end(e event, p *pkg) {
	delete(s.packages, e.Package)
	s.ended++
	passed, failed, skipped := 0, 0, 0
	for _, name := range p.order {
		t := p.tests[name]
		switch {
		case isSeed(name):
		case t.end == "pass" && (!t.parent || isFuzz(name)):
			passed++
		case t.end == "fail" && (!t.parent || !p.failsBelow(name)):
			failed++
			s.failed(e.Package+" "+name, p.said(name))
		case t.end == "skip" && !t.parent:
			skipped++
			s.tally.skip(e.Package+" "+name, reason(t.output.String()))
		}
	}
	s.tally.pass(passed)

	if e.Action == "fail" && failed == 0 {
		failed++
		s.failed(strings.Join(append([]string{e.Package}, p.unfinished()...), " "), s.explain(e, p))
	}
	s.progress(e, p.output.String(), passed, failed, skipped)
}

func (s *stream) progress(e event, cached string, passed, failed, skipped int) {
	word := map[bool]string{true: "FAIL", false: "ok  "}[failed > 0]
	what := fmt.Sprintf("%d passed", passed)
	if failed > 0 {
		what += fmt.Sprintf(", %d failed", failed)
	}
	if skipped > 0 {
		what += fmt.Sprintf(", %d skipped", skipped)
	}
	if strings.Contains(cached, "(cached)") {
		what += " (cached)"
	}
	if passed+failed+skipped == 0 {
		word, what = "    ", "no tests"
	}
	fmt.Fprintf(s.out, "%s %-44s %7.2fs  %s\n", word, e.Package, e.Elapsed, what)
}

func (s *stream) failed(name, said string) {
	s.tally.fail(name, said)
	fmt.Fprintf(s.out, "\n=== FAIL %s\n%s\n", name, strings.TrimRight(said, "\n"))
}

// explain says why a package failed in which no test did.
func (s *stream) explain(e event, p *pkg) string {
	var b strings.Builder
	if e.FailedBuild != "" {
		fmt.Fprintf(&b, "%s does not build:\n", e.FailedBuild)
		if said := s.builds[e.FailedBuild]; said != nil {
			b.WriteString(said.String())
		}
	}
	for _, name := range p.unfinished() {
		fmt.Fprintf(&b, "%s did not end; it said:\n%s", name, p.said(name))
	}
	b.WriteString(p.output.String())
	return b.String()
}

// unfinished lists the tests without subtests that have not ended.
func (p *pkg) unfinished() []string {
	var names []string
	for _, name := range p.order {
		if t := p.tests[name]; t.end == "" && !t.parent {
			names = append(names, name)
		}
	}
	return names
}

// said is the output of a test and of those that it is a part of.
func (p *pkg) said(name string) string {
	var b strings.Builder
	for i, c := range name + "/" {
		if c != '/' {
			continue
		}
		if t := p.tests[name[:i]]; t != nil {
			b.WriteString(t.output.String())
		}
	}
	return b.String()
}

// failsBelow reports whether a subtest of the test failed.
func (p *pkg) failsBelow(name string) bool {
	return slices.ContainsFunc(p.order, func(other string) bool {
		return strings.HasPrefix(other, name+"/") && p.tests[other].end == "fail"
	})
}

// close counts packages that never ended, which happens when go test itself dies.
func (s *stream) close() {
	for name, p := range s.packages {
		s.failed(name, "the package did not end\n"+s.explain(event{Package: name}, p))
	}
}

func isFuzz(name string) bool { return strings.HasPrefix(name, "Fuzz") }

// isSeed reports whether a test is one seed of a fuzz target; the target counts.
func isSeed(name string) bool { return isFuzz(name) && strings.Contains(name, "/") }

var logLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)$`)

// reason is what a skipped test said last.
func reason(output string) string {
	said := "no reason given"
	for line := range strings.Lines(output) {
		if m := logLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			said = m[1]
		}
	}
	return said
}
