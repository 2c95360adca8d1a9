package rig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// JWTIssuer signs the JSON Web Tokens that a mount of a Vault takes for a login.
type JWTIssuer struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

// JWTIssuer enables the login by a JSON Web Token at a mount, with a role "tokend",
// the mount's own too, that takes the issuer's tokens for "vault" and gives tokens of
// a policy that live an hour.
func (v *VaultServer) JWTIssuer(mount, policy string) *JWTIssuer {
	v.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		v.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		v.t.Fatal(err)
	}
	v.EnableAuth("jwt", mount)
	v.Write("auth/"+mount+"/config", map[string]any{
		"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, "default_role": "tokend",
	})
	v.Write("auth/"+mount+"/role/tokend", map[string]any{
		"role_type": "jwt", "bound_audiences": []string{"vault"}, "user_claim": "sub", "token_policies": policy, "token_ttl": "1h",
	})
	return &JWTIssuer{t: v.t, key: key}
}

// Sign makes a token of an hour ago for an audience. It has lives left to live, or is
// over where that is negative.
func (i *JWTIssuer) Sign(subject, audience string, lives time.Duration) string {
	i.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{"sub": subject, "aud": audience, "iat": now.Add(-time.Hour).Unix(), "exp": now.Add(lives).Unix()})
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}
