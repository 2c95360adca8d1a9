package spec

import (
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// ProviderType is one `provider_type` block: how an API hands out tokens, as
// data. Its expressions have been checked against the scope that each place
// has (language.md, "Provider types are data"); package providers evaluates
// them. Immutable.
type ProviderType struct {
	Name            string
	Summary         string
	Session         string // SessionIndependent, SessionOnePerAccount or SessionSharedGrant
	Builtin         bool
	Source          []byte // the text of the block, as written
	DeclRange       hcl.Range
	Config          []Field
	Grants          []*GrantType
	Response        *Response
	Refresh         *Refresh
	Revoke          *Revoke
	Errors          *Errors
	Verify          *VerifyRequest
	Actions         []*Action
	HeaderName      hcl.Expression // nil: "Authorization"
	Header          hcl.Expression // nil: "Bearer ${token.access_token}", the bare token where HeaderName says otherwise
	DefaultLifetime hcl.Expression // nil: none; may read config.*
	Discovery       hcl.Expression // nil: none; the issuer whose metadata (RFC 8414, OpenID) is `discovered` in requests
}

// What `session` may say.
const (
	SessionIndependent   = "independent"
	SessionOnePerAccount = "one_per_account"
	SessionSharedGrant   = "shared_grant"
)

// Field is an `input` of a grant or a `config` of a type.
type Field struct {
	Name        string
	Type        cty.Type
	Default     *cty.Value // nil: required; a null value: optional
	Sensitive   bool
	OnChange    string   // as written; empty: the default of language.md
	OneOf       []string // when not empty, the strings that the value may be
	Description string
}

// GrantType is one way of obtaining a token.
type GrantType struct {
	Name      string
	Summary   string
	Static    bool
	Lockout   bool // a refusal counts against an account; the default of language.md applied
	Inputs    []Field
	Request   *Request   // nil for static grants and for authorize blocks without an exchange
	Response  *Response  // nil: the type's
	Refresh   *Refresh   // nil: the type's
	Revoke    *Revoke    // nil: the type's
	Authorize *Authorize // interactive by redirect
	Device    *Device    // interactive by device code
	Outputs   hcl.Expression
	NoRefresh bool // the grant says `refresh = false`-like: it has none although its type has one
	NoRevoke  bool
}

// Interactive reports whether a person is needed to obtain a token.
func (g *GrantType) Interactive() bool { return g.Authorize != nil || g.Device != nil }

// Request is one HTTP request. At most one of JSON and Form is set.
type Request struct {
	Method  hcl.Expression
	URL     hcl.Expression
	JSON    hcl.Expression
	Form    hcl.Expression
	Query   hcl.Expression
	Headers hcl.Expression
	Range   hcl.Range
}

// Response says how a reply reads. A nil expression means that the reply has
// no such thing.
type Response struct {
	AccessToken  hcl.Expression
	RefreshToken hcl.Expression
	TokenType    hcl.Expression
	ExpiresIn    hcl.Expression
	ExpiresAt    hcl.Expression
	Scopes       hcl.Expression
	Outputs      hcl.Expression
	Range        hcl.Range
}

// What `rotates` may say of a refresh token.
const (
	RotatesAlways  = "true"
	RotatesNever   = "false"
	RotatesObserve = "observe"
)

// ReplayMargin is how long before the end of its replay_window a repeated refresh
// has to have a connection: a request that is sent then has reached its API before
// the window closes, also where the network loses a packet of it and sends that
// again after 0.2, 0.4, 0.8 and 1.6 seconds.
const ReplayMargin = 5 * time.Second

// Refresh is the refresh request and what is known of its tokens.
type Refresh struct {
	Request                *Request
	Response               *Response // nil: the grant's or the type's
	Rotates                string
	ReplayWindow           time.Duration
	TokenLifetime          time.Duration // of the refresh token; 0: unknown
	InvalidatesAccessToken bool
}

// When a revocation happens, as `on` lists it.
const (
	RevokeOnRemove  = "remove"
	RevokeOnReplace = "replace"
	RevokeOnRefresh = "refresh"
)

// Revoke is the revocation request.
type Revoke struct {
	Request *Request
	On      []string
	Needs   string // "access_token", "refresh_token" or empty
}

// Authorize is the authorization URL of an interactive grant and what its
// redirect brings back.
type Authorize struct {
	URL            hcl.Expression
	Query          hcl.Expression
	ScopeSeparator string // default " "
	PKCE           bool   // S256
	State          string // "required" or "if_returned"
	CodeFrom       string // "query", "fragment" or "query_or_fragment"
	ErrorWhen      hcl.Expression
	ErrorMessage   hcl.Expression
}

// Device is a device authorization (RFC 8628).
type Device struct {
	Request  *Request
	Response *DeviceResponse
}

// DeviceResponse says how the device authorization's reply reads.
type DeviceResponse struct {
	DeviceCode, UserCode, VerificationURI, VerificationURIComplete, ExpiresIn, Interval hcl.Expression
}

// Errors says which replies are what. Each expression is a condition over
// status, headers and body; nil never matches.
type Errors struct {
	Gone      hcl.Expression // of a revocation: the token is not known any more
	Permanent hcl.Expression
	Transient hcl.Expression
	Login     hcl.Expression
	Code      hcl.Expression // the error's code, for messages
	Message   hcl.Expression // the error's text, for messages (scrubbed)
}

// VerifyRequest is a type's own verification call.
type VerifyRequest struct {
	Request *Request
}

// Action is an imperative call.
type Action struct {
	Name        string
	Summary     string
	Destructive bool
	EndsAccount bool
	Request     *Request
}
