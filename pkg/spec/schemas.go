package spec

import (
	"github.com/zclconf/go-cty/cty"
)

// authBlock is the nested block of a vault that says how to log in.
const authBlock = "auth"

func duration(n, def, doc string) Attr {
	return Attr{Name: n, Type: cty.String, Duration: true, Default: def, Doc: doc}
}

// refreshSchema is that of `refresh`, in a credential and in the defaults.
func refreshSchema() NestedBlock {
	return NestedBlock{Name: "refresh", Schema: Schema{
		Doc: "when a token is due",
		Attrs: []Attr{
			{Name: "at", Type: cty.Number, Default: "0.66", Doc: "the fraction of its lifetime at which a token is due"},
			{Name: "jitter", Type: cty.Number, Default: "0.1", Doc: "up to this fraction of the lifetime earlier"},
			duration("min_remaining", "60s", "at the latest when this much is left"),
		},
	}}
}

func retrySchema() NestedBlock {
	return NestedBlock{Name: "retry", Schema: Schema{
		Doc: "the back-off after failures",
		Attrs: []Attr{
			duration("initial", "1s", "after the first failure"),
			duration("max", "5m", "at most"),
		},
	}}
}

// SettingsSchema is the schema of the `tokend` block.
func SettingsSchema() Schema {
	return Schema{
		Doc: "settings of this daemon",
		Attrs: []Attr{
			{Name: "required_version", Type: cty.String, Doc: "versions of tokend that may read this directory, such as \">= 0.1\""},
			{Name: "listen", Type: cty.String, Doc: "host:port of the status page, metrics, health and the OAuth callback; off when absent"},
			{Name: "public_url", Type: cty.String, Doc: "what redirect URIs are built from"},
		},
		Blocks: []NestedBlock{
			{Name: "state", Schema: Schema{
				Doc: "where the state is and what seals it",
				Attrs: []Attr{
					{Name: "path", Type: cty.String, Path: true, Default: "/var/lib/tokend", Doc: "the state's directory; changing it needs a restart"},
					{Name: "key_file", Type: cty.String, Path: true, Doc: "a file with the key that seals the state"},
					{Name: "systemd_credential", Type: cty.String, Doc: "the systemd credential with that key"},
				},
				Blocks: []NestedBlock{{Name: "transit", Schema: Schema{
					Doc: "a key of Vault's transit engine that wraps the state's key",
					Attrs: []Attr{
						{Name: "vault", Type: cty.String, Ref: kindVault, Required: true, Doc: "the Vault server; the only one declared is the default"},
						{Name: "mount", Type: cty.String, Default: "transit", Doc: "the mount of the transit engine"},
						{Name: "key", Type: cty.String, Required: true, Doc: "the name of the key"},
					},
				}}},
			}},
			{Name: "guard", Schema: Schema{
				Doc: "a change that would do more than this waits for tokend approve",
				Attrs: []Attr{
					{Name: "max_revocations", Type: cty.Number, Default: "10", Doc: "revocations and removed sinks within an hour"},
					{Name: "max_revoked_percent", Type: cty.Number, Default: "25", Doc: "percent of the credentials, or of the sinks, from five on"},
					duration("settle", "10s", "a removal acts after the configuration was quiet this long"),
				},
			}},
			{Name: "defaults", Schema: Schema{
				Doc:    "what credentials do unless they say otherwise",
				Blocks: []NestedBlock{refreshSchema(), retrySchema()},
			}},
		},
	}
}

// CredentialSchema is the schema of the arguments that every credential has.
func CredentialSchema() Schema {
	return Schema{
		Doc: "a token that shall exist",
		Attrs: append(metaAttrs(),
			Attr{Name: "provider", Type: cty.String, Ref: kindProvider, Doc: "the provider block; provider.TYPE.default when absent"},
			Attr{Name: "grant", Type: cty.String, Doc: "the way of obtaining the token; may be left out where the type has one"},
			Attr{Name: "scopes", Type: cty.List(cty.String), Doc: "the scopes to ask for"},
			Attr{Name: "redirect_uri", Type: cty.String, Doc: "of interactive grants; built from public_url when absent, left out when null"},
			duration("default_lifetime", "", "of tokens whose reply says none"),
			Attr{Name: "expose_refresh_token", Type: cty.Bool, Default: "false", Doc: "makes the refresh token an attribute"},
		),
		Blocks: []NestedBlock{
			refreshSchema(), retrySchema(),
			{Name: "lifecycle", Schema: Schema{
				Doc: "how the credential ends",
				Attrs: []Attr{
					{Name: "on_remove", Type: cty.String, Oneof: []string{OnRemoveRevoke, OnRemoveForget}, Default: OnRemoveRevoke, Doc: "what happens to the token when the block is removed"},
					{Name: "prevent_destroy", Type: cty.Bool, Default: "false", Doc: "neither removed nor replaced"},
					duration("overlap", "30s", "how long the old token outlives the new one in every sink"),
					duration("max_overlap", "1h", "a sink that cannot be written holds up a revocation no longer"),
					{Name: "revoke_on_shutdown", Type: cty.Bool, Default: "false", Doc: "revokes the token when the daemon stops"},
				},
			}},
			{Name: "verify", Schema: Schema{
				Doc: "asks a protected endpoint of the same origin whether the token still works",
				Attrs: []Attr{
					{Name: "path", Type: cty.String, Required: true, Doc: "of the endpoint"},
					duration("every", "5m", "how often"),
				},
			}},
		},
	}
}

// ProviderSchema is the schema of the arguments that every provider has.
func ProviderSchema() Schema {
	return Schema{
		Doc: "one configured endpoint of a type",
		Attrs: []Attr{
			{Name: "alias", Type: cty.String, Doc: "the name of this one where a type has several"},
			{Name: "allow_insecure_http", Type: cty.Bool, Default: "false", Doc: "lets http:// be used beyond this machine"},
		},
		Blocks: []NestedBlock{
			{Name: "http", Schema: Schema{
				Doc: "the HTTP client",
				Attrs: []Attr{
					duration("timeout", "30s", "of one request"),
					{Name: "ca_file", Type: cty.String, Path: true, Doc: "certificates to trust in place of the system's"},
					{Name: "proxy", Type: cty.String, Doc: "the URL of a proxy"},
					{Name: "client_cert_file", Type: cty.String, Path: true, Doc: "certificate of mutual TLS"},
					{Name: "client_key_file", Type: cty.String, Path: true, Doc: "key of mutual TLS"},
				},
			}},
			{Name: "rate_limit", Schema: Schema{
				Doc: "how fast and how many requests are made",
				Attrs: []Attr{
					{Name: "requests", Type: cty.Number, Doc: "requests in each period; no limit when absent"},
					duration("per", "1s", "the period"),
					{Name: "concurrency", Type: cty.Number, Default: "32", Doc: "requests in flight"},
				},
			}},
		},
	}
}

// metaAttrs are the arguments that make several instances of a block.
func metaAttrs() []Attr {
	return []Attr{
		{Name: "for_each", Type: cty.DynamicPseudoType, Doc: "a map, a set of strings, or the instances of another block: one instance for each"},
		{Name: "count", Type: cty.Number, Doc: "the number of instances"},
	}
}

// sinkAttrs are the arguments that every sink has beside its kind's.
func sinkAttrs() []Attr {
	return append(metaAttrs(),
		Attr{Name: "notify", Type: cty.List(cty.String), Ref: kindHook, Doc: "hooks to run after the sink changed"})
}

// withAttrs adds arguments to a schema, unless it has them.
func withAttrs(sc Schema, more []Attr) *Schema {
	out := sc
	out.Attrs = append([]Attr(nil), sc.Attrs...)
	for _, a := range more {
		if out.attr(a.Name) == nil {
			out.Attrs = append(out.Attrs, a)
		}
	}
	return &out
}
