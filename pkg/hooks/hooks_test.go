package hooks

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// patience is how long a test waits for what should happen at once.
const patience = 20 * time.Second

func list(words ...string) cty.Value {
	vals := make([]cty.Value, len(words))
	for i, w := range words {
		vals[i] = cty.StringVal(w)
	}
	return cty.ListVal(vals)
}

func args(m map[string]cty.Value) spec.Values { return spec.NewValues(m) }

func text(s string) cty.Value { return cty.StringVal(s) }

// eventually polls until ok, for things that other processes do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// started runs a shell script that says "ready" and hands its further lines on.
func started(t *testing.T, script string, set func(*exec.Cmd)) (pid int, lines <-chan string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	if set != nil {
		set(cmd)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c := make(chan string, 16)
	go func() {
		defer close(c)
		for s := bufio.NewScanner(out); s.Scan(); {
			c <- s.Text()
		}
	}()
	if line := next(t, c); line != "ready" {
		t.Fatalf("the script said %q, want ready", line)
	}
	return cmd.Process.Pid, c
}

func next(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case s := <-c:
		return s
	case <-time.After(patience):
		t.Fatalf("nothing came within %s", patience)
		return ""
	}
}

// gone reports whether a process ended, reaped or not.
func gone(pid int) bool {
	state, _, err := processStatus(pid)
	return err != nil || state == 'Z' || state == 'X'
}

func TestSchemasAcceptWhatTheKindsRead(t *testing.T) {
	want := map[string][]string{
		"exec":    {"command", "check", "timeout", "debounce"},
		"signal":  {"pid_file", "signal", "debounce"},
		"systemd": {"unit", "action", "timeout", "debounce"},
	}
	got := map[string][]string{}
	for kind, s := range Schemas() {
		for _, a := range s.Attrs {
			got[kind] = append(got[kind], a.Name)
			if a.Deferred {
				t.Errorf("%s.%s may name a secret, which a hook must never see", kind, a.Name)
			}
			if a.Doc == "" || a.Type == cty.NilType {
				t.Errorf("%s.%s has no documentation or no type", kind, a.Name)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("arguments (-want +got):\n%s", d)
	}
}

func TestDefaultsInTheSchemasAreTheOnesApplied(t *testing.T) {
	for _, c := range []struct {
		kind, attr string
		want       time.Duration
	}{
		{"exec", "timeout", DefaultTimeout}, {"systemd", "timeout", DefaultSystemdTimeout},
		{"exec", "debounce", DefaultDebounce}, {"signal", "debounce", DefaultDebounce}, {"systemd", "debounce", DefaultDebounce},
	} {
		for _, a := range Schemas()[c.kind].Attrs {
			if a.Name != c.attr {
				continue
			}
			if d, err := time.ParseDuration(a.Default); err != nil || d != c.want {
				t.Errorf("%s.%s says %q, applied is %s", c.kind, c.attr, a.Default, c.want)
			}
		}
	}
}

func TestDebounce(t *testing.T) {
	for in, want := range map[string]time.Duration{"": DefaultDebounce, "2s": 2 * time.Second, "0s": 0, "-1s": DefaultDebounce, "soon": DefaultDebounce} {
		m := map[string]cty.Value{}
		if in != "" {
			m["debounce"] = text(in)
		}
		if got := Debounce(args(m)); got != want {
			t.Errorf("Debounce(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestHooksSayWhyTheyStopWhenTheDaemonStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	pid := write(t, filepath.Join(t.TempDir(), "pid"), strconv.Itoa(os.Getppid()), 0o644)
	for kind, run := range map[string]func() error{
		"exec": func() error {
			return Exec(Options{}).Run(ctx, args(map[string]cty.Value{"command": list("true")}), nil)
		},
		"signal": func() error {
			return Signal(Options{}).Run(ctx, args(map[string]cty.Value{"pid_file": text(pid), "signal": text("CONT")}), nil)
		},
		"systemd": func() error {
			return Systemd(Options{}).Run(ctx, args(map[string]cty.Value{"unit": text("a.service")}), nil)
		},
	} {
		if err := run(); err == nil {
			t.Errorf("%s ran although its context had ended", kind)
		}
	}
}
