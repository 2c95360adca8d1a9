package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// The schemas of a provider_type block and of what stands in it. The decoder
// reads blocks by them, so that what is documented is what is read.

// TypeSchema is the schema of the `provider_type` block.
func TypeSchema() Schema {
	return Schema{
		Doc: "how an API hands out tokens, declared instead of programmed",
		Attrs: []Attr{
			{Name: "summary", Type: cty.String, Doc: "one line for `tokend provider list`"},
			{Name: "session", Type: cty.String, Oneof: []string{SessionIndependent, SessionOnePerAccount, SessionSharedGrant}, Default: SessionIndependent,
				Doc: "what a new grant does to earlier ones: leaves them alone (independent), kills them (one_per_account), or shares their fate in a revocation (shared_grant)"},
			{Name: "header_name", Type: cty.String, Deferred: true, Default: "Authorization", Doc: "the header in which an API call carries the token; may read config"},
			{Name: "header", Type: cty.String, Deferred: true, Doc: "the value of that header; Bearer and the token when absent, the bare token where header_name is another; may read config, input and token"},
			{Name: "default_lifetime", Type: cty.String, Duration: true, Deferred: true, Doc: "how long a token lives where its reply does not say; may read config"},
			{Name: "discovery", Type: cty.String, Deferred: true, Doc: "the issuer whose metadata (RFC 8414, OpenID Connect) is discovered.* in requests; null for none; may read config and input"},
		},
		Blocks: []NestedBlock{
			{Name: "config", Labels: []string{"name"}, Many: true, Schema: settingSchema()},
			{Name: "input", Labels: []string{"name"}, Many: true, Schema: inputSchema()},
			{Name: "grant", Labels: []string{"name"}, Many: true, Schema: typeGrantSchema()},
			{Name: "action", Labels: []string{"name"}, Many: true, Schema: typeActionSchema()},
			{Name: "response", Schema: typeResponseSchema()},
			{Name: "refresh", Schema: typeRefreshSchema()},
			{Name: "revoke", Schema: typeRevokeSchema()},
			{Name: "error", Schema: typeErrorSchema()},
			{Name: "verify", Schema: typeVerifySchema()},
		},
	}
}

// settingSchema is that of `config`, a setting of the provider block.
func settingSchema() Schema {
	return Schema{
		Doc: "a setting that provider blocks of the type have, read as config.NAME",
		Attrs: []Attr{
			{Name: "type", Type: cty.DynamicPseudoType, Required: true, Doc: "the type of its value, as in a variable"},
			{Name: "default", Type: cty.DynamicPseudoType, Doc: "its value where none is given; null makes it optional, without a default it is required"},
			{Name: "sensitive", Type: cty.Bool, Default: "false", Doc: "the value must come from where secrets are kept, and is never shown"},
			{Name: "description", Type: cty.String, Doc: "what it is, for documentation"},
			{Name: "one_of", Type: cty.List(cty.String), Doc: "the strings that the value may be"},
		},
	}
}

// inputSchema is that of `input`, an argument of a credential.
func inputSchema() Schema {
	sc := settingSchema()
	sc.Doc = "an argument that credentials have, read as input.NAME; in the type itself, one that every grant has"
	sc.Attrs = append(sc.Attrs, Attr{Name: "on_change", Type: cty.String, Oneof: []string{OnChangeReplace, OnChangeNextUse},
		Doc: "what a changed value does: a new token at once, the old one given up (replace), or use at the next request (next_use); replace when absent, next_use for sensitive inputs and values that come from another credential"})
	return sc
}

func typeGrantSchema() Schema {
	return Schema{
		Doc: "a way of obtaining a token, chosen by grant in a credential",
		Attrs: []Attr{
			{Name: "summary", Type: cty.String, Doc: "one line for people"},
			{Name: "static", Type: cty.Bool, Default: "false", Doc: "nothing is obtained: the inputs are the credential"},
			{Name: "lockout", Type: cty.Bool, Doc: "a refusal counts against an account, so that it is never repeated quickly; true when absent where the request names a sensitive input other than client_secret"},
			{Name: "outputs", Type: cty.Map(cty.DynamicPseudoType), Deferred: true, Doc: "of a static grant: the attributes that its credentials have"},
			{Name: "refreshable", Type: cty.Bool, Default: "true", Doc: "false: the type's refresh is not for this grant"},
			{Name: "revocable", Type: cty.Bool, Default: "true", Doc: "false: the type's revoke is not for this grant"},
		},
		Blocks: []NestedBlock{
			{Name: "input", Labels: []string{"name"}, Many: true, Schema: inputSchema()},
			{Name: "request", Schema: typeRequestSchema("obtains the token, or exchanges what the person brought for it")},
			{Name: "response", Schema: typeResponseSchema()},
			{Name: "refresh", Schema: typeRefreshSchema()},
			{Name: "revoke", Schema: typeRevokeSchema()},
			{Name: "authorize", Schema: typeAuthorizeSchema()},
			{Name: "device", Schema: typeDeviceSchema()},
		},
	}
}

func typeRequestSchema(doc string) Schema {
	return Schema{
		Doc: "one HTTP request: " + doc,
		Attrs: []Attr{
			{Name: "method", Type: cty.String, Required: true, Deferred: true, Doc: "the method, such as \"POST\""},
			{Name: "url", Type: cty.String, Required: true, Deferred: true, Doc: "the whole URL"},
			{Name: "json", Type: cty.DynamicPseudoType, Deferred: true, Doc: "a body in JSON; null members are left out"},
			{Name: "form", Type: cty.Map(cty.DynamicPseudoType), Deferred: true, Doc: "a body in application/x-www-form-urlencoded; null members are left out, lists are repeated; not beside json"},
			{Name: "query", Type: cty.Map(cty.DynamicPseudoType), Deferred: true, Doc: "parameters that are added to the URL; null members are left out"},
			{Name: "headers", Type: cty.Map(cty.String), Deferred: true, Doc: "headers; null members are left out"},
		},
	}
}

func typeResponseSchema() Schema {
	return Schema{
		Doc: "how a token response reads; reads status, headers and body (or, in an interactive grant without a request, flow.params)",
		Attrs: []Attr{
			{Name: "access_token", Type: cty.String, Required: true, Deferred: true, Doc: "the access token"},
			{Name: "refresh_token", Type: cty.String, Deferred: true, Doc: "the refresh token; null leaves the one held in force"},
			{Name: "token_type", Type: cty.String, Deferred: true, Doc: "the token's type, such as bearer"},
			{Name: "expires_in", Type: cty.Number, Deferred: true, Doc: "seconds until the access token expires, a number or a string of digits"},
			{Name: "expires_at", Type: cty.String, Deferred: true, Doc: "when it expires, Unix seconds or RFC 3339; in place of expires_in"},
			{Name: "scopes", Type: cty.List(cty.String), Deferred: true, Doc: "the scopes that were granted, a list or a string with spaces or commas"},
			{Name: "outputs", Type: cty.Map(cty.DynamicPseudoType), Deferred: true, Doc: "further attributes of the credential, written out as { NAME = expression }"},
		},
	}
}

func typeRefreshSchema() Schema {
	return Schema{
		Doc: "how a token is renewed by its refresh token, and what is known of those",
		Attrs: []Attr{
			{Name: "rotates", Type: cty.DynamicPseudoType, Default: RotatesObserve, Doc: "true: a refresh token is for single use; false: it never changes; \"observe\": taken for single use until a refresh was seen to leave it as it was"},
			{Name: "replay_window", Type: cty.String, Duration: true, Doc: "how long the API answers a repeated refresh with the same pair; such a refresh is repeated when its reply was lost, while 5s of the window are left for it to get there; of 5s or less none is"},
			{Name: "token_lifetime", Type: cty.String, Duration: true, Doc: "how long a refresh token lives; an older one is not tried"},
			{Name: "invalidates_access_token", Type: cty.Bool, Default: "false", Doc: "the old access token dies at once: there is no overlap, and the refresh comes as late as min_remaining allows"},
		},
		Blocks: []NestedBlock{
			{Name: "request", Required: true, Schema: typeRequestSchema("renews the token; reads token.*")},
			{Name: "response", Schema: typeResponseSchema()},
		},
	}
}

func typeRevokeSchema() Schema {
	return Schema{
		Doc: "how a token is given up",
		Attrs: []Attr{
			{Name: "on", Type: cty.List(cty.String), Default: `["remove", "replace"]`, Doc: "when: \"remove\", \"replace\", and \"refresh\" where an API leaves the old token alive"},
			{Name: "needs", Type: cty.String, Oneof: []string{"access_token", "refresh_token"}, Doc: "the token that must be alive for the call; an access token is refreshed first when it is not"},
		},
		Blocks: []NestedBlock{{Name: "request", Required: true, Schema: typeRequestSchema("revokes the token; reads token.*")}},
	}
}

func typeAuthorizeSchema() Schema {
	return Schema{
		Doc: "a person approves in a browser; the redirect brings flow.code, or what flow.params says",
		Attrs: []Attr{
			{Name: "url", Type: cty.String, Required: true, Deferred: true, Doc: "the authorization endpoint; redirect_uri, scope and state are added"},
			{Name: "query", Type: cty.Map(cty.DynamicPseudoType), Deferred: true, Doc: "its other parameters; null members are left out"},
			{Name: "scope_separator", Type: cty.String, Default: `" "`, Doc: "what stands between scopes"},
			{Name: "pkce", Type: cty.Bool, Default: "false", Doc: "sends a code challenge (RFC 7636, S256); flow.code_verifier proves it"},
			{Name: "state", Type: cty.String, Oneof: []string{StateRequired, StateIfReturned}, Default: StateRequired, Doc: "whether the redirect must bring our state back, or only may"},
			{Name: "code_from", Type: cty.String, Oneof: []string{FromQuery, FromFragment, FromQueryOrFragment}, Default: FromQuery, Doc: "the part of the redirect's URL that has the values"},
			{Name: "error_when", Type: cty.Bool, Deferred: true, Doc: "a condition over flow.params: the redirect brought an error"},
			{Name: "error_message", Type: cty.String, Deferred: true, Doc: "the error's text, from flow.params"},
		},
	}
}

func typeDeviceSchema() Schema {
	return Schema{
		Doc: "a person approves on another device (RFC 8628); the grant's request exchanges flow.device_code",
		Blocks: []NestedBlock{
			{Name: "request", Required: true, Schema: typeRequestSchema("asks for a device code")},
			{Name: "response", Required: true, Schema: Schema{
				Doc: "how the reply reads",
				Attrs: []Attr{
					{Name: "device_code", Type: cty.String, Required: true, Deferred: true, Doc: "the code that is exchanged"},
					{Name: "user_code", Type: cty.String, Required: true, Deferred: true, Doc: "the code that the person types"},
					{Name: "verification_uri", Type: cty.String, Required: true, Deferred: true, Doc: "where the person types it"},
					{Name: "verification_uri_complete", Type: cty.String, Deferred: true, Doc: "the same with the code in it"},
					{Name: "expires_in", Type: cty.Number, Deferred: true, Doc: "seconds until the codes expire"},
					{Name: "interval", Type: cty.Number, Deferred: true, Doc: "seconds between two questions"},
				},
			}},
		},
	}
}

func typeErrorSchema() Schema {
	cond := func(name, doc string) Attr { return Attr{Name: name, Type: cty.Bool, Deferred: true, Doc: doc} }
	return Schema{
		Doc: "which replies mean what, beyond what status codes and RFC 6749 say; reads status, headers, body and operation",
		Attrs: []Attr{
			cond("gone", "of a revocation: the token is not known any more, so that nothing is left to revoke"),
			cond("permanent", "the reply is a refusal: nothing is repeated until the inputs change or a person says retry"),
			cond("transient", "the reply is a passing trouble: it is tried again"),
			cond("login", "a person must log in again"),
			{Name: "code", Type: cty.String, Deferred: true, Doc: "the error's code, for messages"},
			{Name: "message", Type: cty.String, Deferred: true, Doc: "the error's text, for messages; values of inputs and tokens are taken out of it"},
		},
	}
}

func typeVerifySchema() Schema {
	return Schema{
		Doc:    "a request of the type's own that asks whether a token still works",
		Blocks: []NestedBlock{{Name: "request", Required: true, Schema: typeRequestSchema("asks a protected endpoint; reads token.*")}},
	}
}

func typeActionSchema() Schema {
	return Schema{
		Doc: "an imperative call, run only by `tokend action ADDRESS NAME`",
		Attrs: []Attr{
			{Name: "summary", Type: cty.String, Doc: "what it does, for people"},
			{Name: "destructive", Type: cty.Bool, Default: "false", Doc: "it is asked first"},
			{Name: "ends_account", Type: cty.Bool, Default: "false", Doc: "the account is at its end: the credential stops, until a person says `tokend retry`"},
		},
		Blocks: []NestedBlock{{Name: "request", Required: true, Schema: typeRequestSchema("the call; reads token.*")}},
	}
}

// bodySchema is a schema as hcl reads bodies by it. What is required is for the
// decoder to say.
func bodySchema(sc Schema) *hcl.BodySchema {
	out := &hcl.BodySchema{}
	for i := range sc.Attrs {
		a := &sc.Attrs[i]
		out.Attributes = append(out.Attributes, hcl.AttributeSchema{Name: a.Name})
	}
	for i := range sc.Blocks {
		out.Blocks = append(out.Blocks, hcl.BlockHeaderSchema{Type: sc.Blocks[i].Name, LabelNames: sc.Blocks[i].Labels})
	}
	return out
}
