package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// tally counts results and keeps what has to be said at the end.
type tally struct {
	passed  int
	failed  []result
	skipped []result
}

// A result is a test that did not pass, with what it said.
type result struct {
	name, said string
}

func (t *tally) pass(n int) { t.passed += n }

func (t *tally) fail(name, said string) { t.failed = append(t.failed, result{name, said}) }

func (t *tally) skip(name, reason string) { t.skipped = append(t.skipped, result{name, reason}) }

// closing is the last line of a run.
func (t *tally) closing() string {
	line := fmt.Sprintf("%d passed, %d failed", t.passed, len(t.failed))
	if len(t.skipped) > 0 {
		line += fmt.Sprintf(", %d skipped", len(t.skipped))
	}
	return line
}

// reasons are those for which tests were skipped, in the order of the first test of
// each.
func (t *tally) reasons() []string {
	var reasons []string
	for _, s := range t.skipped {
		if !slices.Contains(reasons, s.said) {
			reasons = append(reasons, s.said)
		}
	}
	return reasons
}

// report lists what was skipped, which parts were missing and what failed. The
// output of the failures was shown when they happened; here are their names, and
// the output again where it is short.
func (t *tally) report(out io.Writer, missing []error) {
	if len(t.skipped) > 0 {
		fmt.Fprintf(out, "\nSkipped:\n")
		for _, reason := range t.reasons() {
			fmt.Fprintf(out, "  %s\n", reason)
			for _, s := range t.skipped {
				if s.said == reason {
					fmt.Fprintf(out, "      %s\n", s.name)
				}
			}
		}
	}
	if len(missing) > 0 {
		rule := strings.Repeat("!", 78)
		fmt.Fprintf(out, "\n%s\n!! THIS RUN WENT WITHOUT:\n", rule)
		for _, m := range missing {
			fmt.Fprintf(out, "!!   %v\n", m)
		}
		fmt.Fprintf(out, "!! As root on Debian, TOKEND_TEST_INSTALL=1 make test installs them all.\n%s\n", rule)
	}
	if len(t.failed) > 0 {
		fmt.Fprintf(out, "\nFailed:\n")
		for _, f := range t.failed {
			fmt.Fprintf(out, "  %s\n", f.name)
			if said := strings.TrimSpace(f.said); said != "" && strings.Count(said, "\n") < 12 {
				fmt.Fprintf(out, "      %s\n", strings.ReplaceAll(said, "\n", "\n      "))
			}
		}
	}
}
