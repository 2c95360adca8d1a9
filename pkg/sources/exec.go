package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

const (
	defaultExecTimeout = 10 * time.Second
	// How long the output may stay open after the command has ended: a process
	// that it left behind may hold it.
	outputGrace = time.Second
)

type execSource struct {
	dir     string
	environ []string
}

// Exec is the kind "exec": what a command prints. Commands run in dir, the
// directory of the configuration, with the environment that is given here, but
// for what systemd and the command line meant for tokend alone.
func Exec(dir string, environ []string) Source {
	own := []string{"NOTIFY_SOCKET=", "WATCHDOG_PID=", "WATCHDOG_USEC=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "TOKEND_VAR_"}
	s := execSource{dir: dir, environ: []string{}}
	for _, e := range environ {
		drop := false
		for _, prefix := range own {
			drop = drop || strings.HasPrefix(e, prefix)
		}
		if !drop {
			s.environ = append(s.environ, e)
		}
	}
	return s
}

func execSchema() spec.Schema {
	return spec.Schema{
		Doc: "What a command prints on standard output.",
		Attrs: []spec.Attr{
			{Name: "command", Type: cty.List(cty.String), Required: true, NotEmpty: true, Doc: "the command and its arguments; there is no shell"},
			{Name: "interval", Type: cty.String, Duration: true, Doc: "run it again this often; default: only when the secret is used"},
			{Name: "timeout", Type: cty.String, Duration: true, Default: defaultExecTimeout.String(), Doc: "kill it after this time"},
			{Name: "env", Type: cty.Map(cty.String), Deferred: true, Doc: "environment variables to add"},
			trimAttr(),
		},
	}
}

// Paths is nil: a command's output is read again by interval, or when used.
func (execSource) Paths(spec.Values) []string { return nil }

func (s execSource) Read(ctx context.Context, args spec.Values) (cty.Value, error) {
	run, err := s.parse(args)
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading a secret from a command: %w", err)
	}
	out, err := run.output(ctx)
	if err != nil {
		return cty.NilVal, fmt.Errorf("running %s: %w", run.argv[0], err)
	}
	v, err := text(out, args)
	if errors.Is(err, errEmpty) {
		err = errors.New("it printed nothing on standard output")
	}
	if err != nil {
		return cty.NilVal, fmt.Errorf("reading the output of %s: %w", run.argv[0], err)
	}
	return v, nil
}

// execution is one run of a command.
type execution struct {
	argv    []string
	dir     string
	environ []string
	timeout time.Duration
}

func (s execSource) parse(args spec.Values) (execution, error) {
	argv, err := args.Strings("command")
	if err != nil {
		return execution{}, err
	}
	if len(argv) == 0 || argv[0] == "" {
		return execution{}, errors.New("reading command: it is empty")
	}
	// As everywhere, a relative path is relative to the configuration; a bare
	// name is looked up in PATH.
	if strings.Contains(argv[0], "/") && !filepath.IsAbs(argv[0]) {
		argv[0] = filepath.Join(s.dir, argv[0])
	}
	timeout, err := args.Duration("timeout", defaultExecTimeout)
	if err != nil {
		return execution{}, err
	}
	if timeout <= 0 {
		return execution{}, errors.New("reading timeout: it must be longer than nothing")
	}
	extra, err := args.SecretMap("env")
	if err != nil {
		return execution{}, err
	}
	e := execution{argv: argv, dir: s.dir, environ: s.environ[:len(s.environ):len(s.environ)], timeout: timeout}
	for name, value := range extra {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value.Reveal(), "\x00") {
			return execution{}, fmt.Errorf("reading env: %q cannot be an environment variable", name)
		}
		e.environ = append(e.environ, name+"="+value.Reveal())
	}
	return e, nil
}

// output runs the command in a process group of its own, so that what it
// started dies with it.
func (e execution) output(ctx context.Context) (string, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.argv[0], e.argv[1:]...)
	cmd.Dir, cmd.Env = e.dir, e.environ
	stdout, stderr := &capped{max: maxSecret, stop: cancel}, new(noticed)
	cmd.Stdout, cmd.Stderr = stdout, stderr // standard input is /dev/null
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	group := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = group
	cmd.WaitDelay = outputGrace

	err := cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if cmd.Process != nil {
		_ = group() // what is left of it; mostly nothing is
	}
	switch {
	case stdout.full:
		return "", fmt.Errorf("it printed more than %d MiB, which no secret has", maxSecret>>20)
	case caller.Err() != nil:
		return "", caller.Err()
	case ctx.Err() != nil:
		return "", fmt.Errorf("it did not end within %s and was killed: does it wait for input?", e.timeout)
	case errors.Is(err, exec.ErrWaitDelay):
		return "", errors.New("it ended, but a process that it left behind keeps its output open")
	case errors.Is(err, exec.ErrNotFound):
		return "", errors.New("there is no such command in PATH: name it by its full path")
	}
	var failed *exec.ExitError
	if !errors.As(err, &failed) {
		return "", err // it could not be started
	}
	return "", fmt.Errorf("%w%s", err, e.unseen(stderr.any))
}

// unseen says what became of what the command printed on standard error. It is not
// shown, for nothing can tell which words of it are the secret: a shell script with
// `set -x` prints every command with its arguments before anything is known of them.
func (e execution) unseen(complained bool) string {
	if !complained {
		return " (it printed nothing on standard error)"
	}
	return "; what it printed on standard error may hold the secret and is not shown: run it by hand, as tokend's user in " + e.dir + ", to see it"
}

// A noticed stream is dropped; that something was printed on it is kept.
type noticed struct{ any bool }

func (n *noticed) Write(p []byte) (int, error) {
	n.any = n.any || len(p) > 0
	return len(p), nil
}

// capped keeps a bounded part of a stream and stops the command where there is
// more, for half of a secret is worth nothing. It is no io.ReaderFrom, which would go around the bound.
type capped struct {
	kept bytes.Buffer
	max  int
	stop func()
	full bool
}

func (c *capped) String() string { return c.kept.String() }

func (c *capped) Write(p []byte) (int, error) {
	room := c.max - c.kept.Len()
	if len(p) <= room {
		return c.kept.Write(p)
	}
	c.full = true
	c.stop()
	c.kept.Write(p[:room])
	return len(p), nil
}
