package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/standin"
)

// A login that a person is at goes on where its credential is renamed meanwhile: what it
// brings is the token of the new address.
func TestALoginGoesOnUnderAMovedAddress(t *testing.T) {
	t.Parallel()
	at := ownLoopback(t)
	l := callbackLab(t, at, "http://"+at+"/callback")
	l.start()
	p := l.person("cryptohopper.bot")
	back := p.approved()
	uri := "http://" + at + "/callback"
	renamed := strings.NewReplacer(`"cryptohopper" "bot"`, `"cryptohopper" "robot"`, "cryptohopper.bot.", "cryptohopper.robot.").
		Replace(fmt.Sprintf(callbackConfig, fmt.Sprintf("listen = %q", at), uri, uri))
	l.write("main.hcl", renamed+"moved {\n  from = credential.cryptohopper.bot\n  to   = credential.cryptohopper.robot\n}\n")
	l.until("the credential has its new name", func() (bool, string) {
		said, _ := l.tokend("status")
		return strings.Contains(said, "cryptohopper.robot"), said
	})
	if s := l.status(); len(s.Logins) != 1 || s.Logins[0].Address != "credential.cryptohopper.robot" {
		t.Errorf("under way are %+v", s.Logins)
	}
	l.visits(back, http.StatusOK, "Logged in")
	p.ends(0)
	l.grants(standin.Cryptohopper, 1)
	if said := l.must("get", "cryptohopper.robot"); strings.TrimSpace(said) == "" {
		t.Error("there is no token")
	}
	if b, err := os.ReadFile(filepath.Join(l.out, "bot")); err != nil || len(b) == 0 {
		t.Errorf("its sink: %q %v", b, err)
	}
}
