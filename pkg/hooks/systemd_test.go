package hooks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
)

// fakeSystemctl puts a script in systemctl's place; systemd itself is asked in
// the packaging's test.
func fakeSystemctl(t *testing.T, script string) (h systemdHook, dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "systemctl"), "#!/bin/sh\n"+script, 0o755)
	return systemdHook{o: Options{Dir: dir, Environ: []string{"PATH=" + dir + ":/usr/bin:/bin"}}, look: 20 * time.Millisecond}, dir
}

func unitArgs(unit, action string) map[string]cty.Value {
	m := map[string]cty.Value{"unit": text(unit)}
	if action != "" {
		m["action"] = text(action)
	}
	return m
}

func TestSystemdAsksSystemctl(t *testing.T) {
	h, dir := fakeSystemctl(t, `echo "$@" >> asked; echo "$LC_ALL" > locale`)
	for _, c := range []struct{ unit, action, want string }{
		{"trader.service", "", "reload-or-restart trader.service"},
		{"trader", "restart", "restart trader.service"},
		{"bot@eu-1.service", "try-restart", "try-restart bot@eu-1.service"},
		{"my.bot", "reload", "reload my.bot.service"},
		{"web.socket", "try-reload-or-restart", "try-reload-or-restart web.socket"},
		{"once.service", "start", "start once.service"},
	} {
		_ = os.Remove(filepath.Join(dir, "asked"))
		if err := h.Run(t.Context(), args(unitArgs(c.unit, c.action)), nil); err != nil {
			t.Fatal(err)
		}
		asked := strings.Split(strings.TrimSpace(read(t, filepath.Join(dir, "asked"))), "\n")
		asked = slices.DeleteFunc(asked, func(line string) bool { return strings.Contains(line, " list-jobs ") }) // the look beside it, where it takes its time
		if d := cmp.Diff([]string{"--no-ask-password --no-pager " + c.want}, asked); d != "" {
			t.Errorf("systemctl's arguments (-want +got):\n%s", d)
		}
	}
	if got := read(t, filepath.Join(dir, "locale")); got != "C\n" {
		t.Errorf("systemctl spoke in %q, its words cannot be read then", got)
	}
}

func TestSystemdRefusesWhatIsNoUnit(t *testing.T) {
	h, dir := fakeSystemctl(t, "touch asked")
	for _, unit := range []string{"", "-H evil", "--force", "a b.service", "*.service", "x;reboot", "../x.service", "a\nb", strings.Repeat("x", 300)} {
		wantError(t, h.Run(t.Context(), args(unitArgs(unit, "restart")), nil), "reading unit", "is not the name of a systemd unit")
	}
	wantError(t, h.Run(t.Context(), args(unitArgs("a.service", "stop")), nil), "reading action", "reload-or-restart")
	if _, err := os.Stat(filepath.Join(dir, "asked")); err == nil {
		t.Error("systemctl was asked all the same")
	}
}

func TestSystemdFailuresAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   []string
		none   bool
	}{
		"unit fails": {"echo 'Job for trader.service failed because the control process exited with error code.' >&2; exit 1",
			[]string{"restart trader.service", "exit status 1", "Job for trader.service failed"}, false},
		"not found":  {"echo 'Unit trader.service not found.' >&2; exit 5", []string{"Unit trader.service not found"}, false},
		"not booted": {`echo "System has not been booted with systemd as init system (PID 1). Can't operate." >&2; exit 1`, []string{"systemd does not run", "hook of kind exec or signal"}, true},
		"not root":   {"echo 'Failed to restart x.service: Interactive authentication required.' >&2; exit 1", []string{"polkit"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := fakeSystemctl(t, c.script)
			err := h.Run(t.Context(), args(unitArgs("trader.service", "restart")), nil)
			wantError(t, err, c.want...)
			if errors.Is(err, errNoSystemd) != c.none {
				t.Errorf("error %v: says no systemd: %t, want %t", err, !c.none, c.none)
			}
		})
	}
	empty := systemdHook{o: Options{Environ: []string{"PATH=" + t.TempDir()}}, look: time.Second}
	wantError(t, empty.Run(t.Context(), args(unitArgs("trader.service", "")), nil), "systemd does not run", "no such program in PATH")
}

func TestSystemdDoesNotWaitForAJobThatIsHeldBack(t *testing.T) {
	// Both units and words are long and have digits: the look at the jobs must
	// not go through the net for secrets.
	h, dir := fakeSystemctl(t, `case "$*" in
*list-jobs*) touch looked; echo "4711 hopper-bot-2026-11.service restart waiting";;
*) echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 600;;
esac`)
	begin := time.Now()
	if err := h.Run(t.Context(), args(unitArgs("hopper-bot-2026-11.service", "restart")), nil); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("it waited %s", took)
	}
	if _, err := os.Stat(filepath.Join(dir, "looked")); err != nil {
		t.Error(err)
	}
}

func TestSystemdWaitsForAJobThatRuns(t *testing.T) {
	h, dir := fakeSystemctl(t, `case "$*" in
*list-jobs*) echo "4711 trader.service restart running"; touch looked;;
*) while [ ! -e looked ]; do sleep 0.01; done; echo 'Job for trader.service failed.' >&2; exit 1;;
esac`)
	wantError(t, h.Run(t.Context(), args(unitArgs("trader.service", "restart")), nil), "Job for trader.service failed")
	if _, err := os.Stat(filepath.Join(dir, "looked")); err != nil {
		t.Error(err)
	}

	slow, _ := fakeSystemctl(t, `case "$*" in *list-jobs*) ;; *) exec sleep 600;; esac`)
	m := unitArgs("trader.service", "restart")
	m["timeout"] = text("300ms")
	wantError(t, slow.Run(t.Context(), args(m), nil), "did not end within 300ms")
}
