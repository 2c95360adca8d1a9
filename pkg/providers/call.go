package providers

import (
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// Op is what a call does.
type Op string

// The operations. A grant that needs a person is an OpExchange (of the code or
// the device code), one that does not an OpGrant.
const (
	OpGrant    Op = "grant"
	OpExchange Op = "exchange"
	OpRefresh  Op = "refresh"
	OpRevoke   Op = "revoke"
	OpVerify   Op = "verify"
	OpAction   Op = "action"
	OpDevice   Op = "device" // asks for the device code that a person enters
)

// doing says an operation in words, for errors.
func (o Op) doing() string {
	switch o {
	case OpGrant:
		return "obtaining a token"
	case OpExchange:
		return "exchanging the code for a token"
	case OpRefresh:
		return "refreshing the token"
	case OpRevoke:
		return "revoking the token"
	case OpVerify:
		return "verifying the token"
	case OpAction:
		return "calling the action"
	case OpDevice:
		return "asking for a device code"
	}
	return "calling the provider"
}

// Call is one thing to do with a provider, with all that it needs.
type Call struct {
	Op     Op
	Grant  string
	Action string // of OpAction
	Path   string // of OpVerify: the protected path to ask for; empty: the type's own verify request
	// Inputs must hold at least what [Endpoint.Needs] lists.
	Inputs spec.Values
	Scopes []string // nil: the credential does not say
	// Token is the one held; zero for OpGrant and OpExchange. A token whose
	// RefreshToken is empty is revoked by its access token where the API can.
	Token Token
	// Flow is what a person brought; of it, RedirectURI stays for refresh and
	// revocation.
	Flow Flow
	// Origins are the only ones that a request may go to; nil: any.
	Origins []string
	// Replay says that a refresh repeats one whose reply was lost: what it brings
	// may be as old as that, so a token that has ended by now is read as such.
	Replay bool
	// Ready, when set, is asked once there is a connection and before a byte of the
	// request is written; when it says no, nothing is sent. A context cannot tell as
	// much: its deadline stands still while the machine sleeps.
	Ready func() bool
	// DefaultLifetime is the credential's; zero: the type's.
	DefaultLifetime time.Duration
	// Now is what `now` says in a request, and the time from which a lifetime
	// counts where there is no [Reply].
	Now time.Time
}

// drops says that nothing is lost where the reply is not waited for: a question spends
// nothing, and a revocation is made again until it is answered.
func (c *Call) drops() bool { return c.Op == OpVerify || c.Op == OpRevoke }

// Token is what a reply gave, or what is held.
type Token struct {
	AccessToken  secret.Text
	RefreshToken secret.Text // of a refresh whose reply has none: the one that was sent
	TokenType    string
	HeaderName   string
	Header       secret.Text
	Scopes       []string
	ExpiresAt    time.Time // zero: unknown
	RefreshUntil time.Time // when the refresh token ends; zero: unknown
	Outputs      spec.Values
	Late         time.Duration // how much later these may be: the machine slept while the reply was on its way
	RefreshGiven bool          // the reply itself had a refresh token
}

// Flow is what an interactive grant goes through: what tokend made up before
// the person went away, and what the redirect brought.
type Flow struct {
	Code         secret.Text
	State        string
	RedirectURI  string // empty: left out
	CodeVerifier secret.Text
	DeviceCode   secret.Text
	Params       map[string]secret.Text
}

// DeviceAuthorization is the answer to an OpDevice (RFC 8628 section 3.2).
type DeviceAuthorization struct {
	DeviceCode              secret.Text
	UserCode                string
	VerificationURI         string
	VerificationURIComplete string
	ExpiresAt               time.Time // zero: unknown
	Interval                time.Duration
}

// Traits are what a grant of an endpoint's type is like.
type Traits struct {
	Static      bool // nothing to obtain: [Endpoint.Static]
	Interactive bool // a person is needed
	Device      bool // by a device code
	Implicit    bool // the redirect itself brings the token: [Endpoint.Read] with a nil Reply
	Lockout     bool // a refusal counts against an account
	Discovers   bool // [Endpoint.Discover] must have succeeded before [Endpoint.Prepare]
	Session     string
	Secrets     []string // its sensitive inputs

	HasRefresh             bool
	Rotates                string // spec.RotatesAlways, RotatesNever, RotatesObserve
	ReplayWindow           time.Duration
	RefreshTokenLifetime   time.Duration
	InvalidatesAccessToken bool

	HasRevoke          bool
	RevokeOn           []string
	RevokeNeeds        string // "access_token", "refresh_token" or empty
	RevokeNamesAccess  bool   // the request names the access token
	RevokeNamesRefresh bool   // … the refresh token

	HasVerify       bool // the type has a verification of its own
	HeaderName      string
	DefaultLifetime time.Duration
}

// RevokesOn reports whether the type revokes on that occasion.
func (t Traits) RevokesOn(occasion string) bool {
	for _, on := range t.RevokeOn {
		if on == occasion {
			return t.HasRevoke
		}
	}
	return false
}
