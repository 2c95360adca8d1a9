package envsink_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tokend/test/rig"
)

// manyVars are variables with arbitrary values, the same at each run for one
// seed, less those that want refuses.
func manyVars(seed, count int, want func(string) bool) map[string]string {
	vars := map[string]string{}
	for i := range count {
		if v := normalized(nasty().Example(seed*count + i)); want(v) {
			vars[fmt.Sprintf("V%d", i)] = v
		}
	}
	return vars
}

// TestRealShells reads with real shells what is written for them, and what is
// written for systemd, which they read alike.
func TestRealShells(t *testing.T) {
	for name, read := range map[string]func(testing.TB, string) map[string]string{"sh": rig.Sh, "bash": rig.Bash} {
		for _, format := range []string{"shell", "systemd"} {
			t.Run(name+" reads "+format, func(t *testing.T) {
				s, path := newSink(t), filepath.Join(memoryDir(t), "x.env")
				rapid.Check(t, func(rt *rapid.T) {
					vars := drawVars(rt)
					maps.DeleteFunc(vars, func(_, v string) bool { return format == "systemd" && !systemdAccepts("K", v) })
					if len(vars) == 0 {
						rt.Skip("all values were refused")
					}
					content, err := deliver(rt, s, envArgs(path, format, vars))
					if err != nil {
						rt.Fatalf("Render: %v", err)
					}
					if diff := cmp.Diff(vars, read(t, path)); diff != "" {
						rt.Fatalf("the shell gets other values (-written +read):\n%s\nfile: %q", diff, content)
					}
				})
			})
		}
	}
}

// TestRealShellsReadTemplates has the export of a template taken over.
func TestRealShellsReadTemplates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.env")
	args := withTemplate(envArgs(path, "shell", map[string]string{"a": `$(id) 'x' "y" \`}), "# c\nexport A='<${a}>'\nB=\"${a}\"\nC=${a}\n")
	if _, err := deliver(t, newSink(t), args); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": `<$(id) 'x' "y" \>`, "B": `$(id) 'x' "y" \`, "C": `$(id) 'x' "y" \`}
	if diff := cmp.Diff(want, rig.Sh(t, path)); diff != "" {
		t.Errorf("sh gets other values (-written +read):\n%s", diff)
	}
}

// TestRealDotenv reads with Node's dotenv.
func TestRealDotenv(t *testing.T) {
	const files, count = 8, 400
	s, path := newSink(t), filepath.Join(t.TempDir(), "x.env")
	for seed := range files {
		vars := manyVars(seed, count, dotenvCanHold)
		content, err := deliver(t, s, envArgs(path, "dotenv", vars))
		if err != nil {
			t.Fatal(err)
		}
		if len(vars) < count/2 {
			t.Fatalf("only %d of %d values can be written: the test tests little", len(vars), count)
		}
		if diff := cmp.Diff(vars, rig.Dotenv(t, path)); diff != "" {
			t.Fatalf("dotenv gets other values (-written +read):\n%s\nfile: %q", diff, content)
		}
		if diff := cmp.Diff(readDotenv(content), rig.Dotenv(t, path)); diff != "" {
			t.Errorf("dotenv reads otherwise than its model (-model +real):\n%s", diff)
		}
	}
}

// TestRealDotenvReadsTemplates has values between each kind of quotes.
func TestRealDotenvReadsTemplates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.env")
	vars := map[string]string{"a": "it's # \"x\"", "b": "two\nlines"}
	args := withTemplate(envArgs(path, "dotenv", vars), "# it's a comment\nA=${a}\nexport B = \"<${b}>\"\nC='${a}' \nD=`${b}`\nE=\n")
	if _, err := deliver(t, newSink(t), args); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"A": vars["a"], "B": "<two\nlines>", "C": vars["a"], "D": vars["b"], "E": ""}
	if diff := cmp.Diff(want, rig.Dotenv(t, path)); diff != "" {
		t.Errorf("dotenv gets other values (-written +read):\n%s", diff)
	}
}

// startUnits starts a unit with each file as its EnvironmentFile, under a systemd
// as PID 1, and returns what each unit's process was given.
func startUnits(t *testing.T, files map[string]string) map[string]map[string]string {
	t.Helper()
	m := rig.Nspawn(t)
	for name, content := range files {
		m.WriteFile("/etc/"+name+".env", content, 0o600)
		m.WriteFile("/etc/systemd/system/"+name+".service", fmt.Sprintf(
			"[Service]\nType=oneshot\nEnvironmentFile=/etc/%[1]s.env\nExecStart=/usr/bin/env -0\nStandardOutput=truncate:/etc/%[1]s.out\n", name), 0o644)
	}
	m.Boot()
	given := map[string]map[string]string{}
	for name := range files {
		m.MustRun("systemctl", "start", name)
		out, err := m.ReadFile("/etc/" + name + ".out")
		if err != nil {
			t.Fatal(err)
		}
		given[name] = map[string]string{}
		for _, pair := range strings.Split(strings.TrimSuffix(out, "\x00"), "\x00") {
			k, v, _ := strings.Cut(pair, "=")
			given[name][k] = v
		}
		for _, own := range []string{"LANG", "PATH", "INVOCATION_ID", "SYSTEMD_EXEC_PID", "JOURNAL_STREAM"} {
			delete(given[name], own) // systemd gives these to every process
		}
	}
	return given
}

func TestRealSystemd(t *testing.T) {
	const seeds, count = 4, 400
	files, want := map[string]string{}, map[string]map[string]string{}
	s, path := newSink(t), filepath.Join(t.TempDir(), "x.env")
	for seed := range seeds {
		vars := manyVars(seed, count, func(v string) bool { return systemdAccepts("K", v) })
		content, err := deliver(t, s, envArgs(path, "systemd", vars))
		if err != nil {
			t.Fatal(err)
		}
		if len(vars) < count/2 {
			t.Fatalf("only %d of %d values can be written: the test tests little", len(vars), count)
		}
		name := fmt.Sprintf("env-%d", seed)
		files[name], want[name] = content, vars
	}
	vars := map[string]string{"a": "it's # \"x\" \\", "b": "two\nlines $HOME"}
	template := "# comment\n; another with a \\ in it\nA=${a}\n B = \"<${b}>\"\nC='${a}'\n\nD=a # b\nE=\n"
	content, err := deliver(t, s, withTemplate(envArgs(path, "systemd", vars), template))
	if err != nil {
		t.Fatal(err)
	}
	files["template"] = content
	want["template"] = map[string]string{"A": vars["a"], "B": "<two\nlines $HOME>", "C": vars["a"], "D": "a # b", "E": ""}

	if diff := cmp.Diff(want, startUnits(t, files)); diff != "" {
		t.Errorf("units get other values (-written +read):\n%s", diff)
	}
}

// TestRealSystemdIsItsModel holds the model of systemd against files that this
// package would never write, read by the real one.
func TestRealSystemdIsItsModel(t *testing.T) {
	const count = 30
	files, want := map[string]string{}, map[string]map[string]string{}
	for i := range count {
		name := fmt.Sprintf("odd-%d", i)
		files[name] = "FIRST=1\nODD=" + strings.ReplaceAll(nasty().Example(i), "\x00", "") + "\nLAST=1\n"
		want[name] = readSystemd(files[name])
	}
	if diff := cmp.Diff(want, startUnits(t, files)); diff != "" {
		t.Errorf("systemd reads otherwise than its model (-model +real):\n%s\nfiles: %q", diff, files)
	}
}
