package sources_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sys/unix"

	"tokend/pkg/sources"
	"tokend/pkg/spec"
)

func values(m map[string]cty.Value) spec.Values { return spec.NewValues(m) }

func str(s string) cty.Value { return cty.StringVal(s) }

// write makes a file and returns its path.
func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// environment is a Getenv over pairs of name and value.
func environment(pairs ...string) sources.Getenv {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestOneNewlineIsTakenOff(t *testing.T) {
	keep := cty.False
	tests := []struct {
		raw  string
		trim cty.Value
		want string
	}{
		{"s3cret", cty.NilVal, "s3cret"},
		{"s3cret\n", cty.NilVal, "s3cret"},
		{"s3cret\r\n", cty.NilVal, "s3cret"},
		{"s3cret\n\n", cty.NilVal, "s3cret\n"},
		{" s3cret \n", cty.NilVal, " s3cret "},
		{"s3cret\r", cty.NilVal, "s3cret\r"},
		{"a\nb\n", cty.NilVal, "a\nb"},
		{"s3cret\n", keep, "s3cret\n"},
		{"\n", keep, "\n"},
	}
	for _, tt := range tests {
		args := map[string]cty.Value{"path": str(write(t, tt.raw)), "name": str("s"), "command": cty.ListVal([]cty.Value{str("/bin/cat"), str(write(t, tt.raw))})}
		if tt.trim != cty.NilVal {
			args["trim"] = tt.trim
		}
		dir := filepath.Join(t.TempDir(), "creds")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "s"), []byte(tt.raw), 0o400); err != nil {
			t.Fatal(err)
		}
		for kind, source := range map[string]sources.Source{
			"file": sources.File(), "env": sources.Env(environment("s", tt.raw)),
			"systemd": sources.Systemd(environment("CREDENTIALS_DIRECTORY", dir)), "exec": sources.Exec("/", nil),
		} {
			got, err := source.Read(t.Context(), values(args))
			if err != nil || got.AsString() != tt.want {
				t.Errorf("%s of %q (trim %v) = %#v, %v, want %q", kind, tt.raw, tt.trim, got, err, tt.want)
			}
		}
	}
}

func TestFileErrorsNameTheFileAndTheNextMove(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct{ path, says string }{
		"missing":    {filepath.Join(dir, "missing"), "write the secret there"},
		"directory":  {dir, "it is a directory"},
		"pipe":       {fifo, "not a regular file"},
		"empty":      {write(t, ""), "it is empty"},
		"newline":    {write(t, "\n"), "it is empty"},
		"large":      {write(t, strings.Repeat("x", 1<<20+1)), "larger than 1 MiB"},
		"endless":    {"/dev/zero", "not a regular file"},
		"binary":     {write(t, "canary\xff"), "not UTF-8"},
		"decomposed": {write(t, "canary-e\u0301"), "decomposed Unicode"},
		"no file":    {write(t, "x") + "/below", "not a directory"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := sources.File().Read(t.Context(), values(map[string]cty.Value{"path": str(tt.path)}))
			if err == nil || !strings.Contains(err.Error(), tt.path) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error = %v, want one with the path and %q, without the content", err, tt.says)
			}
		})
	}
	if _, err := sources.File().Read(t.Context(), values(map[string]cty.Value{"path": str("relative")})); err == nil || !strings.Contains(err.Error(), "not absolute") {
		t.Errorf("relative path: %v", err)
	}
	if _, err := sources.File().Read(t.Context(), values(nil)); err == nil || !strings.Contains(err.Error(), "path: it is missing") {
		t.Errorf("no path: %v", err)
	}
}

func TestAFileThatMayNotBeRead(t *testing.T) {
	path := write(t, "canary")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		// Root may read every file. This thread looks at files as nobody; it is
		// never used again, since the goroutine ends while it is locked.
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
			if err := unix.Setfsuid(65534); err != nil {
				t.Error(err)
			}
			mayNotBeRead(t, path)
		}()
		<-done
		return
	}
	mayNotBeRead(t, path)
}

func mayNotBeRead(t *testing.T, path string) {
	_, err := sources.File().Read(t.Context(), values(map[string]cty.Value{"path": str(path)}))
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "let user") {
		t.Errorf("error = %v, want a refusal that names the file and the user", err)
	}
}

func TestEnvTellsUnsetFromEmpty(t *testing.T) {
	env := sources.Env(environment("EMPTY", "", "FULL", "s3cret"))
	for name, says := range map[string]string{"UNSET": "it is not set", "EMPTY": "it is empty"} {
		_, err := env.Read(t.Context(), values(map[string]cty.Value{"name": str(name)}))
		if err == nil || !strings.Contains(err.Error(), "environment variable "+name) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
}

func TestSystemdCredentials(t *testing.T) {
	dir := t.TempDir()
	with := sources.Systemd(environment("CREDENTIALS_DIRECTORY", dir))
	without := sources.Systemd(environment())
	tests := map[string]struct {
		source     sources.Source
		name, says string
	}{
		"not by systemd": {without, "role_id", "LoadCredential=role_id:"},
		"not given":      {with, "role_id", "LoadCredential=role_id:"},
		"elsewhere":      {with, "../role_id", "not the name of a credential"},
		"dots":           {with, "..", "not the name of a credential"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tt.source.Read(t.Context(), values(map[string]cty.Value{"name": str(tt.name)}))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error = %v, want %q", err, tt.says)
			}
		})
	}
}

func TestPathsAreThoseWhoseEventsMatter(t *testing.T) {
	args := values(map[string]cty.Value{"path": str("/etc/tokend/../tokend/pw"), "name": str("pw"), "command": cty.ListVal([]cty.Value{str("x")})})
	for kind, tt := range map[string]struct {
		source sources.Source
		want   string
	}{
		"file":       {sources.File(), "/etc/tokend/pw"},
		"systemd":    {sources.Systemd(environment("CREDENTIALS_DIRECTORY", "/run/credentials/tokend.service")), "/run/credentials/tokend.service/pw"},
		"no systemd": {sources.Systemd(environment()), ""},
		"env":        {sources.Env(environment()), ""},
		"exec":       {sources.Exec("/", nil), ""},
		"vault_kv":   {sources.VaultKV(nil), ""},
	} {
		if got := strings.Join(tt.source.Paths(args), " "); got != tt.want {
			t.Errorf("%s: Paths = %q, want %q", kind, got, tt.want)
		}
	}
	if got := sources.File().Paths(values(nil)); got != nil {
		t.Errorf("Paths without a path = %q", got)
	}
}

func TestEveryKindHasASchema(t *testing.T) {
	for kind, schema := range sources.Schemas() {
		if schema.Doc == "" || len(schema.Attrs) == 0 {
			t.Errorf("%s has no documentation or no arguments", kind)
		}
		for _, a := range schema.Attrs {
			if a.Doc == "" || a.Type == cty.NilType {
				t.Errorf("%s.%s has no documentation or no type", kind, a.Name)
			}
		}
	}
}
