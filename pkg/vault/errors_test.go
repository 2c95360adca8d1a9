package vault_test

import (
	"testing"

	"tokend/pkg/vault"
)

// Only Vault denies something: a token file that is not there is told as what it is.
func TestNobodyDeniedWhatWasNotAsked(t *testing.T) {
	e := vault.Error{Op: "logging in", Vault: "vault.main", Address: "https://v:8200", Class: vault.ErrDenied, Message: "reading the token: no such file"}
	for want, status := range map[string]int{
		"logging in at vault.main (https://v:8200): reading the token: no such file":                    0,
		"logging in at vault.main (https://v:8200): permission denied: reading the token: no such file": 403,
	} {
		if e.Status = status; e.Error() != want {
			t.Errorf("status %d: %q", status, e.Error())
		}
	}
}
