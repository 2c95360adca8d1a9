// Command tokend makes the API tokens that a directory of HCL declares exist,
// keeps them fresh, delivers them to files, environment files and Vault, and
// revokes what is no longer declared.
//
// This package is the outermost layer: flags, signals, exit statuses, log
// handlers and the maps of kinds. One file holds one command. Commands that
// work on the state go through a [backend]: the daemon behind the control
// socket where one runs, else the same code in this process.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"tokend/pkg/providers/catalog"
)

// version is set by the linker.
var version = "0.1.0-dev"

func main() {
	forbidCoreDumps()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, process{args: os.Args[1:], environ: os.Environ(), in: os.Stdin, out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(status)
}

// process is what a command has of the process that it runs in, so that tests
// can run it in theirs.
type process struct {
	args    []string
	environ []string
	in      io.Reader
	out     io.Writer
	err     io.Writer
}

// lookupenv looks a variable up in the process's environment.
func (p process) lookupenv(name string) (value string, set bool) {
	for i := len(p.environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(p.environ[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}

func (p process) getenv(name string) string {
	v, _ := p.lookupenv(name)
	return v
}

// run executes one command line and returns its exit status.
func run(ctx context.Context, p process) int {
	return (&globals{process: p, catalog: catalog.FS}).run(ctx)
}

func (g *globals) run(ctx context.Context) int {
	root := newRoot(g)
	root.SetArgs(g.args)
	root.SetIn(g.in)
	root.SetOut(g.out)
	root.SetErr(g.err)
	err := root.ExecuteContext(ctx)
	if g.logged != nil {
		_ = g.logged.flush() // nobody is left who could be told that it failed
	}
	return g.report(ctx, err)
}
