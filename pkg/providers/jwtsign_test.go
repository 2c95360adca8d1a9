package providers_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tokend/pkg/providers"
)

func TestJWTSign(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pemOf := func(k any) string {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	jwk, err := json.Marshal(jose.JSONWebKey{Key: ecKey, KeyID: "k"})
	if err != nil {
		t.Fatal(err)
	}
	src := oneGrant(`
    input "alg" { type = string }
    input "key" {
      type      = string
      sensitive = true
    }`, `method = "POST"
      url = "${config.base_url}/a"
      form = { assertion = jwt_sign(input.alg, input.key, { iss = "me", iat = now, exp = now + 60, none = null, aud = ["x"] }, { kid = "k1" }) }`)
	hmacKey := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		alg, key string
		verify   any
	}{
		{"HS256", hmacKey, []byte(hmacKey)}, {"RS256", pemOf(rsaKey), rsaKey.Public()}, {"PS256", pemOf(rsaKey), rsaKey.Public()}, {"ES256", pemOf(ecKey), ecKey.Public()},
		{"EdDSA", pemOf(edKey), edKey.Public()}, {"ES256", string(jwk), ecKey.Public()},
		{"RS256", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})), rsaKey.Public()},
	} {
		var w wire
		r, _ := newRig(t, typeOf(t, src), record(&w), nil)
		call := r.call(providers.OpGrant, "g", map[string]any{"alg": c.alg, "key": c.key})
		call.Now = time.Unix(1700000000, 0)
		r.must(call)
		jws, err := jose.ParseSignedCompact(strings.TrimPrefix(w.body, "assertion="), []jose.SignatureAlgorithm{jose.SignatureAlgorithm(c.alg)})
		if err != nil {
			t.Fatalf("%s: %v", c.alg, err)
		}
		payload, err := jws.Verify(c.verify)
		if err != nil || string(payload) != `{"aud":["x"],"exp":1700000060,"iat":1700000000,"iss":"me"}` || jws.Signatures[0].Header.KeyID != "k1" {
			t.Errorf("%s: %s %v", c.alg, payload, err)
		}
		req, err := r.e.Prepare(call)
		if err != nil || !strings.Contains(req.Dump(), "[secret]") || strings.Contains(req.Dump(), "eyJ") {
			t.Errorf("%s: %s", c.alg, req.Dump())
		}
	}
	for _, c := range []struct{ alg, key string }{
		{"HS256", "canary"}, {"HS384", strings.Repeat("k", 47)}, {"HS512", strings.Repeat("k", 63)},
		{"RS256", pemOf(ecKey)}, {"ES256", pemOf(rsaKey)}, {"none", "x"}, {"HS256", ""}, {"RS256", "canary-not-a-key"}, {"ES384", pemOf(ecKey)},
		{"RS256", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n"}, {"RS256", `{"kty":"oct","k":"Y2FuYXJ5"}`},
	} {
		r, _ := newRig(t, typeOf(t, src), record(&wire{}), nil)
		_, err := r.e.Prepare(r.call(providers.OpGrant, "g", map[string]any{"alg": c.alg, "key": c.key}))
		e := asError(t, err)
		if e.Class != providers.ClassConfig || strings.Contains(e.Error(), "canary") || strings.Contains(e.Error(), "Y2Fu") {
			t.Errorf("%s: %v", c.alg, e)
		}
		if want := "the value of its argument key is neither a private key in PEM nor a private JWK, as RS256 needs it"; c.key == "canary-not-a-key" && !strings.Contains(e.Error(), want) {
			t.Errorf("%v: want %q", e, want)
		}
		if bytes := map[string]string{"HS256": "32", "HS384": "48", "HS512": "64"}[c.alg]; bytes != "" && !strings.Contains(e.Error(), "the value of its argument key is shorter than the "+bytes+" bytes that "+c.alg+" needs") {
			t.Errorf("%s: %v", c.alg, e)
		}
	}
}
