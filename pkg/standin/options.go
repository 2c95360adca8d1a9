package standin

import (
	"fmt"
	"slices"
	"time"
)

// API names one of the APIs that a Server stands in for, by the label of its provider type.
type API string

// The APIs of a Server.
const (
	Coinify      API = "coinify"
	CoinsPh      API = "coinsph"
	Cryptohopper API = "cryptohopper"
	Apirone      API = "apirone"
	OAuth2       API = "oauth2"
)

// APIs lists every API of a Server.
func APIs() []API { return []API{Coinify, CoinsPh, Cryptohopper, Apirone, OAuth2} }

// Toggle is a yes or no that may also be left to the API's page.
type Toggle string

// The values of a Toggle.
const (
	AsPage Toggle = ""
	On     Toggle = "on"
	Off    Toggle = "off"
)

// Rotation says what a successful refresh does to the refresh token that was sent.
type Rotation string

// The kinds of rotation.
const (
	RotateAsPage    Rotation = ""           // the API's default
	RotateKeep      Rotation = "keep"       // the reply repeats the refresh token, which stays good
	RotateOmit      Rotation = "omit"       // the reply has no refresh token, the one sent stays good (RFC 6749 section 6)
	RotateAdd       Rotation = "additional" // the reply has a new one, the one sent stays good as well
	RotateSingleUse Rotation = "single_use" // the reply has a new one, the one sent is spent
)

// ExpiryForm says how a reply carries its lifetime: expires_in, or the exp claim of Apirone's JWTs.
type ExpiryForm string

// The forms of a lifetime. Past and the broken ones are of use as faults.
const (
	ExpiryAsPage   ExpiryForm = ""
	ExpiryNumber   ExpiryForm = "number"
	ExpiryString   ExpiryForm = "string"   // a string of digits
	ExpiryMissing  ExpiryForm = "missing"  // no lifetime in the reply, the token expires all the same
	ExpiryWord     ExpiryForm = "word"     // "soon"
	ExpiryZero     ExpiryForm = "zero"     // 0
	ExpiryNegative ExpiryForm = "negative" // -1
)

// SessionKind says how the tokens of several grants of one account hang together.
type SessionKind string

// The kinds of session.
const (
	Independent   SessionKind = ""                // a grant leaves earlier tokens alone
	OnePerAccount SessionKind = "one_per_account" // a grant kills the account's earlier tokens
	SharedGrant   SessionKind = "shared_grant"    // revoking one session revokes all of the account
)

// Rules are what an API does where its page leaves room. A zero field means the default of the API: what its
// page says, or our reading of it where it is silent.
type Rules struct {
	// AccessLifetime and RefreshLifetime count from issuing; negative means that the token never expires.
	// expires_in and exp are whole seconds, rounded down.
	AccessLifetime  time.Duration `json:"access_lifetime"`
	RefreshLifetime time.Duration `json:"refresh_lifetime"`
	// CodeLifetime is that of an authorization code and of an unanswered consent page.
	CodeLifetime time.Duration `json:"code_lifetime"`

	Rotate Rotation `json:"rotate"`
	// DetectReuse kills the whole token family when a spent refresh token, or a used code, comes again.
	// Reuse is counted in the books either way.
	DetectReuse bool `json:"detect_reuse"`
	// ReplayWindow is how long after a rotation the spent refresh token is answered with the same pair again.
	ReplayWindow time.Duration `json:"replay_window"`
	// InvalidateOnRefresh kills the session's earlier access tokens at a refresh (the default for Coins.ph).
	InvalidateOnRefresh Toggle      `json:"invalidate_on_refresh"`
	Session             SessionKind `json:"session"`
	ExpiresIn           ExpiryForm  `json:"expires_in"`

	// Latency is waited before a request is looked at, even when its client has gone away meanwhile.
	Latency time.Duration `json:"latency"`
	// RateRequests within any RatePer (default one second) are let through, the others are answered with 429
	// and a Retry-After in seconds, and counted as throttled. Zero means no limit.
	RateRequests int           `json:"rate_requests"`
	RatePer      time.Duration `json:"rate_per"`

	// RefusedStatus is the status that Apirone refuses a login or token with: 400 (default) or 500.
	RefusedStatus int `json:"refused_status"`
	// ScopesInState makes Coins.ph's redirect carry the granted scopes in `state`, as its page's text says;
	// otherwise it is empty and `scope` has them, as in its page's example.
	ScopesInState bool `json:"scopes_in_state"`
	// RequirePKCE refuses an authorization of the generic server without a code challenge, and the plain one.
	RequirePKCE bool `json:"require_pkce"`
	// DeviceInterval is how often the generic server may be asked about a device code, in whole seconds.
	DeviceInterval time.Duration `json:"device_interval"`
}

// Account is somebody whom an API knows. Which fields count depends on the API.
type Account struct {
	API      API    `json:"api"`
	Login    string `json:"login"`    // Coinify's email, Apirone's login, the generic server's username
	Password string `json:"password"` // Apirone's transfer key
	// Partner is Coinify's partnerId; empty accepts any.
	Partner string `json:"partner"`
	// OfflineToken is Coinify's, which never expires.
	OfflineToken string `json:"offline_token"`
	// Forbidden makes protected endpoints answer 403.
	Forbidden bool `json:"forbidden"`
}

// Client is an application registered with Coins.ph, Cryptohopper or the generic server.
type Client struct {
	API    API    `json:"api"`
	ID     string `json:"id"`
	Secret string `json:"secret"` // empty: a public client of the generic server
	// RedirectURIs are compared byte for byte. The first is the one of the API's dashboard, used where an
	// authorization leaves it out.
	RedirectURIs []string `json:"redirect_uris"`
	// Scopes may be granted; those of the dashboard, granted when none is asked for. Empty means all of the
	// page's, and for the generic server any.
	Scopes []string `json:"scopes"`
	// Auth is how a client of the generic server authenticates: client_secret_basic, client_secret_post, or
	// empty for either.
	Auth string `json:"auth"`
	// User is who approves, unless the consent page is told otherwise. Empty means "user".
	User string `json:"user"`
}

// Options shape a Server. The zero value knows nobody and refuses everyone.
type Options struct {
	// Now is the clock, which the Date of replies goes by too; nil means time.Now, which inside a synctest
	// bubble is the bubble's.
	Now func() time.Time
	// AnyAccount accepts every well-formed login, client and redirect URI besides the registered ones. A
	// registered login or client still has to present its own secret.
	AnyAccount bool
	// AutoApprove answers an authorization request at once with the redirect, in place of a consent page.
	AutoApprove bool

	Accounts []Account
	Clients  []Client

	// Rules hold for every API, PerAPI's set fields go before them.
	Rules  Rules
	PerAPI map[API]Rules

	// RequestLog is how many of the last requests the books of an API keep: 0 means 4096, negative none.
	RequestLog int
	// TokenLog is about how many dead tokens the books of an API keep; a forgotten one is refused as unknown
	// and is not counted as reuse. 0 means 200,000. Living tokens are always kept.
	TokenLog int
}

// over fills the zero fields of r from base.
func (r Rules) over(base Rules) Rules {
	pick(&r.AccessLifetime, base.AccessLifetime)
	pick(&r.RefreshLifetime, base.RefreshLifetime)
	pick(&r.CodeLifetime, base.CodeLifetime)
	pick(&r.Rotate, base.Rotate)
	pick(&r.DetectReuse, base.DetectReuse)
	pick(&r.ReplayWindow, base.ReplayWindow)
	pick(&r.InvalidateOnRefresh, base.InvalidateOnRefresh)
	pick(&r.Session, base.Session)
	pick(&r.ExpiresIn, base.ExpiresIn)
	pick(&r.Latency, base.Latency)
	pick(&r.RateRequests, base.RateRequests)
	pick(&r.RatePer, base.RatePer)
	pick(&r.RefusedStatus, base.RefusedStatus)
	pick(&r.ScopesInState, base.ScopesInState)
	pick(&r.RequirePKCE, base.RequirePKCE)
	pick(&r.DeviceInterval, base.DeviceInterval)
	return r
}

// check finds a value that means nothing.
func (r *Rules) check() error {
	switch {
	case !slices.Contains([]Rotation{RotateAsPage, RotateKeep, RotateOmit, RotateAdd, RotateSingleUse}, r.Rotate):
		return fmt.Errorf("reading rules: unknown rotate %q", r.Rotate)
	case !slices.Contains([]Toggle{AsPage, On, Off}, r.InvalidateOnRefresh):
		return fmt.Errorf("reading rules: unknown invalidate_on_refresh %q", r.InvalidateOnRefresh)
	case !slices.Contains([]SessionKind{Independent, OnePerAccount, SharedGrant}, r.Session):
		return fmt.Errorf("reading rules: unknown session %q", r.Session)
	case !slices.Contains([]ExpiryForm{ExpiryAsPage, ExpiryNumber, ExpiryString, ExpiryMissing, ExpiryWord, ExpiryZero, ExpiryNegative}, r.ExpiresIn):
		return fmt.Errorf("reading rules: unknown expires_in %q", r.ExpiresIn)
	case !slices.Contains([]int{0, 400, 500}, r.RefusedStatus):
		return fmt.Errorf("reading rules: refused_status must be 400 or 500, not %d", r.RefusedStatus)
	}
	return nil
}

func pick[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// pageRules is what an API's page says, and our decision where it says nothing.
func pageRules(api API) Rules {
	r := Rules{
		AccessLifetime:      time.Hour,
		RefreshLifetime:     30 * 24 * time.Hour,
		CodeLifetime:        10 * time.Minute,
		Rotate:              RotateKeep,
		InvalidateOnRefresh: Off,
		ExpiresIn:           ExpiryNumber,
		RatePer:             time.Second,
		RefusedStatus:       400,
		DeviceInterval:      5 * time.Second,
	}
	switch api {
	case Coinify:
		r.AccessLifetime, r.RefreshLifetime = 1200*time.Second, 24*time.Hour
	case CoinsPh: // the page names no lifetime and no expires_in; a refresh is "for invalidating the current access_token"
		r.RefreshLifetime, r.ExpiresIn, r.InvalidateOnRefresh = -1, ExpiryMissing, On
	case Cryptohopper: // no lifetime on the page either
		r.AccessLifetime, r.RefreshLifetime, r.ExpiresIn = 24*time.Hour, -1, ExpiryMissing
	case Apirone: // each refresh brings a new pair of JWTs, and a JWT is good until its exp
		r.AccessLifetime, r.RefreshLifetime, r.Rotate = 10*time.Minute, 24*time.Hour, RotateAdd
	}
	return r
}
