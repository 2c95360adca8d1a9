package policy_test

import (
	"testing"

	"tokend/pkg/spec"
)

// A namespace of Vault's is a whole other tree: what a rule says of paths is of
// the one that it names. The same goes for a server's name in its certificate.
func TestVaultNamespaces(t *testing.T) {
	const plain = "vault {\n  addresses = [\"https://vault.example.com:8200\"]\n  mounts = [\"kv\"]\n}\n"
	const named = "vault {\n  addresses = [\"https://eu.example.com\"]\n  namespaces = [\"trading\", \"teams/*\"]\n  server_names = [\"vault.internal\"]\n}\n"
	p := parse(t, "/etc/tokend", plain+named)
	for _, c := range []struct {
		address, namespace, name string
		refusal                  string
	}{
		{"https://vault.example.com:8200", "", "", ""},
		{"https://vault.example.com:8200", "/", "", ""},
		{"https://vault.example.com:8200", "finance", "", `namespace "finance" is not allowed, since /etc/tokend-policy.hcl:1 has no namespaces`},
		{"https://vault.example.com:8200", "trading", "", "namespace"}, // that is the other one's
		{"https://vault.example.com:8200", "", "evil.example", "tls_server_name"},
		{"https://eu.example.com", "trading/", "", ""},
		{"https://eu.example.com", "teams/a", "vault.internal", ""},
		{"https://eu.example.com", "finance", "", `namespace "finance" is not among the namespaces of /etc/tokend-policy.hcl:7`},
		{"https://eu.example.com", "trading", "evil.example", `tls_server_name "evil.example" is not among the server_names`},
		{"https://evil.example", "trading", "", "addresses"},
	} {
		a := args("address", c.address, "namespace", c.namespace, "tls_server_name", c.name)
		want(t, c.address+" "+c.namespace+" "+c.name, p.VaultUse(&spec.Block{Addr: "vault.main", Kind: "token", Args: a}), c.refusal)
	}
}

// Vault takes a namespace from the path, too: a star reaches into none.
func TestAMountReachesIntoNoNamespace(t *testing.T) {
	const kv = "secret \"vault_kv\" { paths = [\"**/x\"] }\n"
	for _, c := range []struct{ mounts, mount, refusal string }{
		{`"*"`, "kv", ""},
		{`"*"`, "/kv/", ""},
		{`"*"`, "finance/kv", `mount "finance/kv" is not among the mounts of`},
		{`"*"`, "/finance/kv/", "mount"},
		{`"k*"`, "kids/kv", "mount"},
		{`"teams/*"`, "teams/kv", ""},
		{`"teams/*"`, "teams/a/kv", "mount"},
		{`"finance/kv"`, "finance/kv", ""},
		{`"*/kv"`, "finance/kv", ""},
	} {
		p := parse(t, "/etc/tokend", "vault {\n  addresses = [\"https://vault.example.com:8200\"]\n  mounts = ["+c.mounts+"]\n}\n"+kv)
		want(t, c.mounts+" "+c.mount, p.Secret("vault_kv", args("mount", c.mount, "path", "x")), c.refusal)
	}
}
