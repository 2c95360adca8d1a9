package spec

import "github.com/zclconf/go-cty/cty"

// BlockReference describes one type of top-level block.
type BlockReference struct {
	Name   string
	Labels []string // what its labels are: "type", "name"
	// Schema is what every such block has. Of credentials and providers, the
	// inputs and settings of their type come to it ([ProviderType]).
	Schema Schema
	// Kinds are, by the first label, what blocks of a kind have beside it.
	Kinds map[string]Schema
	// Free blocks have arguments with names of the writer's choice.
	Free bool
}

// Blocks describes the blocks that may stand in a directory, in the order in
// which documentation has them. It is what the loader reads them by.
func Blocks(o Options) []BlockReference {
	vault := vaultSchema(o.Vault)
	vault.nested(authBlock).Kinds = o.Auths
	out := make([]BlockReference, 0, len(topBlocks))
	for _, n := range topBlocks {
		labels, _ := blockLabels(n)
		b := BlockReference{Name: n, Labels: labelNames(n, labels)}
		switch n {
		case "tokend":
			b.Schema = SettingsSchema()
		case "variable":
			b.Schema = variableSchema()
		case "locals":
			b.Schema, b.Free = Schema{Doc: "named expressions, read as local.NAME"}, true
		case "provider_type":
			b.Schema = TypeSchema()
		case kindProvider:
			b.Schema = ProviderSchema()
		case kindVault:
			b.Schema = *vault
		case kindSecret:
			b.Schema, b.Kinds = Schema{Doc: "a secret read from elsewhere", Attrs: metaAttrs()}, o.Secrets
		case kindCredential:
			b.Schema = CredentialSchema()
		case kindSink:
			b.Schema, b.Kinds = Schema{Doc: "a place where values shall be", Attrs: sinkAttrs()}, o.Sinks
		case kindHook:
			b.Schema, b.Kinds = Schema{Doc: "what to do after sinks changed"}, o.Hooks
		case "moved":
			b.Schema = movedSchema()
		case "removed":
			b.Schema = removedSchema()
		case "import":
			b.Schema = *importSchema()
		}
		out = append(out, b)
	}
	return out
}

func labelNames(block string, n int) []string {
	switch {
	case n == 2:
		return []string{"type", "name"}
	case n == 1 && (block == kindProvider || block == "provider_type"):
		return []string{"type"}
	case n == 1:
		return []string{"name"}
	}
	return []string{}
}

// variableSchema is that of the `variable` block.
func variableSchema() Schema {
	return Schema{
		Doc: "an input of the directory, read as var.NAME",
		Attrs: []Attr{
			{Name: "type", Type: cty.DynamicPseudoType, Default: "any", Doc: "string, number, bool, any, list(…), set(…), map(…), tuple([…]) or object({…}), whose attributes may be optional(TYPE, DEFAULT)"},
			{Name: "default", Type: cty.DynamicPseudoType, Doc: "the value where none is given; without a default one must be given"},
			{Name: "sensitive", Type: cty.Bool, Default: "false", Doc: "the value is never shown"},
			{Name: "nullable", Type: cty.Bool, Default: "true", Doc: "whether the value may be null; with false, null gives the default"},
			{Name: "description", Type: cty.String, Doc: "what it is, for people"},
		},
		Blocks: []NestedBlock{{Name: "validation", Many: true, Schema: validationSchema()}},
	}
}

func validationSchema() Schema {
	return Schema{
		Doc: "a rule that the value must keep",
		Attrs: []Attr{
			{Name: "condition", Type: cty.Bool, Required: true, Doc: "true for a value that is allowed; may refer to variables only"},
			{Name: "error_message", Type: cty.String, Required: true, Doc: "what is said of a value that is not"},
		},
	}
}

// dynamicSchema is that of `dynamic "BLOCK"`, which may stand wherever a nested
// block may.
func dynamicSchema() Schema {
	return Schema{
		Doc: "one nested block for each element of a collection",
		Attrs: []Attr{
			{Name: "for_each", Type: cty.DynamicPseudoType, Required: true, Doc: "the collection, known when the directory is read and not sensitive"},
			{Name: "labels", Type: cty.List(cty.String), Doc: "the labels of the blocks that are made"},
			{Name: iteratorArg, Type: cty.DynamicPseudoType, Doc: "the name of the element inside content, a bare word; the block's own when absent"},
		},
		Blocks: []NestedBlock{{Name: "content", Required: true, Schema: Schema{Doc: "the body of each block; the element is BLOCK.key and BLOCK.value"}}},
	}
}

// DynamicReference describes the `dynamic` block.
func DynamicReference() BlockReference {
	return BlockReference{Name: "dynamic", Labels: []string{"block"}, Schema: dynamicSchema()}
}

func movedSchema() Schema {
	return Schema{
		Doc: "a rename: what was recorded under one address belongs to another, and nothing is revoked or obtained",
		Attrs: []Attr{
			{Name: "from", Type: cty.DynamicPseudoType, Required: true, Doc: "the old address, of a credential or a sink, an instance or a whole block; it must not be declared any more"},
			{Name: "to", Type: cty.DynamicPseudoType, Required: true, Doc: "the new address, of the same type and shape"},
		},
	}
}

func removedSchema() Schema {
	return Schema{
		Doc: "a forgetting: the token stays alive and is not revoked, the sink's file stays",
		Attrs: []Attr{
			{Name: "from", Type: cty.DynamicPseudoType, Required: true, Doc: "the address, of a credential or a sink, that is not declared any more"},
		},
	}
}

// argNames lists a schema's arguments, without its blocks.
func (s *Schema) argNames() []string {
	out := make([]string, len(s.Attrs))
	for i := range s.Attrs {
		out[i] = s.Attrs[i].Name
	}
	return out
}

// CredentialAttributes describes what every credential has to be read; what its
// type lists under outputs comes to it.
func CredentialAttributes() []Attr {
	return []Attr{
		{Name: "access_token", Type: cty.String, Sensitive: true, Doc: "the access token"},
		{Name: "token_type", Type: cty.String, Doc: "its type, such as bearer"},
		{Name: "header_name", Type: cty.String, Doc: "the header in which an API call carries the token, Authorization unless its type says otherwise"},
		{Name: "header", Type: cty.String, Sensitive: true, Doc: "the value of that header: Bearer and the token, unless its type says otherwise"},
		{Name: "expires_at", Type: cty.String, Doc: "when the access token expires (RFC 3339); null where that is not known"},
		{Name: "obtained_at", Type: cty.String, Doc: "when it was obtained (RFC 3339)"},
		{Name: "scopes", Type: cty.List(cty.String), Doc: "the scopes that were granted"},
		{Name: "generation", Type: cty.Number, Doc: "counts the tokens that the credential has had"},
		{Name: "refresh_token", Type: cty.String, Sensitive: true, Doc: "the refresh token; only with expose_refresh_token = true"},
	}
}

// Reserved names are kept for later versions.
type Reserved struct {
	Blocks        []string `json:"blocks"`
	Sinks         []string `json:"sinks"`
	SinkArguments []string `json:"sink_arguments"`
}

// ReservedNames lists what is an error today so that it can mean something
// later.
func ReservedNames() Reserved {
	return Reserved{
		Blocks:        []string{"access", "alert"},
		Sinks:         []string{"directory", "systemd_credential", "kubernetes_secret"},
		SinkArguments: []string{"in_place", "acl", "on_conflict", "on_expiry", "partial"},
	}
}
