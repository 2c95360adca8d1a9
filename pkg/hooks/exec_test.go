package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

func runExec(t *testing.T, o Options, m map[string]cty.Value, changed ...spec.Address) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return Exec(o).Run(WithAddress(ctx, "hook.exec.test"), args(m), changed)
}

func TestExecGivesAProgramItsArgumentsAndLittleElse(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "show.sh"), "#!/bin/sh\npwd > pwd\nfor a; do echo \"<$a>\"; done > args\nenv > env\ncat > stdin\n", 0o755)
	o := Options{Dir: dir, Environ: []string{"PATH=/nowhere", "PATH=/usr/bin:/bin", "HOME=/home/x", "LANG=C.UTF-8", "VAULT_TOKEN=hunter2", "TOKEND_VAR_pw=hunter2", "LD_PRELOAD=/x.so"}}
	err := runExec(t, o, map[string]cty.Value{"command": list("./show.sh", "a b", "$HOME; touch pwned", "*", "")},
		"sink.file.a", `sink.file.trader["al ice"]`)
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(read(t, filepath.Join(dir, "pwd"))); got != real {
		t.Errorf("it started in %s, want %s", got, real)
	}
	if d := cmp.Diff("<a b>\n<$HOME; touch pwned>\n<*>\n<>\n", read(t, filepath.Join(dir, "args"))); d != "" {
		t.Errorf("arguments (-want +got):\n%s", d)
	}
	if got := read(t, filepath.Join(dir, "stdin")); got != "" {
		t.Errorf("standard input had %q", got)
	}
	env := strings.Split(strings.TrimSpace(read(t, filepath.Join(dir, "env"))), "\n")
	env = slices.DeleteFunc(env, func(s string) bool { // what sh adds by itself
		return strings.HasPrefix(s, "PWD=") || strings.HasPrefix(s, "OLDPWD=") || strings.HasPrefix(s, "_=") || strings.HasPrefix(s, "SHLVL=")
	})
	slices.Sort(env)
	want := []string{"HOME=/home/x", "LANG=C.UTF-8", "PATH=/usr/bin:/bin",
		`TOKEND_CHANGED=sink.file.a sink.file.trader["al ice"]`, "TOKEND_CHANGED_COUNT=2", "TOKEND_HOOK=hook.exec.test"}
	if d := cmp.Diff(want, env); d != "" {
		t.Errorf("environment (-want +got):\n%s", d)
	}
}

func TestExecChecksFirst(t *testing.T) {
	dir := t.TempDir()
	m := map[string]cty.Value{
		"check":   list("sh", "-c", "echo the upstream file is broken >&2; exit 3"),
		"command": list("touch", "ran"),
	}
	wantError(t, runExec(t, Options{Dir: dir}, m), "checking before the command (which was not run)", "exit status 3", "the upstream file is broken")
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("the command ran although its check failed")
	}
	m["check"] = list("sh", "-c", "test ! -e ran")
	if err := runExec(t, Options{Dir: dir}, m); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err != nil {
		t.Errorf("the command did not run after a good check: %v", err)
	}
}

func TestExecKillsTheWholeGroupInTime(t *testing.T) {
	dir := t.TempDir()
	begin := time.Now()
	err := runExec(t, Options{Dir: dir}, map[string]cty.Value{
		// The shell and its child both refuse a polite end.
		"command": list("sh", "-c", `trap "" TERM INT HUP; sleep 600 & echo $! > child; echo $$ > shell; echo waiting for the lock; wait`),
		"timeout": text("3s"),
	})
	wantError(t, err, "did not end within 3s and was killed", "waiting for the lock")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v is no DeadlineExceeded", err)
	}
	if took := time.Since(begin); took > patience/2 {
		t.Errorf("it took %s to come back", took)
	}
	for _, name := range []string{"child", "shell"} {
		pid, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, name))))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the "+name+" is gone", func() bool { return gone(pid) })
	}
}

func TestExecTimeoutIsForCheckAndCommandTogether(t *testing.T) {
	dir := t.TempDir()
	err := runExec(t, Options{Dir: dir}, map[string]cty.Value{
		"check": list("sleep", "600"), "command": list("touch", "ran"), "timeout": text("200ms"),
	})
	wantError(t, err, "checking", "200ms")
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("the command ran after its check was killed")
	}
}

func TestExecStopsWithTheDaemon(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Exec(Options{Dir: dir}).Run(ctx, args(map[string]cty.Value{"command": list("sh", "-c", "echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 600")}), nil)
	}()
	eventually(t, "it started", func() bool { _, err := os.Stat(filepath.Join(dir, "pid")); return err == nil })
	cancel()
	select {
	case err := <-done:
		wantError(t, err, "stopped before it ended")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v is no Canceled", err)
		}
	case <-time.After(patience):
		t.Fatal("Run did not come back")
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, "pid"))))
	eventually(t, "the program is gone", func() bool { return gone(pid) })
}

func TestExecIsDoneWhenItsProgramIs(t *testing.T) {
	dir := t.TempDir()
	begin := time.Now()
	err := runExec(t, Options{Dir: dir}, map[string]cty.Value{
		// What it leaves behind holds its output, as daemons do.
		"command": list("sh", "-c", "sleep 600 & echo $! > child"),
		"timeout": text("15s"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it waited %s for what the program left behind", took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, "child"))))
	if err != nil {
		t.Fatal(err)
	}
	if gone(pid) {
		t.Error("what the program left behind was killed")
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
}

func TestExecErrorsNameTheMistake(t *testing.T) {
	dir := t.TempDir()
	plainFile := write(t, filepath.Join(dir, "plain"), "#!/bin/sh\n", 0o644)
	noInterpreter := write(t, filepath.Join(dir, "noint"), "#!/no/such/interpreter\n", 0o755)
	for name, c := range map[string]struct {
		m    map[string]cty.Value
		want []string
	}{
		"no command":     {map[string]cty.Value{}, []string{"reading command", "empty"}},
		"empty program":  {map[string]cty.Value{"command": list("", "x")}, []string{"reading command", "empty"}},
		"nul":            {map[string]cty.Value{"command": list("echo", "a\x00b")}, []string{"NUL"}},
		"not in PATH":    {map[string]cty.Value{"command": list("no-such-program")}, []string{"no such program in PATH", "/usr/bin"}},
		"missing":        {map[string]cty.Value{"command": list("/no/such/program")}, []string{"/no/such/program", "no such file"}},
		"not executable": {map[string]cty.Value{"command": list(plainFile)}, []string{"not executable", "chmod +x"}},
		"a directory":    {map[string]cty.Value{"command": list(dir)}, []string{"is a directory"}},
		"no interpreter": {map[string]cty.Value{"command": list(noInterpreter)}, []string{"starting it", "no such file"}},
		"a sensitive argument": {map[string]cty.Value{"command": cty.ListVal([]cty.Value{text("echo"), spec.Sensitive(text("hunter2"))})},
			[]string{"reading command", "sensitive"}},
		"bad timeout": {map[string]cty.Value{"command": list("true"), "timeout": text("soon")}, []string{"reading timeout", "soon"}},
		"killed":      {map[string]cty.Value{"command": list("sh", "-c", "kill -9 $$")}, []string{"signal: killed"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := runExec(t, Options{}, c.m)
			wantError(t, err, c.want...)
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q shows a secret or has lines", err)
			}
		})
	}
}

func TestExecErrorsKeepSecretsOut(t *testing.T) {
	known := "correct horse battery"
	scrub := func(s string) string { return strings.ReplaceAll(s, known, "[secret]") }
	script := `echo "bad directive 'Bearer hunter' in line 3" >&2
echo "password=hunter, token: 'hunter'" >&2
echo "header correct horse battery" >&2
echo "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3MDB9.c2lnbmF0dXJl and 9f86d081884c7d659a2feaa0c55ad015" >&2
printf '\033[31mred\033[0m\n' >&2
exit 1`
	program := write(t, filepath.Join(t.TempDir(), "checker"), "#!/bin/sh\n"+script, 0o755)
	err := runExec(t, Options{Scrub: scrub}, map[string]cty.Value{"command": list(program)})
	_, printed, ok := strings.Cut(err.Error(), "exit status 1: ")
	if !ok {
		t.Fatalf("error %q has no excerpt", err)
	}
	want := "bad directive 'Bearer [secret]' in line 3; password=[secret], token: '[secret]'; header [secret]; [secret] and [secret]; [31mred[0m"
	if d := cmp.Diff(want, printed); d != "" {
		t.Errorf("excerpt (-want +got):\n%s", d)
	}
}

func TestExcerptIsBoundedAndNeverBeginsWithTheRestOfASecret(t *testing.T) {
	var out tail
	for range 5000 {
		fmt.Fprintf(&out, "line of no interest\n")
	}
	fmt.Fprintf(&out, "the last line\n")
	got := out.excerpt(nil, "")
	if len(got) > maxExcerpt || !strings.HasSuffix(got, "; the last line") || !strings.HasPrefix(got, "line of no interest;") {
		t.Errorf("excerpt of many lines is %q", got)
	}

	var one tail
	for range 100_000 {
		fmt.Fprint(&one, "s")
	}
	if got := one.excerpt(nil, ""); got != "" {
		t.Errorf("the end of one endless word was shown: %q", got)
	}
	fmt.Fprint(&one, " end")
	if got := one.excerpt(nil, ""); got != "end" {
		t.Errorf("excerpt = %q, want the last word alone", got)
	}

	var long tail
	fmt.Fprint(&long, strings.Repeat("ä ", 1000))
	if got := long.excerpt(nil, ""); len(got) > maxExcerpt+len("…") || !strings.HasSuffix(got, "…") || strings.Contains(got, "\uFFFD") {
		t.Errorf("excerpt of one long line is %q", got)
	}
}

func TestExcerptKeepsTheWordsOfTheCommandLine(t *testing.T) {
	var out tail
	fmt.Fprint(&out, "Unit hopper-bot-2026-11.service not found; abc123def456ghi789 too")
	want := "Unit hopper-bot-2026-11.service not found; [secret] too"
	if got := out.excerpt(nil, "systemctl restart hopper-bot-2026-11.service"); got != want {
		t.Errorf("excerpt = %q, want %q", got, want)
	}
}

// Of a token nothing stays where a part of it is known as a secret by itself.
func TestExcerptTakesOutWhatHangsTogetherWithASecret(t *testing.T) {
	var out tail
	fmt.Fprint(&out, "curl: at-live-ok-0123456789 rejected, see ok")
	known := func(s string) string { return secret.Scrub(s, secret.New("ok")) }
	if got, want := out.excerpt(known, ""), "curl: [secret] rejected, see [secret]"; got != want {
		t.Errorf("excerpt = %q, want %q", got, want)
	}
}

func TestExecRunsHoweverMuchChanged(t *testing.T) {
	changed := make([]spec.Address, 50_000)
	for i := range changed {
		changed[i] = spec.Address(fmt.Sprintf("sink.file.trader[%q]", fmt.Sprint("user-", i)))
	}
	dir := t.TempDir()
	err := runExec(t, Options{Dir: dir}, map[string]cty.Value{"command": list("sh", "-c", `echo "$TOKEND_CHANGED_COUNT" > count; echo "${#TOKEND_CHANGED}" > length; echo "${TOKEND_CHANGED##* }" > last`)}, changed...)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(dir, "count")); got != "50000\n" {
		t.Errorf("TOKEND_CHANGED_COUNT = %q", got)
	}
	if n, _ := strconv.Atoi(strings.TrimSpace(read(t, filepath.Join(dir, "length")))); n > maxChanged || n < maxChanged-100 {
		t.Errorf("TOKEND_CHANGED has %d bytes, want a little under %d", n, maxChanged)
	}
	if last := strings.TrimSpace(read(t, filepath.Join(dir, "last"))); !strings.HasSuffix(last, `"]`) {
		t.Errorf("TOKEND_CHANGED ends within an address: %q", last)
	}
}
