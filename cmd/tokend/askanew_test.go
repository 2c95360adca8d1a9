package main

import (
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A provider's ca_file that is missing, or without a certificate, is warned of; what it
// keeps from being asked is asked once the file was put right, and not at the next look.
func TestAFileOfCertificatesIsReadOnceItIsPutRight(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	good := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	for text, warning := range map[string]string{
		"":                 "File is not there",
		"no certificate\n": "File without a certificate",
	} {
		t.Run(warning, func(t *testing.T) {
			l := newLab(t, standin.Rules{AccessLifetime: time.Hour})
			ca := filepath.Join(t.TempDir(), "ca.pem")
			l.write("key", "a-key")
			l.write("main.hcl", fmt.Sprintf(`
secret "file" "key" { path = "key" }
provider "apirone" {
  http { ca_file = %q }
}
credential "apirone" "a" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.key.value
}
`, ca))
			if text != "" {
				write(t, ca, text)
			}
			said := l.must("validate")
			for _, want := range []string{"warning: " + warning, "ca_file of provider.apirone.default: " + ca, "is valid"} {
				if !strings.Contains(said, want) {
					t.Errorf("validate does not say %q:\n%s", want, said)
				}
			}

			l.start()
			// Its next look is so far off that it is not what finds the file.
			var failing reconcile.Line
			l.until("the credential fails, and is looked at much later", func() (bool, string) {
				failing = l.line("credential.apirone.a")
				return failing.State == reconcile.Failing && time.Until(failing.NextAt) > 10*time.Second, fmt.Sprintf("%s, next %v", failing.State, failing.NextAt)
			})
			if !strings.Contains(failing.Mend, "put that file right, then: tokend retry apirone.a") {
				t.Errorf("to mend: %q", failing.Mend)
			}
			write(t, ca, good)
			l.untilState("credential.apirone.a", reconcile.Ready)
			if now := time.Now(); now.After(failing.NextAt) {
				t.Errorf("put right, and not seen before %v, when it would have been looked at all the same", failing.NextAt)
			}
		})
	}
}
