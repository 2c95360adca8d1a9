package reconcile

import (
	"context"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// scrubRecords bounds how many records Scrub reads: it serves the errors of
// hooks, which are few, and must not read a state of 100,000 for each.
const scrubRecords = 1000

// Scrub takes the tokens that are held and the secrets that were read lately
// out of a text that somebody else wrote (a hook's output). It is a net, not the
// mechanism: hooks are given no secret.
func (l *Loop) Scrub(ctx context.Context, s string) string {
	var addrs []string
	err := l.do(ctx, func() {
		for a, it := range l.items {
			if it.kind == kindCredential && it.stored && len(addrs) < scrubRecords {
				addrs = append(addrs, a)
			}
		}
	})
	if err != nil {
		return s
	}
	known := l.w.secrets.texts()
	for _, a := range addrs {
		rec, _, err := l.o.Store.Credential(ctx, a)
		if err != nil {
			continue
		}
		for _, g := range append([]state.Grant(nil), rec.Retiring...) {
			known = append(known, g.AccessToken, g.RefreshToken)
		}
		if g := rec.Grant; g != nil {
			known = append(known, g.AccessToken, g.RefreshToken, g.Header)
		}
	}
	return secret.Scrub(s, known...)
}
