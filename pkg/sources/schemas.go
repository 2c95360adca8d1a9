package sources

import (
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
)

// Schemas lists the arguments of all kinds of `secret` block, by kind.
func Schemas() map[string]spec.Schema {
	return map[string]spec.Schema{
		"file":     fileSchema(),
		"env":      envSchema(),
		"systemd":  systemdSchema(),
		"vault_kv": vaultKVSchema(),
		"exec":     execSchema(),
	}
}

func required(name, doc string) spec.Attr {
	return spec.Attr{Name: name, Type: cty.String, Required: true, NotEmpty: true, Doc: doc}
}
