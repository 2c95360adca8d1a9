package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/policy"
	"tokend/pkg/providers"
	"tokend/pkg/providers/catalog"
	"tokend/pkg/spec"
)

// A policy made stricter counts for what is in force: the proxy and the
// certificates of a provider, open or read back from the state, and the address,
// the login and the files of a Vault.
func TestAStricterPolicyReachesWhatIsInForce(t *testing.T) {
	dir := t.TempDir()
	main := `
provider "apirone" {
  http { proxy = "http://proxy.example:3128" }
}
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.key.value
}
secret "file" "key" { path = "key" }
vault "approle" {
  address = "https://vault.example:8200"
  auth "approle" {
    mount     = "hosts"
    role_id   = secret.file.key.value
    secret_id = secret.file.key.value
  }
}
vault "jwt" {
  address = "https://vault.example:8200"
  auth "jwt" { jwt = secret.file.key.value }
}
vault "file" {
  address = "https://vault.example:8200"
  auth "token_file" { path = "/run/vault/token" }
}
`
	write(t, filepath.Join(dir, "main.hcl"), main)
	write(t, filepath.Join(dir, "key"), "a-key")
	parse := func(text string) *policy.Policy {
		p, diags := policy.Parse("/etc/tokend-policy.hcl", []byte(text), policy.Options{Dir: dir})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return p
	}
	const rest = `secret "file" { paths = ["/**"] }` + "\n"
	loose := parse(rest + `
provider "apirone" {
  origins = ["https://apirone.com"]
  proxies = ["http://proxy.example:3128"]
}
vault {
  addresses = ["https://vault.example:8200"]
  mounts    = ["hosts", "jwt"]
}
read { paths = ["/run/vault/token"] }
`)
	g := &globals{process: process{environ: os.Environ()}, config: dir, catalog: catalog.FS, limit: &policyGate{now: loose}}
	cfg, diags := g.permitted(dir, g.specOptions())
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	open := endpointOpener{limit: g.limit}
	p, err := cfg.Provider("provider.apirone.default", spec.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	configured, err := open.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	b, err := configured.Encode()
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := open.Restore(b)
	if err != nil {
		t.Fatal(err)
	}
	e := g.newEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
	asks := map[string]func() error{
		"configured": func() error { return prepares(t, cfg, configured.Prepare) },
		"recorded":   func() error { return prepares(t, cfg, recorded.Prepare) },
		"approle": func() error {
			_, err := e.vaultSettings(cfg)(t.Context(), "vault.approle")
			return err
		},
		"jwt": func() error {
			_, err := e.vaultSettings(cfg)(t.Context(), "vault.jwt")
			return err
		},
		"file": func() error {
			_, err := e.vaultSettings(cfg)(t.Context(), "vault.file")
			return err
		},
	}
	for name, ask := range asks {
		if err := ask(); err != nil {
			t.Errorf("%s, allowed: %v", name, err)
		}
	}
	g.limit.now = parse(rest + `
provider "apirone" { origins = ["https://apirone.com"] }
vault {
  addresses = ["https://vault.example:8200"]
  mounts    = ["kv"]
}
`)
	for name, want := range map[string]string{
		"configured": "http://proxy.example:3128 is not allowed, since /etc/tokend-policy.hcl:3 has no proxies",
		"recorded":   "http://proxy.example:3128 is not allowed, since /etc/tokend-policy.hcl:3 has no proxies",
		"approle":    `mount "hosts" is not among the mounts of /etc/tokend-policy.hcl:6`,
		"jwt":        `mount "jwt" is not among the mounts of /etc/tokend-policy.hcl:6`,
		"file":       "has no block that allows reading /run/vault/token",
	} {
		var v *policy.Violation
		if err := asks[name](); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		} else if name != "configured" && name != "recorded" && !errors.As(err, &v) {
			t.Errorf("%s: %v is no violation", name, err)
		}
	}
}

func prepares(t *testing.T, cfg *spec.Config, prepare func(providers.Call) (*providers.Request, error)) error {
	t.Helper()
	inputs, err := cfg.Inputs("credential.apirone.account", nil, spec.Scope{Secret: func(spec.Address) (cty.Value, error) { return cty.StringVal("a-key"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	_, err = prepare(providers.Call{Op: providers.OpGrant, Grant: "login", Inputs: inputs})
	return err
}
