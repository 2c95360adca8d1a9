package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
	"tokend/pkg/vault"
	"tokend/test/rig"
)

// issuer signs the tokens that a jwt mount of a Vault takes.
type issuer struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

func newIssuer(t *testing.T, v *rig.VaultServer, mount string) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	v.EnableAuth("jwt", mount)
	v.Write("auth/"+mount+"/config", map[string]any{
		"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}, "default_role": "tokend",
	})
	v.Write("auth/"+mount+"/role/tokend", map[string]any{
		"role_type": "jwt", "bound_audiences": []string{"vault"}, "user_claim": "sub", "token_policies": "kv", "token_ttl": "1h",
	})
	return &issuer{t: t, key: key}
}

func (i *issuer) sign(audience string, lives time.Duration) string {
	i.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"sub": "canary-subject", "aud": audience, "iat": time.Now().Add(-time.Hour).Unix(), "exp": time.Now().Add(lives).Unix()})
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

func byJWT(address, token, role, mount string) vault.Settings {
	return vault.Settings{Address: address, Timeout: 30 * time.Second, AuthKind: "jwt",
		Auth: spec.NewValues(map[string]cty.Value{"jwt": hidden(token), "role": cty.StringVal(role), "mount": cty.StringVal(mount)})}
}

func TestALoginWithAJWT(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "trading/coinify", map[string]any{"password": "pw-1"})
	v.Policy("kv", kvPolicy)
	i := newIssuer(t, v, "machines/jwt")
	good := i.sign("vault", time.Hour)
	for name, role := range map[string]string{"a role": "tokend", "the mount's own role": ""} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := newPool(t, byJWT(v.Addr, good, role, "machines/jwt"))
			got, _, err := client(t, p).ReadKV(t.Context(), "kv", "trading/coinify", 0)
			if err != nil || got["password"] != "pw-1" {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	for name, c := range map[string]struct {
		settings vault.Settings
		says     string
	}{
		"expired":         {byJWT(v.Addr, i.sign("vault", -time.Minute), "tokend", "machines/jwt"), "the token may have expired"},
		"for someone":     {byJWT(v.Addr, i.sign("elsewhere", time.Hour), "tokend", "machines/jwt"), "check role and jwt"},
		"no such role":    {byJWT(v.Addr, good, "nobody", "machines/jwt"), "check role and jwt"},
		"no JWT":          {byJWT(v.Addr, "canary-text", "tokend", "machines/jwt"), "check role and jwt"},
		"nothing":         {byJWT(v.Addr, "", "tokend", "machines/jwt"), "jwt is empty"},
		"no such mount":   {byJWT(v.Addr, good, "tokend", ""), "check role and jwt"},
		"an unclean path": {byJWT(v.Addr, good, "tokend", "../sys"), "mount"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, j := newPool(t, c.settings)
			_, err := p.Client(t.Context(), main)
			if !errors.Is(err, vault.ErrLogin) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error = %v, want one of the login with %q", err, c.says)
			}
			if shown := err.Error() + j.String(); strings.Contains(shown, "canary") || strings.Contains(shown, strings.Split(good, ".")[1]) {
				t.Errorf("the token is shown:\n%s", shown)
			}
		})
	}
}
