package main

import (
	"fmt"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// A credential's token opens a Vault: the login shows it as a JWT, and the sinks
// there wait until it is there.
func TestVaultLoginByACredential(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{})
	issuer := v.JWTIssuer("jwt", "delivery")
	l.write("main.hcl", fmt.Sprintf(`
provider_type "identity" {
  grant "key" {
    static = true
    input "key" {
      type      = string
      sensitive = true
    }
    outputs = { jwt = input.key }
  }
}
secret "file" "jwt" { path = "jwt" }
credential "identity" "host" { key = secret.file.jwt.value }
vault "main" {
  address = %q
  timeout = "20s"
  auth "jwt" {
    role = "tokend"
    jwt  = credential.identity.host.jwt
  }
}
`, v.Addr)+apironeFromVault+kvSink("two", "kv", "delivered/two", ""))
	l.start()
	l.until("the status to say that there is no JWT", func() (bool, string) {
		said, status := l.tokend("status", "identity.host")
		return status == exitFailed, said
	})
	l.write("jwt", issuer.Sign("host", "vault", time.Hour)+"\n")
	l.untilDelivered(v, "delivered/two")
	l.must("retry", "sink.vault_kv.two")
}
