package main

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// A mount that there is not was never written: once it is corrected, nothing is to be
// cleaned there.
func TestVaultMountThatIsCorrectedNeedsNoCleaning(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("main.hcl", apironeFromVault)
	l.write("two.hcl", kvSink("two", "nomount", "delivered/two", ""))
	l.start()
	l.until("the mount is missed", func() (bool, string) {
		got := l.line("sink.vault_kv.two")
		return got.State == reconcile.Failing && strings.Contains(got.Why, "nomount"), got.Why
	})
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.untilDelivered(v, "delivered/two")
	l.untilReady(3)
}
