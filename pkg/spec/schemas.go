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
		Doc: "when a token is refreshed",
		Attrs: []Attr{
			{Name: "at", Type: cty.Number, Default: "0.66", Doc: "the fraction of its lifetime at which a token is due"},
			{Name: "jitter", Type: cty.Number, Default: "0.1", Doc: "up to this fraction of the lifetime earlier, by a hash of the address and the host, so that not all come at once"},
			duration("min_remaining", "60s", "it is refreshed at the latest when this much is left, but never before a quarter of its lifetime has passed"),
		},
	}}
}

func retrySchema() NestedBlock {
	return NestedBlock{Name: "retry", Schema: Schema{
		Doc: "the back-off after failures",
		Attrs: []Attr{
			duration("initial", "1s", "the wait after the first failure; it doubles with each further one"),
			duration("max", "5m", "the longest wait; 30 s once the token that is held has expired"),
		},
	}}
}

// SettingsSchema is the schema of the `tokend` block.
func SettingsSchema() Schema {
	return Schema{
		Doc: "settings of this daemon",
		Attrs: []Attr{
			{Name: "required_version", Type: cty.String, Doc: "the versions of tokend that may read this directory, such as \">= 0.1, < 2\""},
			{Name: "listen", Type: cty.String, Doc: "HOST:PORT of the status page, metrics, health and the OAuth callback; off when absent"},
			{Name: "public_url", Type: cty.String, Doc: "the URL that redirect URIs are built from, as ${public_url}/callback; its host is one by which the status page may be asked for"},
		},
		Blocks: []NestedBlock{
			{Name: "state", Schema: Schema{
				Doc: "where the state is and what seals it",
				Attrs: []Attr{
					{Name: "path", Type: cty.String, Path: true, Default: "/var/lib/tokend", Doc: "the state's directory; changing it needs a restart"},
					{Name: "key_file", Type: cty.String, Path: true, Doc: "a file with the key that seals the state; without any of the three, a key is made in the state directory"},
					{Name: "systemd_credential", Type: cty.String, Doc: "the systemd credential (LoadCredential=) with that key"},
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
					{Name: "max_revocations", Type: cty.Number, Default: "10", Doc: "revocations and removed sinks that changes of the configuration cause within an hour"},
					{Name: "max_revoked_percent", Type: cty.Number, Default: "25", Doc: "percent of the credentials, or of the sinks, within an hour; where there are five or more of them"},
					duration("settle", "10s", "a removal acts only after the configuration's files were quiet this long"),
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
			Attr{Name: "provider", Type: cty.String, Ref: kindProvider, Doc: "the provider block, provider.TYPE.ALIAS; provider.TYPE.default when absent"},
			Attr{Name: "grant", Type: cty.String, Doc: "the grant of the type that obtains the token; may be left out where the type has one only"},
			Attr{Name: "scopes", Type: cty.List(cty.String), Doc: "the scopes to ask for; those that the provider gives by itself when absent"},
			Attr{Name: "redirect_uri", Type: cty.String, Doc: "where an interactive grant's redirect goes; ${public_url}/callback when absent, left out of the request when null"},
			duration("default_lifetime", "", "how long a token lives where its reply does not say; without it, such a token is not refreshed by the clock"),
			Attr{Name: "expose_refresh_token", Type: cty.Bool, Default: "false", Doc: "gives the credential the attribute refresh_token"},
		),
		Blocks: []NestedBlock{
			refreshSchema(), retrySchema(),
			{Name: "lifecycle", Schema: Schema{
				Doc: "how the credential ends",
				Attrs: []Attr{
					{Name: "on_remove", Type: cty.String, Oneof: []string{OnRemoveRevoke, OnRemoveForget}, Default: OnRemoveRevoke, Doc: "what happens to the token when the block is removed: it is revoked, or left alive and forgotten"},
					{Name: "prevent_destroy", Type: cty.Bool, Default: "false", Doc: "neither removed nor replaced; remembered in the state, so that deleting the block does not lift it"},
					duration("overlap", "30s", "how long the old token outlives the new one in every sink, for consumers to pick it up"),
					duration("max_overlap", "1h", "a sink that cannot be written or cleaned holds up a revocation this long at most; after a start each sink is tried once before that counts, within five minutes"),
					{Name: "revoke_on_shutdown", Type: cty.Bool, Default: "false", Doc: "the token is revoked when the daemon stops, where its API takes tokens back (of oauth2: with a revoke_url); what was delivered stays where it is, and works no more until the next start delivers a new one"},
				},
			}},
			{Name: "verify", Schema: Schema{
				Doc: "asks a protected endpoint of the same origin whether the token still works",
				Attrs: []Attr{
					{Name: "path", Type: cty.String, Doc: "the path of the endpoint, below the provider's origin; the request of the type's own verify block when absent"},
					duration("every", "5m", "how often it is asked; \"0s\": never"),
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
			{Name: "alias", Type: cty.String, Doc: "the name of this block where a type has several; a constant"},
			{Name: "allow_insecure_http", Type: cty.Bool, Default: "false", Doc: "lets plain http:// be used beyond this machine"},
		},
		Blocks: []NestedBlock{
			{Name: "http", Schema: Schema{
				Doc: "the HTTP client",
				Attrs: []Attr{
					duration("timeout", "30s", "how long one request may take"),
					{Name: "ca_file", Type: cty.String, Path: true, Asking: true, Certificates: true, Doc: "PEM file with certificates to trust in place of the system's"},
					{Name: "proxy", Type: cty.String, Doc: "the URL of a proxy, without user and password; loopback addresses are asked directly"},
					{Name: "client_cert_file", Type: cty.String, Path: true, Asking: true, Certificates: true, Doc: "PEM certificate that is shown to the server (mutual TLS); with client_key_file"},
					{Name: "client_key_file", Type: cty.String, Path: true, Asking: true, Doc: "its private key; with client_cert_file"},
				},
			}},
			{Name: "rate_limit", Schema: Schema{
				Doc: "how fast and how many requests are made",
				Attrs: []Attr{
					{Name: "requests", Type: cty.Number, Doc: "requests in each period; no limit when absent"},
					duration("per", "1s", "the period that requests counts in"),
					{Name: "concurrency", Type: cty.Number, Default: "32", Doc: "requests in flight at most"},
				},
			}},
		},
	}
}

// metaAttrs are the arguments that make several instances of a block.
func metaAttrs() []Attr {
	return []Attr{
		{Name: "for_each", Type: cty.DynamicPseudoType, Doc: "a map, a set of strings, or the instances of another block: one instance for each; each.key and each.value inside"},
		{Name: "count", Type: cty.Number, Doc: "the number of instances; count.index inside"},
	}
}

// sinkAttrs are the arguments that every sink has beside its kind's.
func sinkAttrs() []Attr {
	return append(metaAttrs(),
		Attr{Name: "notify", Type: cty.List(cty.String), Ref: kindHook, Doc: "the hooks that run after the sink changed"})
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
