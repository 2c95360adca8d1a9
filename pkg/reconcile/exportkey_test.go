package reconcile

import "context"

// ExportUnder is Export with a key that is given, so that two exports can be
// compared.
func (l *Loop) ExportUnder(ctx context.Context, key []byte) (*Export, error) {
	return l.exportUnder(ctx, key)
}
