package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
	testrig "tokend/test/rig"
)

// deliveryPolicy is what a tokend of these tests may do in Vault.
const deliveryPolicy = `
path "kv/data/trading/*"       { capabilities = ["read"] }
path "kv/data/delivered/*"     { capabilities = ["create", "read", "update", "delete"] }
path "kv/metadata/delivered/*" { capabilities = ["create", "read", "update", "delete"] }
path "kv/delete/delivered/*"   { capabilities = ["update"] }
path "kv1/delivered/*"         { capabilities = ["create", "read", "update", "delete"] }
path "transit/encrypt/state"   { capabilities = ["update"] }
path "transit/decrypt/state"   { capabilities = ["update"] }
`

// vaultLab is a lab beside a real Vault with the engines kv (version 2, which
// takes writes by check-and-set only) and kv1 (version 1), the policy
// "delivery", and a password in kv/trading/apirone.
func vaultLab(t *testing.T, rules standin.Rules) (*lab, *testrig.VaultServer) {
	t.Helper()
	v := testrig.Vault(t)
	l := newLab(t, rules)
	v.EnableKV("kv", 2)
	v.Write("kv/config", map[string]any{"cas_required": true})
	v.EnableKV("kv1", 1)
	v.Policy("delivery", deliveryPolicy)
	putKV(v, "trading/apirone", "key-one")
	l.api.Register(standin.Account{API: standin.Apirone, Login: "apr-a", Password: "key-one"})
	return l, v
}

// apironeLab is a vaultLab whose tokend logs in by AppRole and keeps a token of an hour,
// by a password out of Vault, in a file.
func apironeLab(t *testing.T) (*lab, *testrig.VaultServer) {
	t.Helper()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("main.hcl", apironeFromVault)
	return l, v
}

// putKV writes a password as somebody else does, by check-and-set on what is
// there.
func putKV(v *testrig.VaultServer, path, password string) {
	_, version := v.GetKV("kv", path)
	v.Write("kv/data/"+path, map[string]any{"data": map[string]any{"password": password}, "options": map[string]any{"cas": version}})
}

// appRole writes a vault block that logs in by AppRole, and the files that its
// login is read from.
func (l *lab) appRole(v *testrig.VaultServer, settings map[string]any) {
	l.t.Helper()
	v.EnableAuth("approle", "approle")
	settings["token_policies"] = "delivery"
	roleID, secretID := v.AppRole("approle", "tokend", settings)
	l.write("secrets/role_id", roleID+"\n")
	l.write("secrets/secret_id", secretID+"\n")
	l.write("vault.hcl", vaultBlock(v))
}

// vaultBlock has a timeout that a busy machine does not reach, and that whoever
// waits for it is seen by.
func vaultBlock(v *testrig.VaultServer) string {
	return fmt.Sprintf(`
vault "main" {
  address = %q
  timeout = "20s"
  auth "approle" {
    role_id   = secret.file.role_id.value
    secret_id = secret.file.secret_id.value
  }
}
secret "file" "role_id" { path = "secrets/role_id" }
secret "file" "secret_id" { path = "secrets/secret_id" }
`, v.Addr)
}

const apironeFromVault = `
variable "out" { type = string }
secret "vault_kv" "apirone" {
  mount = "kv"
  path  = "trading/apirone"
}
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-a"
  password = secret.vault_kv.apirone.value.password
  refresh { min_remaining = "1s" }
  lifecycle { overlap = "0s" }
}
sink "file" "account" {
  path    = "${var.out}/token"
  content = credential.apirone.account.access_token
}
`

// quick lets removals act as soon as files are written.
const quick = `
tokend {
  guard {
    settle              = "100ms"
    max_revocations     = 100
    max_revoked_percent = 100
  }
}
`

func kvSink(name, mount, path, more string) string {
	return fmt.Sprintf(`
sink "vault_kv" %q {
  mount = %q
  path  = %q
  data  = { access_token = credential.apirone.account.access_token }
  %s
}
`, name, mount, path, more)
}

// delivered is the token that a secret of kv holds; "" when there is none.
func delivered(v *testrig.VaultServer, path string) string {
	data, _ := v.GetKV("kv", path)
	token, _ := data["access_token"].(string)
	return token
}

// untilDelivered waits until a secret of kv holds the token in force.
func (l *lab) untilDelivered(v *testrig.VaultServer, path string) string {
	l.t.Helper()
	var token string
	l.until(path+" holds the token in force", func() (bool, string) {
		said, status := l.tokend("get", "apirone.account", "--min-valid", "0s")
		token = strings.TrimSpace(said)
		there := delivered(v, path)
		return status == 0 && there == token, fmt.Sprintf("%q, want %q", there, token)
	})
	return token
}

func (l *lab) logged(message string) int {
	return strings.Count(l.daemon.log.String(), `"msg":"`+message+`"`)
}
