// Command bench measures how tokend stands against the numbers that it wants to
// reach, and prints each as a row of a table as soon as it is known: the program
// behind `make bench`.
//
//	go run ./test/bench              everything, in about five minutes on two cores
//	go run ./test/bench -only obtain one part of it
//
// It builds the real binary and the stand-in of the APIs, which run as processes
// of their own, as in real life. Machines differ, so that a rate means nothing
// by itself: each stands beside that of a bare Go client which makes the same
// requests in the same run and throws the replies away. The tokens' files are on
// a tmpfs, the state is on a disk (-dir).
//
// The delivery of Vault's secrets is measured beside Vault Agent, which takes
// Vault's own server and agent. They are looked for where the tests have them, and
// built there with TOKEND_TEST_INSTALL=1, which takes longer than everything else.
// Where one of them is missing that row says so: not measured is not met.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// options say how much is measured.
type options struct {
	records int // credentials in the state, and as many sinks
	secrets int // of Vault, and as many files
	tokens  int // obtained or refreshed in one measurement
	runs    int // of which the median counts
	changes int // of a configuration file
	idle    time.Duration
	away    time.Duration // how long nobody answers
	calm    time.Duration // how long memory must not shrink to be called at rest
	dir     string        // on a disk
	shm     string        // a tmpfs
	binary  string        // of tokend; "": built
	only    string
	verbose bool
}

// part is a group of rows of the table.
type part struct {
	name string
	run  func(context.Context, *bench) error
}

// parts are in the order in which they are run: those that add to the state come
// late, then the one that ends the stand-in, and last the one that needs none.
func parts() []part {
	return []part{{"start", startAndRest}, {"plan", plans}, {"idle", idle}, {"change", changes}, {"blocks", blocks},
		{"obtain", obtain}, {"refresh", refresh}, {"burst", burst}, {"away", away}, {"vault", vaultSecrets}}
}

func run(ctx context.Context, args []string) error {
	var o options
	names := []string{}
	for _, p := range parts() {
		names = append(names, p.name)
	}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.records, "records", 100_000, "credentials in the state, and as many sinks")
	f.IntVar(&o.secrets, "secrets", 5_000, "secrets of Vault, and as many files")
	f.IntVar(&o.tokens, "tokens", 10_000, "tokens of one measurement")
	f.IntVar(&o.runs, "runs", 2, "measurements of which the median counts")
	f.IntVar(&o.changes, "changes", 150, "changes of the configuration")
	f.DurationVar(&o.idle, "idle", 10*time.Second, "how long to watch it do nothing")
	f.DurationVar(&o.away, "away", 12*time.Second, "how long a provider is away")
	f.DurationVar(&o.calm, "calm", 8*time.Second, "how long memory must not shrink to be called at rest")
	f.StringVar(&o.dir, "dir", os.TempDir(), "`directory` on a disk, for the state")
	f.StringVar(&o.shm, "shm", "/dev/shm", "`directory` on a tmpfs, for the tokens")
	f.StringVar(&o.binary, "tokend", "", "`binary` to measure (default: built from this tree)")
	f.StringVar(&o.only, "only", "", "parts to run, joined by commas: "+strings.Join(names, ", "))
	f.BoolVar(&o.verbose, "v", false, "say every single measurement")
	if err := f.Parse(args); err != nil {
		return err
	}
	chosen := names
	if o.only != "" {
		chosen = strings.Split(o.only, ",")
		for _, c := range chosen {
			if !slices.Contains(names, c) {
				return fmt.Errorf("there is no part %q: %s", c, strings.Join(names, ", "))
			}
		}
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	b.table = newTable(os.Stdout)
	return b.measure(ctx, chosen)
}

// measure runs the chosen parts. Where one fails, the rows of those before it
// are there.
func (b *bench) measure(ctx context.Context, chosen []string) error {
	all := time.Now()
	for _, p := range parts() {
		if !slices.Contains(chosen, p.name) {
			continue
		}
		began := time.Now()
		if err := p.run(ctx, b); err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
		b.say("%s took %s", p.name, time.Since(began).Round(time.Second))
	}
	b.say("everything took %s", time.Since(all).Round(time.Second))
	return nil
}
