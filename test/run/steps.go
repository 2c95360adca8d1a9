package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokend/test/parts"
)

// run is one run of this command.
type run struct {
	settings Settings
	out      io.Writer
	root     string
	tally    *tally
}

// close says what there is to say at the end and returns the exit status.
func (r *run) close() int {
	var missing []error
	if r.settings.Test || r.settings.Install {
		for _, p := range parts.All() {
			if err := p.Missing(); err != nil {
				missing = append(missing, fmt.Errorf("%w\n!!       (%s)", err, p.For))
			}
		}
	}
	r.tally.report(r.out, missing)
	if r.settings.Install && len(r.tally.skipped) > 0 {
		fmt.Fprintf(r.out, "\nWith %s=1 nothing may be skipped: this run has failed.\n", parts.Install)
	}
	fmt.Fprintf(r.out, "\n%s\n", r.tally.closing())
	switch {
	case len(r.tally.failed) > 0, r.tally.passed == 0:
		return 1
	case r.settings.Install && len(r.tally.skipped)+len(missing) > 0:
		return 1
	}
	return 0
}

func (r *run) heading(format string, args ...any) {
	fmt.Fprintf(r.out, "\n--- "+format+"\n", args...)
}

// install installs and builds what is missing.
func (r *run) install(ctx context.Context) {
	var packages []string
	for _, p := range parts.All() {
		if p.NeedsPackages() {
			packages = append(packages, p.Packages...)
		}
	}
	if len(packages) > 0 {
		slices.Sort(packages)
		packages = slices.Compact(packages)
		r.heading("installing %s", strings.Join(packages, " "))
		if err := parts.InstallPackages(ctx, r.out, packages); err != nil {
			r.tally.fail("install", err.Error())
		}
	}
	for _, p := range parts.All() {
		if p.Script == "" || p.Missing() == nil {
			continue
		}
		r.heading("building the %s (%s)", p.Name, p.For)
		began := time.Now()
		if err := p.Build(ctx, r.out); err != nil {
			r.tally.fail("install "+p.Name, err.Error())
			fmt.Fprintln(r.out, err)
			continue
		}
		fmt.Fprintf(r.out, "built in %v\n", time.Since(began).Round(time.Second))
	}
}

// command is a command in the tree. Version control stamps are off because a
// checkout may belong to someone else.
func (r *run) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Join(r.root, dir)
	cmd.Env = os.Environ()
	if flags := os.Getenv("GOFLAGS"); !strings.Contains(flags, "-buildvcs") {
		cmd.Env = append(cmd.Env, "GOFLAGS="+strings.TrimSpace(flags+" -buildvcs=false"))
	}
	// By itself a program built with -race waits for a second before it ends, and
	// tests run such programs a thousand times.
	if os.Getenv("GORACE") == "" {
		cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=10")
	}
	// An interrupt reaches the child by itself; what it started has a moment to
	// clean up.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// check runs a command that is one test: it passes when it succeeds and says
// nothing, or nothing that matters.
func (r *run) check(name string, quiet bool, cmd *exec.Cmd) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	err := cmd.Run()
	if quiet && err == nil && said.Len() > 0 {
		err = errors.New("it has something to say")
	}
	r.report(name, said.String(), err, time.Since(began))
}

// report counts and prints how a step ended.
func (r *run) report(name, said string, err error, took time.Duration) {
	if err == nil {
		r.tally.pass(1)
		fmt.Fprintf(r.out, "ok   %-44s %7.2fs\n", name, took.Seconds())
		return
	}
	said += err.Error() + "\n"
	r.tally.fail(name, said)
	fmt.Fprintf(r.out, "\n=== FAIL %s\n%s\n", name, said)
}

// lint formats, vets and lints, each being one test.
func (r *run) lint(ctx context.Context) {
	r.heading("format, vet, lint")
	files, err := goFiles(r.root)
	if err != nil {
		r.tally.fail("gofmt", err.Error())
	} else {
		r.check("gofmt", true, r.command(ctx, ".", "gofmt", append([]string{"-l"}, files...)...))
	}
	r.check("go vet", false, r.command(ctx, ".", "go", "vet", "./..."))

	linter := parts.Staticcheck()
	if r.settings.Lint && !r.settings.Test { // make lint asks for the linter
		if err := linter.Build(ctx, r.out); err != nil {
			r.tally.fail("staticcheck", err.Error())
			return
		}
	}
	path, err := linter.Path("staticcheck")
	if err != nil {
		r.tally.skip("staticcheck", err.Error())
		return
	}
	r.check("staticcheck", true, r.command(ctx, ".", path, "./..."))
}

// goFiles lists the Go files of the tree, but for those that a test feeds to a
// parser.
func goFiles(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".")) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && strings.HasSuffix(name, ".go") {
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			files = append(files, rel)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = errors.New("no Go files in " + root)
	}
	return files, err
}

// test runs the tests of the product's module and of each module under test/ that
// has some.
func (r *run) test(ctx context.Context) {
	modules, err := testModules(r.root)
	if err != nil {
		r.tally.fail("run", err.Error())
	}
	for _, dir := range append([]string{"."}, modules...) {
		r.heading("tests of the module in %s", dir)
		// Most tests of the command line wait for a process or for a moment: two at a
		// time, which go test takes on two cores, leave the machine idle.
		args := []string{"test", "-json", "-p=2", "-parallel=4", "-timeout=45m"}
		if err := parts.Compiler().Missing(); err == nil {
			args = append(args, "-race")
		}
		if r.settings.Fresh {
			args = append(args, "-count=1")
		}
		if dir == "." {
			if r.settings.Lint {
				args = append(args, "-vet=off") // go vet has seen all of it
			}
			// Those that take longest start first, so that at the end nothing waits
			// for one of them alone.
			args = append(args, "./cmd/tokend", "./pkg/reconcile")
		}
		r.goTest(ctx, dir, append(args, "./...")...)
	}
}

// testModules lists the folders under test/ that are modules of their own and have
// tests.
func testModules(root string) ([]string, error) {
	var modules []string
	mods, err := filepath.Glob(filepath.Join(root, "test/*/go.mod"))
	if err != nil {
		return nil, err
	}
	for _, mod := range mods {
		files, err := goFiles(filepath.Dir(mod))
		if err != nil {
			continue // a list of tools has no Go file
		}
		if slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") }) {
			rel, err := filepath.Rel(root, filepath.Dir(mod))
			if err != nil {
				return nil, err
			}
			modules = append(modules, rel)
		}
	}
	return modules, nil
}

// goTest runs go test -json and counts what it brings.
func (r *run) goTest(ctx context.Context, dir string, args ...string) {
	before := len(r.tally.failed)
	cmd := r.command(ctx, dir, "go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.tally.fail("go test", err.Error())
		return
	}
	if err := cmd.Start(); err != nil {
		r.tally.fail("go test", err.Error())
		return
	}
	s := newStream(r.tally, r.out)
	in := bufio.NewReaderSize(stdout, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimRight(line, "\n"); len(line) > 0 {
			s.line(line)
		}
		if err != nil {
			break
		}
	}
	err = cmd.Wait()
	s.close()
	said := s.stray.String() + stderr.String()
	switch {
	case err != nil && len(r.tally.failed) == before:
		r.tally.fail("go test in "+dir, said+err.Error())
		fmt.Fprintf(r.out, "%s\n%v\n", said, err)
	case s.ended == 0 && err == nil:
		r.tally.fail("go test in "+dir, said+"it ran no package")
	case said != "":
		fmt.Fprint(r.out, said)
	}
}

// timeWasShort says that fuzzing ended before it began: the inputs that earlier
// runs on this machine have collected were not all tried when its time was over,
// which go test calls a failure.
func timeWasShort(out string) bool {
	return strings.Contains(out, "context deadline exceeded") && !strings.Contains(out, "Failing input")
}

// fuzz runs every fuzz target of the product's module for a while.
func (r *run) fuzz(ctx context.Context) {
	r.heading("fuzzing, %v each", r.settings.FuzzTime)
	targets, err := fuzzTargets(r.root)
	if err != nil {
		r.tally.fail("fuzzing", err.Error())
		return
	}
	for _, t := range targets {
		fuzz := func(long time.Duration) *exec.Cmd {
			return r.command(ctx, ".", "go", "test", "-run=^$", "-fuzz=^"+t.name+"$",
				"-fuzztime="+long.String(), "-fuzzminimizetime=1s", "-parallel=2", "./"+t.dir) // by itself, making an input smaller takes a minute
		}
		name, began := "fuzz "+t.dir+" "+t.name, time.Now()
		if out, err := fuzz(r.settings.FuzzTime).CombinedOutput(); !timeWasShort(string(out)) {
			r.report(name, string(out), err, time.Since(began))
			continue
		}
		r.check(name, false, fuzz(10*r.settings.FuzzTime))
	}
	if len(targets) == 0 {
		fmt.Fprintln(r.out, "there are no fuzz targets")
	}
}
