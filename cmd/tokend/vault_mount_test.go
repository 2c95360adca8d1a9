package main

import (
	"strings"
	"testing"

	"tokend/pkg/reconcile"
)

// A mount that there is not was never written: once it is corrected, nothing is to be
// cleaned there.
func TestVaultMountThatIsCorrectedNeedsNoCleaning(t *testing.T) {
	t.Parallel()
	l, v := apironeLab(t)
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

// Nor is anything where Vault has refused the first write: neither a corrected place nor
// the removal of such a sink waits for a right that there never was.
func TestVaultWriteThatIsRefusedNeedsNoCleaning(t *testing.T) {
	t.Parallel()
	l, v := apironeLab(t)
	l.write("two.hcl", kvSink("two", "kv", "forbidden/two", ""))
	l.write("three.hcl", kvSink("three", "kv1", "forbidden/three", ""))
	l.start()
	for _, name := range []string{"two", "three"} {
		l.until("Vault refuses it", func() (bool, string) {
			got := l.line("sink.vault_kv." + name)
			return got.State == reconcile.Failing && strings.Contains(got.Why, "permission denied"), got.Why
		})
	}
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.remove("three.hcl")
	l.untilDelivered(v, "delivered/two")
	l.untilReady(3)
}
