package spec

import (
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Diagnostics are the mistakes found in a directory, each with its range.
type Diagnostics = hcl.Diagnostics

// Address names one thing that is declared, and is its identity in state, logs,
// metrics and on the command line: `credential.coinify.trader["alice"]`,
// `sink.file.trader["alice"]`, `secret.file.pw`, `provider.coinify.default`,
// `vault.main`, `hook.exec.nginx`. Instance keys are quoted as HCL quotes
// strings; `count` gives `[0]`. An Address is comparable and canonical: two
// spellings of one thing are one Address (see [ParseAddress]).
type Address string

// Kind is the first part: "credential", "sink", "secret", "provider", "vault"
// or "hook".
func (a Address) Kind() string { k, _, _ := strings.Cut(string(a), "."); return k }

// Short is the address without a leading "credential.", as people write it.
func (a Address) Short() string { return strings.TrimPrefix(string(a), "credential.") }

// Settings are those of the `tokend` block, defaults filled in.
type Settings struct {
	RequiredVersion string
	Listen          string // host:port; empty: off
	PublicURL       string // empty: what Listen gives is not assumed
	State           StateSettings
	Guard           Guard
	Refresh         RefreshPolicy
	Retry           RetryPolicy
}

// StateSettings say where the state is and what seals it. At most one of
// KeyFile, SystemdCredential and Transit is set; none means a key file that is
// generated in the state directory.
type StateSettings struct {
	Path              string
	KeyFile           string
	SystemdCredential string
	Transit           *Transit
}

// Transit is a key in Vault's transit engine that wraps the state's data key.
type Transit struct {
	Vault Address
	Mount string
	Key   string
}

// Guard limits what a change of configuration may do without a person.
type Guard struct {
	MaxRevocations    int           // within a rolling hour
	MaxRevokedPercent int           // of credentials (of sinks), from five on
	Settle            time.Duration // quiet time of the files before a removal acts
}

// RefreshPolicy says when a token is due: at At of its lifetime, less a jitter
// of up to Jitter of the lifetime, at the latest when MinRemaining is left.
type RefreshPolicy struct {
	At           float64
	Jitter       float64
	MinRemaining time.Duration
}

// RetryPolicy bounds the back-off after failures.
type RetryPolicy struct {
	Initial time.Duration
	Max     time.Duration
}

// What `on_remove` may say of a credential.
const (
	OnRemoveRevoke = "revoke"
	OnRemoveForget = "forget"
)

// Lifecycle says how a credential ends.
type Lifecycle struct {
	OnRemove         string // OnRemoveRevoke or OnRemoveForget
	PreventDestroy   bool
	Overlap          time.Duration
	MaxOverlap       time.Duration
	RevokeOnShutdown bool
}

// Verify asks a protected endpoint whether a token still works.
type Verify struct {
	Path  string // empty: the type's own request
	Every time.Duration
}

// Provider is one configured endpoint of a type, evaluated.
type Provider struct {
	Addr              Address // provider.TYPE.default or provider.TYPE.ALIAS
	Type              *ProviderType
	Config            Values // the type's `config` settings, defaults applied
	HTTP              HTTPSettings
	RateLimit         RateLimit
	AllowInsecureHTTP bool
}

// HTTPSettings of a provider's client; paths are absolute.
type HTTPSettings struct {
	Timeout        time.Duration `json:"timeout,omitempty"`
	CAFile         string        `json:"ca_file,omitempty"`
	Proxy          string        `json:"proxy,omitempty"`
	ClientCertFile string        `json:"client_cert_file,omitempty"`
	ClientKeyFile  string        `json:"client_key_file,omitempty"`
}

// RateLimit of a provider. Requests == 0 means no bucket.
type RateLimit struct {
	Requests    int
	Per         time.Duration
	Concurrency int // requests in flight; default 32
}

// Credential is the static part of one credential instance: everything that is
// known without reading a secret or another credential.
type Credential struct {
	Addr               Address
	Type               *ProviderType
	Grant              *GrantType
	Provider           Address
	Scopes             []string // nil: not given
	RedirectURI        string   // default applied; empty with RedirectURIOmitted
	RedirectURIOmitted bool     // the configuration says null
	DefaultLifetime    time.Duration
	ExposeRefreshToken bool
	Refresh            RefreshPolicy
	Retry              RetryPolicy
	Lifecycle          Lifecycle
	Verify             *Verify
	Inputs             []Input   // in the type's order
	Uses               []Address // secrets and credential instances that its inputs name, sorted, no duplicates
}

// Input describes one input of a credential instance without its value.
type Input struct {
	Name      string
	Given     bool   // the configuration gives it; false: the type's default
	Sensitive bool   // as the provider type says
	Deferred  bool   // its value needs a secret or another credential
	OnChange  string // OnChangeReplace or OnChangeNextUse, the default of language.md applied
}

// What a changed input does.
const (
	OnChangeReplace = "replace"
	OnChangeNextUse = "next_use"
)

// Sink is the static part of one sink instance. Arguments that depend on
// secrets or tokens are unknown in Static and come from [Config.SinkArgs].
type Sink struct {
	Addr   Address
	Kind   string
	Static Values
	Notify []Address // hooks, in order
	Uses   []Address // credential instances and secrets that it names, sorted, no duplicates
}

// Block is one evaluated block of another kind (hook, secret, vault) whose
// arguments a kind's implementation reads.
type Block struct {
	Addr Address
	Kind string // the first label: "exec", "vault_kv"; of a vault: the label of its auth block
	Args Values
}

// Schema lists the arguments of one kind of block, so that a mistake in the
// configuration is found while loading and not while acting. The kinds give
// theirs through [Options].
type Schema struct {
	Doc    string
	Attrs  []Attr
	Blocks []NestedBlock
	// Unique names the arguments of a sink that say where it is; two sinks with
	// the same values there are an error. Empty: a path, and with it the vault
	// and the mount where there are such. A file's path of one kind collides with
	// the same path of another.
	Unique []string
}

// Attr is one argument.
type Attr struct {
	Name     string
	Type     cty.Type // cty.DynamicPseudoType: any; duration and octal modes are cty.String
	Required bool
	// Deferred arguments may name secrets and tokens; the others must be known
	// when the directory is loaded (a path, a mode).
	Deferred bool
	// Ref, when set, names the kind of block that the value must be a reference
	// to ("vault", "hook", "credential"); the value is then the Address as a string.
	Ref string
	// Oneof limits a string to these values.
	Oneof []string
	// Duration says that the string must parse by time.ParseDuration.
	Duration bool
	// Path says that the string names a file: a relative one is relative to the
	// configuration's directory, and the value comes out absolute.
	Path bool
	// Content says that the string names a file whose content belongs to the
	// configuration, such as a template: it is read with the directory, watched
	// and kept like what a function reads, and comes with the arguments
	// ([Values.Content]). One that cannot be read is no mistake of the directory;
	// the kind says what it is missing. Arguments of sinks alone may have it.
	Content bool
	// Asking says that the string names a file without which nothing can be asked of
	// the block's server, such as a certificate: [Options.CheckContents] warns of one
	// that is not there. Arguments of vaults and providers may have it.
	Asking bool
	// Certificates says of an Asking file that it holds certificates as PEM, and is of
	// no use without one.
	Certificates bool
	// NotEmpty says that an empty string, or a list without elements or with an
	// empty first one, names nothing and is a mistake.
	NotEmpty bool
	// URL says that the string is the address of a server: http or https, a host,
	// perhaps a path.
	URL bool
	// Sensitive says that the value is a secret: it must come from where
	// secrets are kept, and never stand in the configuration.
	Sensitive bool
	Default   string // as shown in documentation; the kind applies it itself
	Doc       string
}

// NestedBlock is a block inside a block of this kind, at most once unless it
// says Many.
type NestedBlock struct {
	Name     string
	Labels   []string // names of its labels; the auth block of a vault has one
	Many     bool     // it may stand several times: only where this package decodes the block by hand
	Required bool     // as documentation says it; the decoder reports it in its own words
	Schema   Schema
	// Kinds are the schemas by its first label, where that chooses one.
	Kinds map[string]Schema
}
