package spec_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// A certificate is that of nobody who matters; it is past its time.
const aCertificate = `-----BEGIN CERTIFICATE-----
MIIBczCCARmgAwIBAgIUD4c4I+tT3HwHnJfxKqh9QnEgk3EwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAeFw0yNjExMjMxNTI2MTRaFw0yNjExMjQxNTI2MTRa
MA8xDTALBgNVBAMMBHRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAR4wsGp
dRje+GOj8Qy54I+Zq4HVkXALDJMtAydCk4bxSZHHRmHA4bXMG7EXYKkxixTiozU2
s0UE2EATofWZoOJgo1MwUTAdBgNVHQ4EFgQUEJpYrOeNK95BPQIl6kwVMPtbbb8w
HwYDVR0jBBgwFoAUEJpYrOeNK95BPQIl6kwVMPtbbb8wDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNIADBFAiBnBsaPsm/uEPHEEKNZJMVbpGd3vvWaCZP8qGHX
RfenLAIhAM/ukkF6Tkwe1z0Tije/FEXwUT+zEk3ixHRwT8b+MU/1
-----END CERTIFICATE-----
`

// A file of certificates that holds none is a warning where contents are looked into.
// What is named in order to ask servers can be watched, there or not.
func TestFileWithoutACertificate(t *testing.T) {
	dir := t.TempDir()
	save(t, dir, "main.hcl", `vault "main" {
  address  = "https://vault.example"
  ca_file  = "ca.pem"
  key_file = "gone.pem"
  auth "none" {}
}
`)
	vault := spec.Schema{Attrs: []spec.Attr{
		{Name: "address", Type: cty.String},
		{Name: "ca_file", Type: cty.String, Path: true, Asking: true, Certificates: true},
		{Name: "key_file", Type: cty.String, Path: true, Asking: true},
	}}
	for _, c := range []struct {
		text string
		want []string
	}{
		{"none", []string{"3: File without a certificate", "4: File is not there"}},
		{"-----BEGIN CERTIFICATE-----\n", []string{"3: File without a certificate", "4: File is not there"}},
		{aCertificate, []string{"4: File is not there"}},
	} {
		save(t, dir, "ca.pem", c.text)
		cfg, diags := spec.Load(dir, spec.Options{Vault: vault, Auths: map[string]spec.Schema{"none": {}}, CheckContents: true})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		var got []string
		for _, d := range diags {
			got = append(got, string(rune('0'+d.Subject.Start.Line))+": "+d.Summary)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
		if got, want := cfg.AskingFiles(), []string{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "gone.pem")}; !slices.Equal(got, want) {
			t.Errorf("to be watched: %q, want %q", got, want)
		}
	}
}
