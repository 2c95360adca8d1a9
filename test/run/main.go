// Command run is what make test calls: it formats, vets, lints and tests the whole
// tree, and closes with one line that counts what passed and what failed.
//
//	run [-lint] [-fuzz]
//
// It runs every test that this machine allows and installs nothing unasked; what
// the tests went without is said loudly before the closing line. With
// TOKEND_TEST_INSTALL=1 it first installs and builds every part that package parts
// knows, which needs root on Debian, and then a skipped test is a failure too.
//
// FUZZTIME (such as 10s) makes it also run every fuzz target for that long; in CI,
// where the environment has CI or TOKEND_TEST_INSTALL=1, the default is three
// seconds. FUZZTIME=0 turns it off. -lint runs only what does not run the product,
// -fuzz only the fuzz targets.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tokend/test/parts"
)

func main() {
	lint := flag.Bool("lint", false, "only format, vet and lint")
	fuzz := flag.Bool("fuzz", false, "only run the fuzz targets")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := settings(*lint, *fuzz, os.Getenv)
	os.Exit(execute(ctx, s, os.Stdout))
}

// Settings are what the command line and the environment ask for.
type Settings struct {
	Lint, Test bool
	Install    bool // install what is missing; then nothing may be skipped
	Fresh      bool // do not trust cached results
	FuzzTime   time.Duration
	Problem    error // with the environment
}

func settings(lint, fuzz bool, getenv func(string) string) Settings {
	s := Settings{
		Lint:    !fuzz,
		Test:    !lint && !fuzz,
		Install: getenv(parts.Install) == "1",
	}
	ci := s.Install || getenv("CI") != ""
	s.Fresh = ci
	switch asked := getenv("FUZZTIME"); {
	case asked == "0" || lint:
	case asked != "":
		if s.FuzzTime, s.Problem = time.ParseDuration(asked); s.Problem != nil {
			s.Problem = fmt.Errorf("reading FUZZTIME: %w", s.Problem)
		}
	case fuzz:
		s.FuzzTime = 30 * time.Second
	case ci:
		s.FuzzTime = 3 * time.Second
	}
	return s
}

// execute does everything and returns the exit status.
func execute(ctx context.Context, s Settings, out io.Writer) int {
	r := &run{settings: s, out: out, tally: &tally{}}
	root, err := parts.Root()
	if err == nil {
		err = s.Problem
	}
	if err != nil {
		r.tally.fail("run", err.Error())
		return r.close()
	}
	r.root = root

	if s.Install {
		r.install(ctx)
	}
	if s.Lint {
		r.lint(ctx)
	}
	if s.Test {
		r.test(ctx)
	}
	if s.FuzzTime > 0 {
		r.fuzz(ctx)
	}
	if ctx.Err() != nil {
		r.tally.fail("run", "interrupted")
	}
	return r.close()
}
