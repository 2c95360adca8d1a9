package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"tokend/pkg/spec"
)

// Signal sends a signal to the process that a pid file names:
//
//	pid_file = "/run/hopper/bot.pid"
//	signal   = "HUP"
//
// The process is pinned by a pidfd before it is looked at, so the one that is
// signalled is the one that was checked. What is refused: a pid file that is
// missing, empty, garbled, stale (no such process, or a zombie), or that others
// than root, this daemon's user and the process's own user can write; process
// 1, process groups and this daemon itself.
func Signal(Options) Hook { return signalHook{} }

type signalHook struct{}

const defaultSignal = "HUP"

// signalNames are those that tell a process something. Those that stop or dump
// it are left out: a token that changed is no reason to kill, and a unit or a
// program that is ended on purpose is better named as such.
func signalNames() []string {
	return []string{"HUP", "USR1", "USR2", "INT", "TERM", "WINCH", "ALRM", "CONT"}
}

func signalSchema() spec.Schema {
	names := signalNames()
	for _, n := range signalNames() {
		names = append(names, "SIG"+n)
	}
	return spec.Schema{
		Doc: "Signals the process that a pid file names after sinks changed.",
		Attrs: []spec.Attr{
			{Name: "pid_file", Type: cty.String, Required: true, NotEmpty: true, Path: true, Doc: "The file that holds the process's number in its first line."},
			{Name: "signal", Type: cty.String, Oneof: names, Default: defaultSignal, Doc: "The signal's name."},
			debounceAttr(),
		},
	}
}

// Run implements [Hook].
func (signalHook) Run(ctx context.Context, args spec.Values, _ []spec.Address) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path, err := args.String("pid_file")
	if err != nil {
		return err
	}
	if path == "" {
		return errors.New("reading pid_file: it is empty; name the file that holds the process's number")
	}
	sig, err := signalArg(args)
	if err != nil {
		return err
	}
	f, err := readPidFile(path)
	if err != nil {
		return fmt.Errorf("reading pid file %s: %w", path, err)
	}
	if err := f.send(sig); err != nil {
		return fmt.Errorf("signalling process %d of pid file %s: %w", f.pid, path, err)
	}
	return nil
}

func signalArg(args spec.Values) (unix.Signal, error) {
	name, err := args.String("signal")
	if err != nil {
		return 0, err
	}
	if name == "" {
		name = defaultSignal
	}
	short := strings.TrimPrefix(name, "SIG")
	for _, n := range signalNames() {
		if n == short {
			return unix.SignalNum("SIG" + n), nil
		}
	}
	return 0, fmt.Errorf("reading signal: %q is none of %s", name, strings.Join(signalNames(), ", "))
}

// send signals the process if it is one that the file may name.
func (f pidFile) send(sig unix.Signal) error {
	if f.pid == os.Getpid() {
		return errors.New("that is tokend itself, which tells others and not itself")
	}
	fd, err := unix.PidfdOpen(f.pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL): // EINVAL: a thread's number
		return errStale
	case err != nil:
		return fmt.Errorf("opening the process: %w", err)
	}
	defer unix.Close(fd)
	if err := f.mayName(); err != nil {
		return err
	}
	switch err := unix.PidfdSendSignal(fd, sig, nil, 0); {
	case errors.Is(err, unix.ESRCH):
		return errStale
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("not permitted: run tokend as root or as the process's user (it is user %d now)", os.Geteuid())
	default:
		return err
	}
}
