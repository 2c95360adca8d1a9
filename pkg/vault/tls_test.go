package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/vault"
)

// pemOf writes a test server's certificate to a file.
func pemOf(t *testing.T, s *httptest.Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAClientCertificateIsShownAndReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writePair(t, certFile, keyFile, 1)
	var mu sync.Mutex
	var shown []int64
	f := &fake{ttl: 3600}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		shown = append(shown, r.TLS.PeerCertificates[0].SerialNumber.Int64())
		mu.Unlock()
		f.ServeHTTP(w, r)
	}))
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	settings := byAppRole(s.URL, "r", "s")
	settings.CAFile, settings.ClientCertFile, settings.ClientKeyFile = pemOf(t, s), certFile, keyFile
	p, _, _ := newPool(t, settings)
	c := client(t, p)
	writePair(t, certFile, keyFile, 2)
	s.CloseClientConnections() // a new connection shows the renewed certificate
	if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if len(shown) < 2 || shown[0] != 1 || shown[len(shown)-1] != 2 {
		t.Errorf("serial numbers shown: %v, want 1 first and 2 last", shown)
	}
	mu.Unlock()
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	other, _, _ := newPool(t, settings)
	if _, err := other.Client(t.Context(), main); !errors.Is(err, vault.ErrInvalid) || !strings.Contains(err.Error(), keyFile) {
		t.Errorf("without the key: %v", err)
	}
}

// writePair makes a self-signed certificate with a serial number.
func writePair(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSchemasAreDocumented(t *testing.T) {
	schemas := vault.AuthSchemas()
	for _, kind := range []string{"token", "token_file", "approle"} {
		if len(schemas[kind].Attrs) == 0 {
			t.Errorf("auth %q has no arguments", kind)
		}
	}
	schemas["vault"] = vault.Schema()
	for kind, schema := range schemas {
		if schema.Doc == "" {
			t.Errorf("%s has no documentation", kind)
		}
		for _, a := range schema.Attrs {
			if a.Doc == "" || a.Type == cty.NilType {
				t.Errorf("%s.%s has no documentation or no type", kind, a.Name)
			}
		}
	}
}
