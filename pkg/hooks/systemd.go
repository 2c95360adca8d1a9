package hooks

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// Systemd asks systemd to do something with a unit, through systemctl:
//
//	unit   = "trader.service"
//	action = "reload-or-restart"
//
// It waits for the outcome, so a unit that fails to come back is an error with
// systemd's words. There is one exception: a job that systemd has accepted and
// holds back, because it is ordered behind another one, counts as done. A unit
// that says After=tokend.service waits for tokend's readiness, which would wait
// for this hook.
func Systemd(o Options) Hook { return systemdHook{o: o, look: time.Second} }

type systemdHook struct {
	o    Options
	look time.Duration // between looks at a job that takes its time
}

const defaultAction = "reload-or-restart"

func systemdActions() []string {
	return []string{"reload", "restart", "try-restart", "reload-or-restart", "try-reload-or-restart", "start"}
}

func systemdSchema() spec.Schema {
	return spec.Schema{
		Doc: "Asks systemd to reload or restart a unit after sinks changed.",
		Attrs: []spec.Attr{
			{Name: "unit", Type: cty.String, Required: true, NotEmpty: true, Doc: "The unit's name; .service may be left out."},
			{Name: "action", Type: cty.String, Oneof: systemdActions(), Default: defaultAction,
				Doc: "What to do with it, in systemctl's words. The try- forms leave a unit alone that is not running."},
			timeoutAttr("90s"),
			debounceAttr(),
		},
	}
}

// unitName is systemd.unit(5)'s character set, without the escapes' globs.
var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@\-]{0,254}$`)

func unitArg(args spec.Values) (string, error) {
	unit, err := args.String("unit")
	if err != nil {
		return "", err
	}
	if !unitName.MatchString(unit) {
		return "", fmt.Errorf("reading unit: %q is not the name of a systemd unit, like \"nginx.service\"", unit)
	}
	kinds := []string{".service", ".socket", ".target", ".timer", ".path", ".mount", ".automount", ".swap", ".slice", ".scope", ".device"}
	if !slices.Contains(kinds, path.Ext(unit)) {
		unit += ".service" // as systemctl does
	}
	return unit, nil
}

// Run implements [Hook].
func (h systemdHook) Run(ctx context.Context, args spec.Values, _ []spec.Address) error {
	unit, err := unitArg(args)
	if err != nil {
		return err
	}
	action, err := args.String("action")
	if err != nil {
		return err
	}
	if action == "" {
		action = defaultAction
	}
	if !slices.Contains(systemdActions(), action) {
		return fmt.Errorf("reading action: %q is none of %s", action, strings.Join(systemdActions(), ", "))
	}
	timeout, err := args.Duration("timeout", DefaultSystemdTimeout)
	if err != nil {
		return err
	}
	ctx, cancel := withTimeout(ctx, timeout)
	defer cancel()
	return h.do(ctx, action, unit, timeout)
}

// do runs the action beside a look, now and then, at whether its job is held back.
func (h systemdHook) do(ctx context.Context, action, unit string, timeout time.Duration) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := h.systemctl(timeout, action, unit).run(ctx)
		done <- explain(err)
	}()
	tick := time.NewTicker(h.look)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if h.heldBack(ctx, unit) {
				stop() // ends systemctl; the job stays queued
				<-done
				return nil
			}
		}
	}
}

// heldBack reports whether the unit's job waits for another one.
func (h systemdHook) heldBack(ctx context.Context, unit string) bool {
	jobs, err := h.systemctl(h.look, "list-jobs", "--no-legend", "--plain", unit).run(ctx)
	if err != nil {
		return false // the action itself will say what is wrong
	}
	// "1234 trader.service restart waiting"
	fields := strings.Fields(string(jobs.buf))
	return len(fields) >= 4 && fields[1] == unit && fields[3] == "waiting"
}

func (h systemdHook) systemctl(timeout time.Duration, args ...string) program {
	return program{
		argv: append([]string{"systemctl", "--no-ask-password", "--no-pager"}, args...),
		// C, because its words are read in explain.
		env:     append(h.o.environ(), "LC_ALL=C", "SYSTEMD_COLORS=0"),
		o:       h.o,
		timeout: timeout,
	}
}

// errNoSystemd: there is nobody to ask.
var errNoSystemd = errors.New("systemd does not run on this machine (or in this container): use a hook of kind exec or signal")

// explain adds the next move where systemctl's words leave it open.
func explain(err error) error {
	if err == nil {
		return nil
	}
	switch s := err.Error(); {
	case strings.Contains(s, "has not been booted with systemd"), strings.Contains(s, "no such program in PATH"):
		return fmt.Errorf("%w: %w", errNoSystemd, err)
	case strings.Contains(s, "Interactive authentication required"), strings.Contains(s, "Access denied"):
		return fmt.Errorf("%w; run tokend as root, or allow its user by a polkit rule", err)
	}
	return err
}
