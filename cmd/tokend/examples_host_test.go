package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	testrig "tokend/test/rig"
)

// Two services of examples/systemd-host, as small as they can be: each says in
// the journal which token it has.
const (
	traderProgram = `#!/bin/sh
say() { echo "token $(cat "$2")"; }
trap 'say "$@"' HUP
say "$@"
while :; do sleep 0.1; done
`
	hopperProgram = `#!/bin/sh
echo "token $HOPPER_TOKEN"
exec sleep infinity
`
)

// The example for a host, word for word but for its port, under a real systemd: the unit as it is
// shipped, secrets by LoadCredential=, the services beside it.
func TestExampleSystemdHostUnderSystemd(t *testing.T) {
	t.Parallel()
	m := testrig.Nspawn(t) // first, because it skips where there is no systemd
	api := standin.New(standin.Options{AnyAccount: true, AutoApprove: true, Rules: standin.Rules{ExpiresIn: standin.ExpiryNumber}})
	apis, err := standin.Start(t.Context(), api, standin.Listen{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(apis.Close)

	m.CopyFile("/usr/bin/tokend", build(t), 0o755)
	m.CopyFile("/usr/lib/systemd/system/tokend.service", "../../packaging/tokend.service", 0o644)
	example := "../../examples/systemd-host/"
	files, err := filepath.Glob(example + "*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("the example's files: %q, %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		// The machine shares its ports with this one.
		m.WriteFile("/etc/tokend/"+filepath.Base(f), strings.Replace(string(b), `"127.0.0.1:8250"`, `"127.0.0.1:0"`, 1), 0o644)
	}
	m.CopyFile("/etc/systemd/system/tokend.service.d/secrets.conf", example+"units/tokend-secrets.conf", 0o644)
	m.CopyFile("/etc/systemd/system/trader.service", example+"units/trader.service", 0o644)
	m.CopyFile("/etc/systemd/system/hopper-bot.service", example+"units/hopper-bot.service", 0o644)
	m.WriteFile("/usr/bin/trader", traderProgram, 0o755)
	m.WriteFile("/usr/bin/hopper-bot", hopperProgram, 0o755)
	for name, content := range map[string]string{
		"coinify_password": "p1\n", "apirone_key": "CY2qGJ65OVc5X5KJbibOelc5bbZbnfqx\n", "hopper_secret": "s1\n",
		"state.key": "a2V5IG9mIHRoZSBzdGF0ZSBvZiBhIHRlc3QgLi4uLi4=\n",
	} {
		m.WriteFile("/etc/tokend-secrets/"+name, content, 0o600)
	}
	// Beside the example's files: whom the built-in types ask.
	m.WriteFile("/etc/tokend/standins.hcl", fmt.Sprintf("provider \"coinify\" { base_url = %q }\nprovider \"cryptohopper\" { base_url = %q }\nprovider \"apirone\" { base_url = %q }\n",
		apis.URLs.Coinify, apis.URLs.Cryptohopper, apis.URLs.Apirone), 0o644)
	m.Boot()
	m.MustRun("useradd", "--system", "trader")

	// journal waits until a service has said something.
	l := &lab{t: t}
	journal := func(unit, want string) {
		t.Helper()
		l.until(unit+" says "+want, func() (bool, string) {
			said := m.Journal(unit)
			return strings.Contains(said, want), said
		})
	}
	get := func(addr string) string { return strings.TrimSpace(m.MustRun("tokend", "get", addr)) }

	m.MustRun("systemctl", "start", "trader.service") // pulls tokend in
	token := get("coinify.trader")
	journal("trader.service", "token "+token)
	if out, _ := m.Run("tokend", "status"); !strings.Contains(out, string(reconcile.NeedsLogin)) {
		t.Errorf("before the login: %s", out)
	}

	// A person logs in, and the bot is started with what came of it.
	m.MustRun("sh", "-c", `mkfifo /root/answer
		(exec 3<>/root/answer; tokend login --paste cryptohopper.bot <&3 >/root/url; echo "status $?" >/root/status) >/dev/null 2>&1 &`)
	m.WriteFile("/root/redirect", approve(l, func() string { url, _ := m.ReadFile("/root/url"); return url })+"\n", 0o600)
	m.MustRun("sh", "-c", "cat /root/redirect >/root/answer")
	l.until("the login is done", func() (bool, string) {
		said, err := m.ReadFile("/root/status")
		return said == "status 0\n", fmt.Sprint(said, err)
	})
	journal("hopper-bot.service", "token "+get("cryptohopper.bot"))

	// A new token is read again by the reload.
	m.MustRun("tokend", "refresh", "coinify.trader")
	if next := get("coinify.trader"); next == token {
		t.Error("a refresh brought the same token")
	} else {
		journal("trader.service", "token "+next)
	}

	// The worker's hook has nobody to tell: that is said, and holds nothing up.
	l.until("all but one hook is ready", func() (bool, string) {
		out, _ := m.Run("tokend", "status")
		return strings.Contains(out, "/run/worker.pid"), out
	})
	if got := strings.TrimSpace(m.MustRun("stat", "-c", "%a %U %G", "/run/tokend/trader/token")); got != "640 root trader" {
		t.Errorf("the trader's file has mode and owners %q", got)
	}
	if got := strings.TrimSpace(m.MustRun("cat", "/run/tokend/apirone.header")); got != "Authorization: Bearer "+get("apirone.account") {
		t.Errorf("apirone.header holds %q", got)
	}
}
