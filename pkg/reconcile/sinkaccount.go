package reconcile

import (
	"bytes"
	"context"

	"tokend/pkg/spec"
)

// withPlace joins a place's name with the account of what was written there.
func withPlace(account []byte, place string) []byte {
	b := make([]byte, 0, len(place)+1+len(account))
	b = append(append(b, place...), '\n')
	return append(b, account...)
}

func placeOf(written []byte) string {
	place, _, _ := bytes.Cut(written, []byte("\n"))
	return string(place)
}

func accountOf(written []byte) []byte {
	if written == nil {
		return nil
	}
	_, account, _ := bytes.Cut(written, []byte("\n"))
	if len(account) == 0 {
		return nil
	}
	return account
}

type configKey struct{}

// withConfig says in which configuration something that is being cleaned up was
// last declared: a Vault block that went in the same change is still needed.
func withConfig(ctx context.Context, c *spec.Config) context.Context {
	if c == nil {
		return ctx
	}
	return context.WithValue(ctx, configKey{}, c)
}

// LastConfig is the configuration in which what is being cleaned up was last
// declared, or nil.
func LastConfig(ctx context.Context) *spec.Config {
	c, _ := ctx.Value(configKey{}).(*spec.Config)
	return c
}
