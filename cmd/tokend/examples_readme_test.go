package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readmeRoot runs the shell of an example's README to the letter, in a copy of the
// tree, with a directory of the test for /etc and what would change this host stood
// in for. It returns that directory, and what was asked of the stand-ins.
func readmeRoot(t *testing.T, example string, files map[string]string, standins ...string) (root, asked string) {
	t.Helper()
	tree, root := t.TempDir(), t.TempDir()
	for _, dir := range []string{"packaging", filepath.Join("examples", example)} {
		if err := os.CopyFS(filepath.Join(tree, dir), os.DirFS(filepath.Join("../..", dir))); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"etc/systemd/system", "etc/default", "bin"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	here := filepath.Join(tree, "examples", example)
	for name, content := range files {
		write(t, filepath.Join(here, name), content)
	}
	log := filepath.Join(root, "asked")
	for _, name := range standins {
		path := filepath.Join(root, "bin", name)
		write(t, path, "#!/bin/sh\necho "+name+" \"$@\" >>"+log+"\necho made-up\n")
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := read(t, filepath.Join(here, "README.md"))
	shell := strings.Join(fenced(text)["sh"], "")
	shell = regexp.MustCompile(`(^|[ >=:])/etc/`).ReplaceAllString(shell, "${1}"+root+"/etc/")
	cmd := exec.Command("sh", "-euc", "umask 022\n"+shell)
	cmd.Dir, cmd.Env = here, []string{"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the commands of examples/%s/README.md: %v\n%s", example, err, out)
	}
	return root, read(t, log)
}

// wantPrivate is an error for each file below a directory that others may read.
func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		n++
		return err
	})
	if err != nil || n < 2 {
		t.Errorf("%d entries in %s, %v", n, dir, err)
	}
}

// What a README tells to type leads to a directory that is valid, with every file
// that its units and blocks name, and secrets that nobody else can read.
func TestExampleREADMEs(t *testing.T) {
	t.Parallel()
	t.Run("vault", func(t *testing.T) {
		t.Parallel()
		root, asked := readmeRoot(t, "vault", map[string]string{"alice.password": "p1", "bob.password": "p2", "billing.secret": "s"}, "vault", "systemctl", "tokend")
		wantPrivate(t, filepath.Join(root, "etc/tokend-secrets"))
		for _, name := range []string{"role_id", "secret_id"} {
			if got := read(t, filepath.Join(root, "etc/tokend-secrets", name)); got != "made-up\n" {
				t.Errorf("%s holds %q", name, got)
			}
		}
		if !strings.Contains(asked, "alice=@alice.password") || !strings.Contains(asked, "systemctl restart tokend\n") {
			t.Errorf("asked was:\n%s", asked)
		}
		if got := tokend(t, filepath.Join(root, "etc/tokend"), "validate", "--var", "vault_address=https://vault.example.com"); got.status != exitOK {
			t.Errorf("what was copied does not load: %s", got.err)
		}
	})
	t.Run("systemd-host", func(t *testing.T) {
		t.Parallel()
		root, asked := readmeRoot(t, "systemd-host", nil, "useradd", "systemctl", "tokend")
		wantPrivate(t, filepath.Join(root, "etc/tokend-secrets"))
		if want := "useradd --system trader\nsystemctl daemon-reload\nsystemctl enable --now tokend\n"; !strings.Contains(asked, want) {
			t.Errorf("asked was, without %q:\n%s", want, asked)
		}
		for _, unit := range []string{"tokend.service", "tokend.service.d/secrets.conf", "trader.service", "hopper-bot.service"} {
			if read(t, filepath.Join(root, "etc/systemd/system", unit)) == "" {
				t.Errorf("%s is empty", unit)
			}
		}
		if got := tokend(t, filepath.Join(root, "etc/tokend"), "validate"); got.status != exitOK {
			t.Errorf("what was copied does not load: %s", got.err)
		}
		readme := read(t, "../../examples/systemd-host/README.md")
		for _, m := range regexp.MustCompile(`LoadCredential=\S+:/etc/tokend-secrets/(\S+)`).FindAllStringSubmatch(read(t, "../../examples/systemd-host/units/tokend-secrets.conf"), -1) {
			if !strings.Contains(readme, m[1]) {
				t.Errorf("the README says nothing of the secret %s", m[1])
			}
		}
	})
}
