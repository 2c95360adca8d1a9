package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// The state's key moves into Vault's transit engine under a running daemon, is
// rotated there, and comes back to a file; the daemon never pauses, and what
// cannot open the state is refused before it is taken.
func TestVaultRotatesTheStateKey(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
	v.EnableTransit("transit", "state")
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("main.hcl", apironeFromVault)
	l.start()
	l.untilReady(2)
	token := l.file("token")

	// A key that the policy does not let it use is refused, and nothing changes.
	if said, status := l.tokend("state", "rotate-key", "--transit", "vault.main/transit/other"); status != exitFailed || !strings.Contains(said, "rotating the state's key") {
		t.Errorf("rotating to a forbidden key: exit status %d\n%s", status, said)
	}
	if said := l.must("state", "rotate-key", "--transit", "vault.main/transit/state"); !strings.Contains(said, `transit key "transit/state"`) || !strings.Contains(said, "transit { vault = vault.main") {
		t.Errorf("rotating to the transit key said %q", said)
	}
	l.write("state.hcl", `
tokend {
  state {
    transit {
      vault = vault.main
      mount = "transit"
      key   = "state"
    }
  }
}
`)
	l.stop()
	if err := os.Remove(filepath.Join(l.state, "state.key")); err != nil {
		t.Fatal(err)
	}
	l.start()
	l.untilReady(2)

	// The key is rotated in Vault, the state sealed with its newest version, and
	// the former version retired.
	v.Write("transit/keys/state/rotate", map[string]any{})
	if said := l.must("state", "rotate-key"); strings.Contains(said, "name it in the configuration") {
		t.Errorf("rotating to the configured key said %q", said)
	}
	v.Write("transit/keys/state/config", map[string]any{"min_decryption_version": 2})
	l.stop()
	l.start()
	l.untilReady(2)

	// A start on a broken directory asks Vault for the key all the same.
	l.stop()
	l.write("broken.hcl", "credential \"apirone\" {")
	l.start()
	l.untilReady(2)
	l.stop()
	l.remove("broken.hcl")

	// And without a daemon, to a file.
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0123456789abcdef", 4)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.must("state", "rotate-key", "--key-file", key)
	l.write("state.hcl", "tokend {\n  state {\n    key_file = \""+key+"\"\n  }\n}\n")
	l.start()
	l.untilReady(2)
	if got := l.file("token"); got != token {
		t.Errorf("the token is another one: %q, was %q", got, token)
	}
	if c := l.api.Counts(standin.Apirone); c.Grants != 1 || c.Refreshes != 0 {
		t.Errorf("%d grants and %d refreshes, want the first grant only", c.Grants, c.Refreshes)
	}
}

// Where the configuration names another transit key already, the former one opens
// the state once more, without a daemon.
func TestVaultFormerTransitKey(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
	v.EnableTransit("transit", "state")
	v.Write("transit/keys/state-new", map[string]any{})
	v.Policy("delivery", deliveryPolicy+`path "transit/*" { capabilities = ["update"] }`)
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("main.hcl", apironeFromVault)
	name := func(key string) {
		l.write("state.hcl", "tokend {\n  state {\n    transit {\n      vault = vault.main\n      mount = \"transit\"\n      key   = \""+key+"\"\n    }\n  }\n}\n")
	}
	name("state")
	l.start()
	l.untilReady(2)
	l.stop()

	name("state-new")
	if said, status := l.tokend("state", "rotate-key"); status != exitFailed || !strings.Contains(said, "--former") {
		t.Errorf("without --former: exit status %d\n%s", status, said)
	}
	if said := l.must("state", "rotate-key", "--former", "vault.main/transit/state"); !strings.Contains(said, `transit key "transit/state-new"`) {
		t.Errorf("rotating said %q", said)
	}
	l.start()
	l.untilReady(2)
	if c := l.api.Counts(standin.Apirone); c.Grants != 1 {
		t.Errorf("%d grants, want the first only", c.Grants)
	}
}
