package spec

import (
	"io/fs"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/secret"
)

// Options are what a directory is loaded with, beside its own files.
type Options struct {
	// Catalog has the built-in provider types, *.hcl at its root.
	Catalog fs.FS
	// Vars are values given on the command line (--var), raw: they are read by
	// the variable's type, as Terraform does.
	Vars map[string]string
	// VarFiles are files of `name = value` in HCL, or JSON when named *.json;
	// later ones win.
	VarFiles []string
	// VarContents are what was in those of VarFiles that can be read only once,
	// such as pipes, by the names that they have there. They are not read again.
	VarContents map[string][]byte
	// Environ is the environment ("NAME=value") in which TOKEND_VAR_name is
	// looked up. Precedence: environment, files, Vars, the last one wins.
	Environ []string
	// HostName is what `host.name` says.
	HostName string
	// Version of this program, for `required_version`; empty: not checked.
	Version string
	// Sinks, Secrets and Hooks have the schema of each kind that may be
	// declared; Auths those of a vault's auth blocks.
	Sinks, Secrets, Hooks, Auths map[string]Schema
	// CheckSink returns what is wrong with the arguments of a sink that are known
	// without secrets and tokens, as [ArgumentError] where it is one argument; the
	// others are unknown, which is no mistake. It must not keep the Values. Nil:
	// only the schema is checked.
	CheckSink func(kind string, args Values) error
	// CheckContents has CheckSink look into the files too whose content belongs to
	// the configuration ([Attr].Content), such as templates. A daemon does not ask
	// for that: one file that is wrong keeps one sink waiting, and nothing else.
	CheckContents bool
	// Own lists what tokend itself keeps and reads beside what the directory
	// declares, where the state is by these settings: no sink may be written
	// there. Nil: nothing is known of it.
	Own func(StateSettings) []OwnPath
	// WasInForce says that this very configuration was accepted before: it is not
	// checked for what only a request would meet, nor for sinks in the place of
	// what tokend itself reads, so that a newer program, whose
	// checks see more, goes on with what the older one had in force.
	WasInForce bool
	// Vault is the schema of `vault` blocks, but for their auth block.
	Vault Schema
	// CheckRead, when set, says why a file may not be read by a function; nil: it
	// may. The path is absolute.
	CheckRead func(path string) error
	// Tried, when set, is told of a directory with mistakes which files were read
	// or looked for beside its own: a mistake may be mended there. Absolute paths.
	Tried func(paths []string)
	// Declared says that what [Config.Declared] lists is going to be asked for: it
	// is worked out while the blocks are checked, in half the time, and takes room
	// until it was asked for.
	Declared bool
	// Revision names what the directory holds, where something does: the commit
	// of a checkout.
	Revision string
	// Previous is a configuration of the same directory that was loaded before.
	// Files whose bytes are the same as then are not parsed again.
	Previous *Config
}

// Scope gives an evaluation what configuration does not hold. With a nil func,
// such values are unknown (and marked), which is no error.
type Scope struct {
	// Secret returns the value of a secret instance, unmarked; it is marked
	// before it meets an expression.
	Secret func(Address) (cty.Value, error)
	// Credential returns the attributes of a credential instance.
	Credential func(Address) (Attributes, error)
}

// Attributes are those of a credential that has a token.
type Attributes struct {
	AccessToken  secret.Text
	RefreshToken secret.Text // used only with expose_refresh_token
	Header       secret.Text
	TokenType    string
	HeaderName   string
	ExpiresAt    time.Time // zero: no expiry is known, the attribute is null
	ObtainedAt   time.Time
	Scopes       []string
	Generation   uint64
	Outputs      Values
	// Awaited says whether another grant, which the configuration wants instead,
	// waits to take the place of the one that these are of: what this one lacks is
	// not known then, instead of null. It is asked only where something is
	// missing; nil is no.
	Awaited func() bool
}

// awaited says whether what these lack comes with another grant.
func (at *Attributes) awaited() bool { return at.Awaited != nil && at.Awaited() }

// Moved is a `moved` block: what was declared as From is To now. Both are
// instances, or both are whole blocks.
type Moved struct {
	From, To Address
	Range    hcl.Range
}

// Removed is a `removed` block: From is forgotten and not revoked.
type Removed struct {
	From  Address
	Range hcl.Range
}

// Import is an `import` block: a refresh token that exists already is adopted
// by the credential To. [Config.ImportValues] gives the token.
type Import struct {
	To    Address
	Uses  []Address
	Range hcl.Range
}
