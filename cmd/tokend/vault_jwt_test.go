package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tokend/pkg/standin"
)

// A credential's token opens a Vault: the login shows it as a JWT, and the sinks
// there wait until it is there.
func TestVaultLoginByACredential(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	v.EnableAuth("jwt", "jwt")
	v.Write("auth/jwt/config", map[string]any{"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}})
	v.Write("auth/jwt/role/tokend", map[string]any{
		"role_type": "jwt", "bound_audiences": []string{"vault"}, "user_claim": "sub", "token_policies": "delivery", "token_ttl": "1h",
	})
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
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"sub": "host", "aud": "vault", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	l.write("jwt", token+"\n")
	l.untilDelivered(v, "delivered/two")
	l.must("retry", "sink.vault_kv.two")
}
