package state

import (
	"time"

	"tokend/pkg/secret"
)

// Head is the small part of a record that is authenticated but not encrypted,
// so that a start can schedule 100,000 records and unseal none of them.
type Head struct {
	Address    string
	Kind       Kind
	Version    uint64    // grows by one with every write of this record; 0: not stored
	Generation uint64    // of the token in force; 0: none
	Due        time.Time // when to look at it again, as last decided; zero: now
	ExpiresAt  time.Time // of the token in force; zero: none or unknown
	Digest     [16]byte  // of the configuration (spec.Digest) that this record was last brought in line with
	Flags      Flags
	Orphans    Orphan // of a credential, all of them counted together
	Intent     bool   // an intent is open
}

// Kind tells records apart.
type Kind uint8

// The kinds of record.
const (
	KindCredential Kind = 1
	KindSink       Kind = 2
)

// Flags of a Head.
type Flags uint16

// What a Head says in a bit each.
const (
	FlagRetiring       Flags = 1 << iota // old grants wait to be given up
	FlagTainted                          // to be replaced at the next pass
	FlagStopped                          // a permanent failure stopped it
	FlagPreventDestroy                   // remembered from the configuration
	FlagHookPending                      // a sink changed and its hooks have not all run
	FlagRaw                              // a reply that could not be read is kept
	FlagForgetOnRemove                   // on_remove = "forget", remembered
	FlagRemoving                         // no longer declared, and the removal has begun
	FlagVerify                           // the API is asked now and then whether it honours the token
)

// Credential is what is recorded of one credential. Values, not pointers, are
// handed out: a caller may change what it got and commit it.
type Credential struct {
	Head Head

	Grant    *Grant  // the token in force
	Retiring []Grant // given up, but perhaps not revoked yet, oldest first

	Failure   *Failure // the last failure that has not been followed by a success
	Raw       *Raw     // a reply that spent something and could not be read
	Kept      []Raw    // such replies that a newer token or reply came after, oldest first: what they brought counts among Orphans
	Orphans   Orphans
	Lifecycle Lifecycle
	Removing  *Removing // no longer declared: the removal in progress
	Note      string    // what last happened, in words without a secret, for status
	Verified  Verified
	// LostPoll is a keyed hash of the device code of which a question was not answered
	// and none since: what that may have brought counts among Orphans, once.
	LostPoll string

	// Restored is when the state went back to an older copy that had this record.
	// What was obtained after the copy was made is not known; zero: never.
	Restored time.Time
}

// Verified is what asking the API whether it still honours the token has found,
// as far as it must outlive a restart.
type Verified struct {
	Refused   uint64      // the generation that the API refused twice; 0: none
	At        time.Time   // when it did; zero, with a reason in Why: it was not asked, and would
	Why       string      // what it said, scrubbed
	Refreshed uint64      // the generation that a refresh for that brought
	Renewed   []time.Time // when a token was renewed for that, within the last hour
}

// Lifecycle settings are remembered so that deleting the block does not lift
// them.
type Lifecycle struct {
	OnRemove         string
	PreventDestroy   bool
	Overlap          time.Duration
	MaxOverlap       time.Duration
	RevokeOnShutdown bool
}

// Removing is the progress of a removal.
type Removing struct {
	Since  time.Time // when the configuration ceased to declare it
	Reason string
}

// Grant is one token with all that refreshing and revoking it needs, also
// after the configuration that obtained it is gone.
type Grant struct {
	Generation   uint64 // 1, 2, … over the life of the credential
	Endpoint     string // blob: the provider type and settings that issued it
	Provider     string // address of the provider block
	Type         string
	GrantType    string
	AccessToken  secret.Text
	TokenType    string
	RefreshToken secret.Text
	HeaderName   string
	Header       secret.Text
	Scopes       []string
	Outputs      []byte // values as spec.Values.Seal writes them
	GrantedAt    time.Time
	ObtainedAt   time.Time // of this generation
	ExpiresAt    time.Time // zero: unknown
	RefreshUntil time.Time // when the refresh token ends; zero: unknown
	Rotation     Rotation
	RefreshState RefreshState // whether the refresh token may be spent
	RedirectURI  string
	Origins      []string          // scheme://host:port that its type's requests had
	InputHashes  map[string]string // keyed hashes of what the configuration gave, by input; also "scopes", "grant", "redirect_uri"
	Inputs       []byte            // the inputs that refresh and revoke name, as spec.Values.Seal writes them
	Revision     string            // of the configuration (a commit) when the grant was obtained; "" where it has none
	LostRefresh  bool              // a reply to a refresh of it was lost: the access token may have ended by that, or by what came after it
	// Late is how much later than at ExpiresAt and RefreshUntil its tokens may end:
	// the machine slept while their reply was on its way, so that they are younger
	// than it is safe to say of what is in use.
	Late time.Duration
	// RefusedAt and Refused are when the provider refused its refresh token and what it
	// said, scrubbed; zero and "" where none was, or by a tokend that did not keep it.
	RefusedAt time.Time
	Refused   string

	Retired *Retired // set on a grant in Retiring
}

// Rotation is what was seen of a refresh token under `rotates = "observe"`.
type Rotation uint8

// What was seen.
const (
	RotationUnknown Rotation = iota // no refresh yet: single use until shown otherwise
	RotationKept                    // a refresh left it as it was
	RotationRotated                 // a refresh replaced it
)

// RefreshState says whether a grant's refresh token may be spent.
type RefreshState uint8

// What is known of a refresh token.
const (
	RefreshUsable        RefreshState = iota
	RefreshIndeterminate              // a reply to it was lost: it may have been spent
	RefreshRefused                    // the provider refused it
)

// Retired says why and since when a grant is given up.
type Retired struct {
	Since       time.Time // when it was replaced
	Cause       string    // "remove", "replace", "refresh", "taint", "expired", "revoke", "login"
	DeliveredAt time.Time // since when no sink holds it any more; zero: some still does
	Attempts    int       // revocations tried
	NextAt      time.Time
	Message     string // of the last failure, scrubbed
	Alike       int    // how many of the last failures had the same outcome
}

// Failure is a classified failure, kept across restarts.
type Failure struct {
	Op        string // "grant", "refresh", "exchange", "revoke", "verify", "action"
	Class     string // as providers.Class prints it
	Message   string // scrubbed
	Hint      string
	Count     int // in a row
	Reached   int // in a row, of those that may have reached the server
	FirstAt   time.Time
	LastAt    time.Time
	NextAt    time.Time
	Stopped   bool              // permanent: no further try until inputs change or `tokend retry`
	InputHash map[string]string // the inputs that were refused (keyed)
}

// Raw is a complete reply that spent something but could not be read.
type Raw struct {
	Op         string
	Endpoint   string
	GrantType  string
	At         time.Time
	Status     int
	Header     map[string][]string
	Body       secret.Text
	Inputs     []byte
	Redirect   string
	Generation uint64 // of the grant that was spent, and among Kept of what later refreshes made of it; 0 for a new grant
	Message    string // why it could not be read
	Revoked    bool   // what it brought may have been ended since: by a revocation, or a later login whose reply was lost
	// Slept is how much earlier than At what it brought may have been issued: the
	// machine slept while the reply was on its way.
	Slept time.Duration
	// Until is, of one among Kept, when what it brought has certainly ended by itself,
	// as Orphans has it; zero: not known.
	Until time.Time
	// Type and InputHashes are of the call that it answers, as a grant has them: they say of
	// whose account it is. Empty: it came before that was kept.
	Type        string
	InputHashes map[string]string
}

// Intent is journalled before a call that can spend or create something, and
// cleared in the commit that records the outcome. It is stored apart from its
// record, so that writing one costs little.
type Intent struct {
	Op         string // "grant", "refresh", "revive", "exchange", "poll", "revoke", "action"
	Attempt    int
	At         time.Time
	Boot       string // boot id and monotonic reading: what depends on elapsed time alone does not trust a wall clock that stepped
	Monotonic  time.Duration
	TokenHash  string // keyed hash of the refresh token or code that the call spends
	Endpoint   string
	GrantType  string
	Action     string
	Generation uint64
	Replay     bool // this attempt is itself a replay
	LastTry    bool // the one last try of an indeterminate grant
}

// Sink is what is recorded of one sink.
type Sink struct {
	Head      Head
	SinkKind  string
	Written   []byte            // the sink kind's own account of what it wrote and where (sealed)
	Delivered map[string]uint64 // credential address -> generation that the place holds
	WrittenAt time.Time
	Notify    []string // hooks that have not run since the last write
	Leaving   [][]byte // accounts of places that it was moved away from and that are not cleaned yet
	// Left is what those places hold, as Delivered says it of its own: by the name of
	// the place, or "" where only that one of them may hold it is known.
	Left    map[string]map[string]uint64
	Failure *Failure
}
