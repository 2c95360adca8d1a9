package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// readOnly is a policy by which what was delivered can be neither replaced nor
// taken away.
const readOnly = `
path "kv/data/trading/*"       { capabilities = ["read"] }
path "kv/data/delivered/*"     { capabilities = ["read"] }
path "kv/metadata/delivered/*" { capabilities = ["read"] }
`

// A place in Vault that cannot be written, or not be cleaned, holds up the
// revocation of the token that it still has, but no longer than max_overlap.
func TestVaultHoldsUpARevocationForMaxOverlap(t *testing.T) {
	t.Parallel()
	const longest = 3 * time.Second
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("quick.hcl", strings.Replace(quick, "guard {", "defaults {\n    retry { max = \"1s\" }\n  }\n  guard {", 1))
	l.write("main.hcl", strings.Replace(apironeFromVault, `lifecycle { overlap = "0s" }`, fmt.Sprintf("lifecycle {\n    overlap     = \"0s\"\n    max_overlap = %q\n  }", longest), 1))
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.start()
	l.untilReady(3)
	old := l.untilDelivered(v, "delivered/two")

	// Replaced, and Vault does not take the new token.
	v.Policy("delivery", readOnly)
	began := time.Now()
	l.must("taint", "apirone.account")
	l.until("the file holds the new token", func() (bool, string) { got := l.file("token"); return got != old && got != "", got })
	l.until("Vault refuses it", func() (bool, string) {
		got := l.line("sink.vault_kv.two")
		return got.State == reconcile.Failing && strings.Contains(got.Why, "permission denied"), got.Why
	})
	l.until("the old token is revoked all the same", func() (bool, string) {
		n := l.api.Counts(standin.Apirone).Revocations
		return n == 1, fmt.Sprint(n)
	})
	if waited := time.Since(began); waited < longest {
		t.Errorf("it was revoked after %v, before max_overlap had passed", waited)
	}
	if got := delivered(v, "delivered/two"); got != old {
		t.Errorf("Vault holds %q, want the old token: the test shows nothing", got)
	}
	v.Policy("delivery", deliveryPolicy)
	l.must("retry", "sink.vault_kv.two")
	last := l.untilDelivered(v, "delivered/two")

	// Removed, and Vault does not let it be taken away.
	v.Policy("delivery", readOnly)
	began = time.Now()
	l.remove("main.hcl", "two.hcl")
	l.until("it is held back as the last of its kind", func() (bool, string) { said := l.must("approve"); return strings.Contains(said, "Approved"), said })
	l.until("Vault cannot be cleaned", func() (bool, string) {
		got := l.line("sink.vault_kv.two")
		return got.State == reconcile.Removing && strings.Contains(got.Why, "cannot clean"), got.Why
	})
	l.until("the token is revoked all the same", func() (bool, string) {
		n := l.api.Counts(standin.Apirone).Revocations
		return n == 2, fmt.Sprint(n)
	})
	if waited := time.Since(began); waited < longest {
		t.Errorf("it was revoked after %v, before max_overlap had passed", waited)
	}
	if got := delivered(v, "delivered/two"); got != last {
		t.Errorf("Vault holds %q, want the revoked token: the test shows nothing", got)
	}
	v.Policy("delivery", deliveryPolicy)
	l.until("what is left in Vault is cleaned in the end", func() (bool, string) {
		got := delivered(v, "delivered/two")
		return got == "", got
	})
}

// The whole directory of the state is put back from an old copy, with nothing in
// it that tells. What was delivered to Vault meanwhile says so, before a refresh
// token is spent that has been spent.
func TestVaultTellsOfAStateThatWasPutBack(t *testing.T) {
	// Not beside others: what waits for Vault's word does so for ten seconds.
	l, v := vaultLab(t, standin.Rules{AccessLifetime: 3 * time.Second, Rotate: standin.RotateSingleUse})
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("main.hcl", apironeFromVault)
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.start()
	l.untilReady(3)
	first := l.untilDelivered(v, "delivered/two")
	l.stop()
	old := t.TempDir()
	if err := os.CopyFS(old, os.DirFS(l.state)); err != nil {
		t.Fatal(err)
	}

	l.start()
	l.until("other tokens were delivered since", func() (bool, string) {
		got := delivered(v, "delivered/two")
		n := l.api.Counts(standin.Apirone).Refreshes
		return got != first && n >= 2, fmt.Sprint(n, " refreshes")
	})
	l.stop()
	if err := os.RemoveAll(l.state); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(l.state, os.DirFS(old)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(l.state, "state.key"), 0o600); err != nil {
		t.Fatal(err)
	}

	l.start() // the token that it knows of has expired or is about to: a refresh is due at once
	l.until("it is noticed", func() (bool, string) {
		return l.logged("the state is an older copy that was put back: what was obtained since is not known, and refresh tokens that work once may have been spent") == 1, l.daemon.log.String()
	})
	l.untilDelivered(v, "delivered/two")
	l.untilReady(3)
	if c := l.api.Counts(standin.Apirone); c.Reuses != 0 {
		t.Errorf("refresh tokens that had been spent were spent %d times again", c.Reuses)
	}
	// It goes on from there as if nothing had been.
	n := l.api.Counts(standin.Apirone).Refreshes
	l.until("it is refreshed again", func() (bool, string) { got := l.api.Counts(standin.Apirone).Refreshes; return got > n, fmt.Sprint(got) })
	l.untilDelivered(v, "delivered/two")
}
