package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tokend/pkg/control"
)

// daemon is one `tokend run`.
type daemon struct {
	cmd     *exec.Cmd
	client  *control.Client
	log     string // the file
	ended   chan struct{}
	err     error
	started time.Time
}

// status is what of a daemon's status is measured by.
type status struct {
	Ready     bool           `json:"ready"`
	FirstPass bool           `json:"first_pass"`
	Counts    map[string]int `json:"counts"`
	Lanes     []struct {
		Name    string `json:"name"`
		Running int    `json:"running"`
		Waiting int    `json:"waiting"`
	} `json:"lanes"`
	State struct {
		Records int    `json:"records"`
		Intents int    `json:"intents"`
		Syncs   uint64 `json:"syncs"`
		Error   string `json:"error"`
	} `json:"state"`
	Configuration struct {
		Valid  bool     `json:"valid"`
		Errors []string `json:"errors"`
	} `json:"configuration"`
}

func (s *status) total() int {
	n := 0
	for _, k := range s.Counts {
		n += k
	}
	return n
}

// busy says whether anything is worked on or waits for room.
func (s *status) busy() bool { return len(s.Lanes) > 0 }

func (b *bench) startDaemon(conf, state string) (*daemon, error) {
	d := &daemon{ended: make(chan struct{})}
	socket := filepath.Join(b.dir, "control.sock")
	d.client = control.Dial(socket)
	d.cmd = exec.Command(b.tokend, "run", "--config", conf, "--state", state, "--control", socket, "--log-format", "json")
	d.log = filepath.Join(b.dir, "tokend.log")
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	d.started = time.Now()
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting tokend: %w", err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	return d, nil
}

// stop ends it cleanly.
func (d *daemon) stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(time.Minute):
		_ = d.cmd.Process.Kill()
		<-d.ended
		return errors.New("tokend did not stop within a minute")
	}
	if d.err != nil {
		return fmt.Errorf("running tokend: %w\n%s", d.err, d.lastWords())
	}
	return nil
}

// lastWords are the end of its log.
func (d *daemon) lastWords() string {
	b, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// ask is its status, without a line for each address, so that asking costs next
// to nothing.
func (d *daemon) ask(ctx context.Context) (*status, error) {
	var s status
	if err := d.client.Do(ctx, "POST", "/v1/status", map[string]string{"address": "-"}, &s); err != nil {
		return nil, err
	}
	if s.State.Error != "" {
		return nil, errors.New(s.State.Error)
	}
	if !s.Configuration.Valid && len(s.Configuration.Errors) > 0 {
		return nil, errors.New(s.Configuration.Errors[0])
	}
	return &s, nil
}

// await asks until ok says yes, and returns when that was.
func (d *daemon) await(ctx context.Context, what string, every time.Duration, ok func(*status) bool) (time.Time, *status, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last string
	for {
		s, err := d.ask(ctx)
		switch {
		case err == nil && ok(s):
			return time.Now(), s, nil
		case err == nil:
			last = fmt.Sprint(s.Counts)
		case !errors.Is(err, control.ErrNoDaemon):
			return time.Time{}, nil, err
		}
		select {
		case <-tick.C:
		case <-d.ended:
			return time.Time{}, nil, fmt.Errorf("tokend ended while %s was awaited: %v\n%s", what, d.err, d.lastWords())
		case <-ctx.Done():
			return time.Time{}, nil, fmt.Errorf("awaiting %s: %w (%s)", what, ctx.Err(), last)
		}
	}
}

// settled waits until everything is ready and nothing is under way.
func (d *daemon) settled(ctx context.Context, every time.Duration, total int) (time.Time, *status, error) {
	return d.await(ctx, "readiness", every, func(s *status) bool {
		return s.FirstPass && s.Ready && s.total() == total && !s.busy()
	})
}

// cpu is what the process has used of the processor.
func (d *daemon) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; the fields after it do not.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	const perSecond = 100 // USER_HZ, the same on every Linux that Go runs on
	return time.Duration(ticks) * time.Second / perSecond, nil
}

// resident is its memory, pages of files counted, and the greatest that it was.
func (d *daemon) resident() (now, peak int64, err error) {
	if now, err = kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", d.cmd.Process.Pid), "Rss:"); err != nil {
		return 0, 0, err
	}
	peak, err = kilobytes(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid), "VmHWM:")
	return now, peak, err
}

func kilobytes(file, name string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("reading %s: it has no %s", file, name)
}
