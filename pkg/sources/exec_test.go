package sources_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/sources"
	"tokend/pkg/spec"
)

func command(argv ...string) map[string]cty.Value {
	list := make([]cty.Value, len(argv))
	for i, a := range argv {
		list[i] = str(a)
	}
	return map[string]cty.Value{"command": cty.ListVal(list)}
}

func shell(script string) map[string]cty.Value { return command("/bin/sh", "-c", script) }

// within adds a timeout.
func within(args map[string]cty.Value, d string) map[string]cty.Value {
	args["timeout"] = str(d)
	return args
}

func TestExecReadsStandardOutput(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "get secret")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nprintf '%s|' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	source := sources.Exec(dir, []string{"HOME=/home/x", "TOKEND_VAR_pw=canary", "NOTIFY_SOCKET=/run/n", "LISTEN_FDS=1"})
	withEnv := shell("env | sort | tr '\\n' ' '")
	withEnv["env"] = cty.MapVal(map[string]cty.Value{"STORE": spec.Sensitive(str("a b=c"))})
	tests := map[string]struct {
		args map[string]cty.Value
		want string
	}{
		"no shell":          {command("/bin/echo", "$HOME", "a  b", "*"), "$HOME a  b *"},
		"relative path":     {command("./get secret", "a", "b c"), "a|b c|"},
		"absolute path":     {command(script), "|"},
		"looked up in PATH": {command("echo", "x"), "x"},
		"directory":         {shell("pwd"), dir},
		"standard input":    {shell("cat; readlink /proc/self/fd/0"), "/dev/null"},
		"complaints apart":  {shell("echo loud >&2; echo s3cret"), "s3cret"},
		"environment":       {withEnv, "HOME=/home/x PWD=" + dir + " STORE=a b=c "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := source.Read(t.Context(), values(tt.args))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.AsString()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExecErrorsSayWhatHappened(t *testing.T) {
	withEnv := shell("echo printed-canary; echo \"cannot use $TOKEN, found printed-canary, $(printf %s \"$TOKEN\" | base64)\" >&2; exit 3")
	withEnv["env"] = cty.MapVal(map[string]cty.Value{"TOKEN": spec.Sensitive(str("env-canary-1"))})
	badEnv := shell("true")
	badEnv["env"] = cty.MapVal(map[string]cty.Value{"A=B": str("x")})
	marked := map[string]cty.Value{"command": cty.ListVal([]cty.Value{str("/bin/echo"), spec.Sensitive(str("canary"))})}
	large := shell("printf %s \"$TOKEN\" >&2; exit 1")
	large["env"] = cty.MapVal(map[string]cty.Value{"TOKEN": spec.Sensitive(str("large-canary" + strings.Repeat("z", 100<<10)))})
	plain := t.TempDir()
	if err := os.WriteFile(filepath.Join(plain, "plain"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args map[string]cty.Value
		says string
	}{
		"failure":              {withEnv, "exit status 3; what it printed on standard error may hold the secret and is not shown: run it by hand"},
		"traced":               {shell("set -x; : traced-canary; exit 5"), "exit status 5; what it printed on standard error"},
		"silent failure":       {shell("exit 4"), "exit status 4 (it printed nothing on standard error)"},
		"signal":               {shell("kill -TERM $$"), "signal: terminated"},
		"nothing":              {shell("true"), "printed nothing"},
		"newline":              {shell("echo"), "printed nothing"},
		"too much":             {shell("head -c 2000000 /dev/zero | tr '\\0' x; sleep 30"), "more than 1 MiB"},
		"binary":               {shell("printf 'canary\\377'"), "not UTF-8"},
		"unknown":              {command("no-such-command-here"), "there is no such command in PATH"},
		"missing":              {command("/no/such/command"), "no such file"},
		"not executable":       {command(filepath.Join(plain, "plain")), "permission denied"},
		"timeout":              {within(shell("echo canary; sleep 30"), "50ms"), "did not end within 50ms"},
		"zero timeout":         {within(shell("true"), "0s"), "longer than nothing"},
		"left behind":          {shell("sleep 30 & echo canary"), "left behind"},
		"empty":                {map[string]cty.Value{"command": cty.ListValEmpty(cty.String)}, "command: it is empty"},
		"environment":          {badEnv, "cannot be an environment variable"},
		"secret in argv":       {marked, "the value is sensitive"},
		"a secret that is cut": {large, "exit status 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			_, err := sources.Exec(t.TempDir(), os.Environ()).Read(t.Context(), values(tt.args))
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error = %v, want %q and no secret", err, tt.says)
			}
			if took := time.Since(started); took > 15*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestATimeoutKillsTheWholeGroup(t *testing.T) {
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pid, done := readByAGroup(t, ctx, "60s")
		cancel()
		err := <-done
		if pid == 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
		poll(t, "the child is gone", func() bool { return !running(pid) })
	})
	t.Run("timeout", func(t *testing.T) {
		for timeout := 300 * time.Millisecond; ; timeout *= 2 {
			pid, done := readByAGroup(t, t.Context(), timeout.String())
			err := <-done
			if err == nil || errors.Is(err, context.Canceled) {
				t.Errorf("error = %v", err)
			}
			if pid != 0 { // else the time was over before the child was there
				poll(t, "the child is gone", func() bool { return !running(pid) })
				return
			}
		}
	})
}

// readByAGroup reads by a program that waits for a child for a minute, and returns
// when the child is there, with its pid; or without one where the program ended
// before that.
func readByAGroup(t *testing.T, ctx context.Context, timeout string) (pid int, done chan error) {
	t.Helper()
	pidFile := filepath.Join(t.TempDir(), "pid")
	done = make(chan error, 1)
	go func() {
		_, err := sources.Exec("/", os.Environ()).Read(ctx, values(within(shell("sleep 60 & echo $! > "+pidFile+".new; mv "+pidFile+".new "+pidFile+"; wait"), timeout)))
		done <- err
	}()
	poll(t, "the child is there", func() bool {
		b, err := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return err == nil || len(done) > 0
	})
	return pid, done
}

// running reports whether a process is there and not a zombie that nobody
// reaps.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func poll(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not so after 10 s: %s", what)
		}
	}
}
