package spec

import (
	"strings"
	"testing"
)

// A key that a reference names and a secret does not have is told; what keys the
// secret has is not.
func TestAMissingKeyOfASecretIsNamed(t *testing.T) {
	c := mustLoad(t, `
vault "main" {
  address = "https://vault.example"
  auth "token_file" { path = "/run/t" }
}
secret "vault_kv" "kv" {
  mount = "kv"
  path  = "a"
}
sink "file" "plain" {
  path    = "a"
  content = secret.vault_kv.kv.value["pass"]
}
sink "file" "template" {
  path    = "b"
  content = "x${secret.vault_kv.kv.value["pass"]}"
}
sink "file" "deep" {
  path    = "c"
  content = upper(secret.vault_kv.kv.value["pass"])
}
`)
	for addr, want := range map[Address]string{
		"sink.file.plain":    `secret.vault_kv.kv.value has no "pass".`,
		"sink.file.template": `secret.vault_kv.kv.value has no "pass".`,
		"sink.file.deep":     `secret.vault_kv.kv.value has no "pass".`,
	} {
		_, err := c.SinkArgs(addr, world(t))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", addr, err, want)
			continue
		}
		for _, has := range []string{"alice", "bob"} {
			if strings.Contains(err.Error(), has) {
				t.Errorf("%s: a key of the secret is shown: %v", addr, err)
			}
		}
	}
}
