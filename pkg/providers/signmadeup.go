package providers

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// signMadeUp is signJWT for requests that are shown and never made: their keys are
// secrets, which are not read, and a key of the algorithm's kind stands in for one.
func signMadeUp(algorithm, key string, claims, headers cty.Value) (string, error) {
	signed, err := signJWT(algorithm, key, claims, headers)
	var wrong *spec.KeyError
	if !errors.As(err, &wrong) {
		return signed, err
	}
	if key, err = madeUpKey(algorithm); err != nil {
		return "", err
	}
	return signJWT(algorithm, key, claims, headers)
}

// madeUpKey is a new private key for an algorithm, as PEM, or a shared one.
func madeUpKey(algorithm string) (string, error) {
	var key crypto.Signer
	var err error
	switch algorithm {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "HS256", "HS384", "HS512":
		return rand.Text() + rand.Text() + rand.Text(), nil // of 26 bytes each
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		return "", fmt.Errorf("making a key up for %s: %w", algorithm, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("making a key up for %s: %w", algorithm, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}
