package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tokend/pkg/control"
)

// daemon is one `tokend run`.
type daemon struct {
	*process
	client *control.Client
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
	socket := filepath.Join(b.dir, "control.sock")
	p, err := startProcess(filepath.Join(b.dir, "tokend.log"), b.tokend, "run", "--config", conf, "--state", state, "--control", socket, "--log-format", "json")
	if err != nil {
		return nil, err
	}
	return &daemon{process: p, client: control.Dial(socket)}, nil
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

// resident is its memory, pages of files counted, and the greatest that it was.
func (d *daemon) resident() (now, peak int64, err error) {
	if now, err = kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", d.cmd.Process.Pid), "Rss:"); err != nil {
		return 0, 0, err
	}
	peak, err = d.peak()
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
