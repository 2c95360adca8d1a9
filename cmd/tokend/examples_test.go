package main

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tokend/pkg/reconcile"
	"tokend/pkg/spec"
	"tokend/pkg/standin"
	testrig "tokend/test/rig"
)

// exampleLab is a lab whose configuration is a copy of a directory of examples/,
// with texts of it replaced, so that it lives in the test's folder and asks the
// stand-ins. Whatever the example would ask that is not on this machine fails
// the test here, before anything runs.
func exampleLab(t *testing.T, name string, replace ...string) *lab {
	t.Helper()
	l := newLab(t, standin.Rules{})
	r := strings.NewReplacer(replace...)
	p := playground{urls: l.urls}
	err := copyTree(l.config, os.DirFS(filepath.Join("..", "..", "examples", name)), func(b []byte) []byte {
		return []byte(r.Replace(string(p.pointAtStandins(b))))
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// staysHere fails the test when the configuration would ask another machine.
func (l *lab) staysHere() {
	l.t.Helper()
	said := l.must("validate")
	if !strings.Contains(said, "is valid") {
		l.t.Fatalf("validate says %s", said)
	}
	address := regexp.MustCompile(`https?://[^/"\s)]+`)
	for _, dir := range []fs.FS{os.DirFS(l.config), l.catalog} {
		files, err := fs.Glob(dir, "*.hcl")
		if err != nil {
			l.t.Fatal(err)
		}
		for _, name := range files {
			b, err := fs.ReadFile(dir, name)
			if err != nil {
				l.t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				code, _, _ := strings.Cut(line, "# ")
				if strings.HasPrefix(strings.TrimSpace(line), "#") {
					continue
				}
				for _, a := range address.FindAllString(code, -1) {
					if u, err := url.Parse(a); err != nil || u.Hostname() != "127.0.0.1" {
						l.t.Fatalf("%s names another machine: %s", name, line)
					}
				}
			}
		}
	}
}

// tokens checks that every credential has a token of which the stand-ins say
// that it lives, and returns them by short address.
func (l *lab) tokens(api func(addr string) standin.API) map[string]string {
	l.t.Helper()
	out := map[string]string{}
	for _, c := range l.status().Credentials {
		token := strings.TrimSpace(l.must("get", c.Address))
		out[spec.Address(c.Address).Short()] = token
		a := api(c.Address)
		if a == "" {
			continue
		}
		if got, ok := l.api.Lookup(a, token); !ok || !got.Alive {
			l.t.Errorf("the token of %s is none of %s, or dead: %+v", c.Address, a, got)
		}
	}
	return out
}

// byType is the stand-in that a credential's type asks.
func byType(addr string) standin.API {
	return standin.API(strings.Split(strings.TrimPrefix(addr, "credential."), ".")[0])
}

// removeAll deletes the configuration, lets a person approve of that, and waits
// until nothing is left in the state.
func (l *lab) removeAll() {
	l.t.Helper()
	names, err := filepath.Glob(filepath.Join(l.config, "*.hcl"))
	if err != nil {
		l.t.Fatal(err)
	}
	for _, n := range names {
		// What says where the state is stays.
		if filepath.Base(n) == "tokend.hcl" {
			continue
		}
		if err := os.Remove(n); err != nil {
			l.t.Fatal(err)
		}
	}
	l.until("the empty directory is held back", func() (bool, string) {
		said := l.must("plan")
		return strings.Contains(said, "Held back: the configuration declares no credential any more"), said
	})
	l.must("approve")
	l.until("nothing is left in the state", func() (bool, string) {
		said := l.must("state", "list")
		return said == "", said
	})
}

// revoked checks that an API saw every token of it given back.
func (l *lab) revoked(api standin.API, n int) {
	l.t.Helper()
	if got := l.api.Counts(api).Revocations; got != n {
		l.t.Errorf("%s saw %d revocations, want %d", api, got, n)
	}
}

func (l *lab) file(name string) string {
	l.t.Helper()
	b, err := os.ReadFile(filepath.Join(l.out, name))
	if err != nil {
		l.t.Error(err)
	}
	return string(b)
}

// empty checks that no sink's file is left below out.
func (l *lab) empty(but ...string) {
	l.t.Helper()
	err := filepath.WalkDir(l.out, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !slices.Contains(but, d.Name()) {
			l.t.Errorf("%s is left", path)
		}
		return err
	})
	if err != nil {
		l.t.Error(err)
	}
}

func TestExampleQuickstart(t *testing.T) {
	t.Parallel()
	l := exampleLab(t, "quickstart")
	l.staysHere()
	l.start()
	l.login("coinsph.wallet")
	l.login("cryptohopper.bot")
	l.untilReady(10)
	tokens := l.tokens(byType)
	want := map[string]string{
		"coinify-alice.token": tokens[`coinify.trader["alice"]`], "coinify-bob.token": tokens[`coinify.trader["bob"]`],
		"coinsph.header": "Authorization: Bearer " + tokens["coinsph.wallet"] + "\n", "apirone.token": tokens["apirone.account"],
	}
	for name, content := range want {
		if got := l.file(name); got != content || content == "" {
			t.Errorf("%s holds %q, want %q", name, got, content)
		}
	}
	if env := testrig.Sh(t, filepath.Join(l.out, "bot.env")); env["HOPPER_TOKEN"] != tokens["cryptohopper.bot"] || env["HOPPER_EXPIRY"] == "" {
		t.Errorf("bot.env holds %v, want the token %q", env, tokens["cryptohopper.bot"])
	}
	l.removeAll()
	l.empty()
	l.revoked(standin.Coinify, 2)
	l.revoked(standin.Apirone, 1)
}

func TestExampleSystemdHost(t *testing.T) {
	t.Parallel()
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Skipf("systemd-host: this user's group has no name: %v", err)
	}
	dir := t.TempDir()
	l := exampleLab(t, "systemd-host",
		`"/run/tokend/`, `"`+dir+`/out/`, `"/run/worker.pid"`, quote(filepath.Join(dir, "worker.pid")), `"/var/lib/tokend"`, quote(filepath.Join(dir, "state")),
		`= "trader"`, "= "+quote(group.Name), `"127.0.0.1:8250"`, `"127.0.0.1:0"`, `"10s"`, `"100ms"`)
	l.out = filepath.Join(dir, "out")

	// What systemd would give: the credentials, and systemctl.
	for name, content := range map[string]string{
		"credentials/state.key": strings.Repeat("6b7a", 16) + "\n", "credentials/coinify_password": "p1", "credentials/apirone_key": "CY2qGJ65OVc5X5KJbibOelc5bbZbnfqx",
		"credentials/hopper_secret": "s1", "bin/systemctl": "#!/bin/sh\necho \"$@\" >>" + dir + "/systemctl.log\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l.env["CREDENTIALS_DIRECTORY"] = filepath.Join(dir, "credentials")
	l.env["PATH"] = filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")
	worker := hangupCounter(t, dir)

	l.staysHere()
	l.start()
	l.untilState("credential.cryptohopper.bot", reconcile.NeedsLogin)
	l.login("cryptohopper.bot")
	l.untilReady(6)
	tokens := l.tokens(byType)
	if got, want := l.file("trader/token"), tokens["coinify.trader"]; got != want {
		t.Errorf("the trader's file holds %q, want %q", got, want)
	}
	if fi, err := os.Stat(filepath.Join(l.out, "trader/token")); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("the trader's file: %v, %v", fi.Mode(), err)
	}
	if got, want := l.file("apirone.header"), "Authorization: Bearer "+tokens["apirone.account"]+"\n"; got != want {
		t.Errorf("apirone.header holds %q, want %q", got, want)
	}
	if env := testrig.Sh(t, filepath.Join(l.out, "hopper-bot.env")); env["HOPPER_TOKEN"] != tokens["cryptohopper.bot"] || env["HOPPER_HEADER"] != "access-token" {
		t.Errorf("hopper-bot.env holds %v", env)
	}
	l.until("every hook has run", func() (bool, string) {
		b, _ := os.ReadFile(filepath.Join(dir, "systemctl.log"))
		_, err := os.Stat(filepath.Join(l.out, "apirone.changed"))
		said := string(b)
		return strings.Contains(said, "try-reload-or-restart trader.service") && strings.Contains(said, "restart hopper-bot.service") &&
			worker() > 0 && err == nil, fmt.Sprintf("%s\n%d signals, %v", said, worker(), err)
	})

	l.removeAll()
	l.empty("apirone.changed")
	l.revoked(standin.Coinify, 1)
	l.revoked(standin.Apirone, 1)
	l.stop()

	// Without the key that systemd held, the state says so and stays as it is.
	if err := os.WriteFile(filepath.Join(dir, "credentials/state.key"), []byte(strings.Repeat("7879", 16)), 0o600); err != nil {
		t.Fatal(err)
	}
	said, status := l.tokend("state", "list")
	if status != exitFailed || !strings.Contains(said, "key") || !strings.Contains(said, "hint: ") {
		t.Errorf("with another key: exit status %d, %s", status, said)
	}
}

// hangupCounter is a process that counts the SIGHUPs it gets.
func hangupCounter(t *testing.T, dir string) func() int {
	t.Helper()
	count := filepath.Join(dir, "hangups")
	// The pid file is there once the trap is.
	cmd := exec.Command("sh", "-c", `trap 'echo hup >>"$1"' HUP; echo $$ >"$2.new"; mv "$2.new" "$2"; while kill -0 "$3"; do sleep 0.1; done`,
		"sh", count, filepath.Join(dir, "worker.pid"), strconv.Itoa(os.Getpid()))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return func() int {
		b, _ := os.ReadFile(count)
		return strings.Count(string(b), "hup")
	}
}

func TestExampleGitOps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := exampleLab(t, "gitops", `"/etc/tokend-secrets/`, quote(dir + "/")[:len(dir)+2], `"/run/tokend"`, quote(filepath.Join(dir, "tokens")), `"10s"`, `"200ms"`)
	l.out = filepath.Join(dir, "tokens")
	if err := os.WriteFile(filepath.Join(dir, "coinify.production"), []byte("p1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.flags = []string{"--var-file", filepath.Join(l.config, "staging.tfvars")}
	l.staysHere()
	l.flags = []string{"--var-file", filepath.Join(l.config, "production.tfvars")}
	l.staysHere()
	l.start()
	l.untilReady(12)
	l.tokens(byType)

	// A broken commit changes nothing.
	l.edit("teams.hcl", "locals {", "locals {{")
	l.until("the broken commit is seen", func() (bool, string) {
		said, _ := l.tokend("status")
		return strings.Contains(said, "is broken"), said
	})
	if got := l.status(); got.Counts[reconcile.Ready] != 12 {
		t.Errorf("after a broken commit: %v", got.Counts)
	}
	l.edit("teams.hcl", "locals {{", "locals {")

	// A team more, another one less: within the guard.
	l.edit("teams.hcl", `    audit      = { email = "audit@example.com" }`, `    lending    = { email = "lending@example.com" }`)
	l.until("one team came and one went", func() (bool, string) {
		said := l.must("state", "list")
		return !strings.Contains(said, "audit") && strings.Contains(said, "lending"), said
	})
	l.untilReady(12)
	l.revoked(standin.Coinify, 1)
	if _, err := os.Stat(filepath.Join(l.out, "audit.token")); err == nil {
		t.Error("audit.token is still there")
	}

	// Too many at once: held, while the rest of the commit goes ahead.
	l.edit("teams.hcl", `    support    = { email = "support@example.com" }`, "",
		`    market     = { email = "market@example.com" }`, `    custody    = { email = "custody@example.com" }`)
	l.until("the change is held back", func() (bool, string) {
		said := l.must("plan")
		return strings.Contains(said, "Held back") && strings.Contains(said, `coinify.team["support"] would be given up`) && strings.Contains(said, `coinify.team["market"] would be given up`), said
	})
	l.until("the new team has its token", func() (bool, string) {
		b, err := os.ReadFile(filepath.Join(l.out, "custody.token"))
		return err == nil && len(b) > 0, fmt.Sprint(err)
	})
	l.revoked(standin.Coinify, 1)
	if said := l.must("approve"); !strings.Contains(said, "Approved") {
		t.Errorf("approve says %s", said)
	}
	l.until("what was approved is gone", func() (bool, string) {
		said := l.must("state", "list")
		return !strings.Contains(said, "support") && !strings.Contains(said, "market"), said
	})
	l.revoked(standin.Coinify, 3)

	// A protected team does not go with its line.
	l.edit("teams.hcl", `    treasury   = { email = "treasury@example.com", protected = true }`, "")
	if got := l.untilState(`credential.coinify.protected["treasury"]`, reconcile.Held); !strings.Contains(got.Why, "prevent_destroy") {
		t.Errorf("a protected team is held because: %s", got.Why)
	}
	l.revoked(standin.Coinify, 3)

	// A team whose login is refused is its own trouble: others have their tokens.
	l.api.Register(standin.Account{API: standin.Coinify, Login: "broke@example.com", Password: "another"})
	l.edit("teams.hcl", `    custody    = {`, "    broke      = { email = \"broke@example.com\" }\n    custody    = {")
	l.untilState(`credential.coinify.team["broke"]`, reconcile.Stopped)
	before := l.file("research.token")
	l.must("refresh", `coinify.team["research"]`)
	l.until("another team's new token is delivered", func() (bool, string) {
		got := l.file("research.token")
		return got != before && got == strings.TrimSpace(l.must("get", `coinify.team["research"]`)), got
	})
	l.edit("teams.hcl", "    broke      = { email = \"broke@example.com\" }\n", "")

	// The values of an environment are followed like the directory.
	l.edit("production.tfvars", "5f51bfe2-", "5f51bfe3-")
	l.until("another partner id would mean other tokens", func() (bool, string) {
		said := l.must("plan")
		return strings.Contains(said, "Held back") && strings.Contains(said, `coinify.team["research"] would be replaced: partner_id changed`), said
	})
	l.untilState(`credential.coinify.protected["settlement"]`, reconcile.Held)
}

// Every command line in an example's README has a command and flags that exist.
func TestExampleReadmes(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("../../examples/*/README.md")
	if err != nil || len(names) < 4 {
		t.Fatalf("examples with a README.md: %q, %v", names, err)
	}
	code := regexp.MustCompile("(?s)```.*?```|`[^`]+`")
	command := regexp.MustCompile("(?m)^`*tokend ([a-z][^`\n#]*)")
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.ReplaceAll(strings.Join(code.FindAllString(string(b), -1), "\n"), "\\\n", " ") // continued by a backslash
		found := command.FindAllStringSubmatch(lines, -1)
		if len(found) == 0 {
			t.Errorf("%s does not say how to run it", name)
		}
		for _, m := range found {
			c, args, err := newRoot(&globals{}).Find(strings.Fields(m[1]))
			if err != nil || c.Name() == "tokend" {
				t.Errorf("%s: tokend %s: %v", name, m[1], err)
				continue
			}
			if err := c.ParseFlags(args); err != nil {
				t.Errorf("%s: tokend %s: %v", name, m[1], err)
			}
			if err := c.ValidateArgs(c.Flags().Args()); err != nil && len(strings.Fields(m[1])) > 1 {
				t.Errorf("%s: tokend %s: %v", name, m[1], err)
			}
		}
	}
}
