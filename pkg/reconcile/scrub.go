package reconcile

import (
	"context"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
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
		for i := range rec.Retiring {
			known = append(known, secretsOf(&rec.Retiring[i])...)
		}
		if rec.Grant != nil {
			known = append(known, secretsOf(rec.Grant)...)
		}
	}
	return secret.Scrub(s, known...)
}

// secretsOf are what a grant holds that nobody may see: its outputs and inputs
// too, since a static grant's key is an output and no token.
func secretsOf(g *state.Grant) []secret.Text {
	out := []secret.Text{g.AccessToken, g.RefreshToken, g.Header}
	for _, sealed := range [][]byte{g.Outputs, g.Inputs} {
		values, err := spec.OpenValues(sealed)
		if err != nil {
			continue
		}
		for _, n := range values.Names() {
			if t, err := values.Secret(n); err == nil {
				out = append(out, t)
			}
		}
	}
	return out
}
