package providers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"tokend/pkg/spec"
)

// signJWT is jwt_sign of the language: a compact JWS (RFC 7515) over claims.
// key is a private key as PEM or JWK for RS*, PS*, ES* and EdDSA, and the shared
// secret itself for HS*. Errors quote nothing of it.
func signJWT(algorithm, key string, claims, headers cty.Value) (string, error) {
	alg := jose.SignatureAlgorithm(algorithm)
	signingKey, err := privateKey(alg, key)
	if err != nil {
		return "", err
	}
	opts := (&jose.SignerOptions{}).WithType("JWT")
	if !headers.IsNull() {
		if !headers.CanIterateElements() || !headers.Type().IsObjectType() && !headers.Type().IsMapType() {
			return "", errors.New("headers must be a map")
		}
		for it := headers.ElementIterator(); it.Next(); {
			k, v := it.Element()
			if v.IsNull() {
				continue
			}
			raw, err := ctyjson.SimpleJSONValue{Value: v}.MarshalJSON()
			if err != nil {
				return "", errors.New("headers cannot be written as JSON")
			}
			opts.WithHeader(jose.HeaderKey(k.AsString()), rawJSON(raw))
		}
	}
	payload, err := ctyPayload(claims)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signingKey}, opts)
	if err != nil {
		return "", fmt.Errorf("the key does not fit the algorithm %q", algorithm)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("signing with %s failed: does the key fit?", algorithm)
	}
	return jws.CompactSerialize()
}

// rawJSON is JSON that is encoded already.
type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// ctyPayload writes claims as JSON, null ones left out.
func ctyPayload(claims cty.Value) ([]byte, error) {
	if claims.IsNull() || !claims.Type().IsObjectType() && !claims.Type().IsMapType() {
		return nil, errors.New("claims must be a map")
	}
	return appendCty(nil, claims)
}

func privateKey(alg jose.SignatureAlgorithm, key string) (any, error) {
	switch alg {
	case jose.HS256, jose.HS384, jose.HS512:
		if need := hashSize(alg); len(key) < need { // RFC 7518 section 3.2
			return nil, &spec.KeyError{Text: fmt.Sprintf("the value of its argument key is shorter than the %d bytes that %s needs", need, alg)}
		}
		return []byte(key), nil
	case jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA:
	default:
		return nil, fmt.Errorf("there is no algorithm %q: HS256, RS256, PS256, ES256 (or 384, 512) and EdDSA are known", alg)
	}
	if block, _ := pem.Decode([]byte(key)); block != nil {
		return parsePEM(alg, block)
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON([]byte(key)); err != nil || !jwk.Valid() || jwk.IsPublic() {
		return nil, &spec.KeyError{Text: fmt.Sprintf("the value of its argument key is neither a private key in PEM nor a private JWK, as %s needs it", alg)}
	}
	return jwk.Key, nil
}

// hashSize is how many bytes the hash of an HS* algorithm has.
func hashSize(alg jose.SignatureAlgorithm) int {
	switch alg {
	case jose.HS256:
		return 32
	case jose.HS384:
		return 48
	}
	return 64
}

func parsePEM(alg jose.SignatureAlgorithm, block *pem.Block) (any, error) {
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		return nil, &spec.KeyError{Text: "the value of its argument key is an encrypted private key: give the decrypted one"}
	default:
		return nil, &spec.KeyError{Text: "the PEM block in its argument key is not a private key"}
	}
	if err != nil {
		return nil, errors.New("the private key cannot be read")
	}
	fits := false
	switch key.(type) {
	case *rsa.PrivateKey:
		fits = alg[0] == 'R' || alg[0] == 'P'
	case *ecdsa.PrivateKey:
		fits = alg[:2] == "ES"
	case ed25519.PrivateKey:
		fits = alg == jose.EdDSA
	}
	if _, ok := key.(crypto.Signer); !ok || !fits {
		return nil, fmt.Errorf("the key does not fit the algorithm %q", alg)
	}
	return key, nil
}
