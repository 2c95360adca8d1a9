package main

import (
	"context"
	"errors"
	"io"
	"time"

	"tokend/pkg/gitsource"
	"tokend/pkg/reconcile"
)

// errNobody: there is neither a daemon nor a state to ask.
var errNobody = errors.New("there is neither a daemon nor a state to ask")

// backend is who works on the state: the daemon, asked through its control
// socket, or an engine in this process. Every request and reply can be encoded
// as JSON and holds no secret, but for what is asked for: the field of a get,
// and the redirect of a login.
type backend interface {
	Status(ctx context.Context, addr string) (statusReply, error)
	Plan(ctx context.Context, in planRequest) (planReply, error)
	Apply(ctx context.Context, in applyRequest) (applyReply, error)
	Get(ctx context.Context, in getRequest) (getReply, error)
	Order(ctx context.Context, in orderRequest) (orderReply, error)
	Action(ctx context.Context, in actionRequest) (actionReply, error)
	LoginStart(ctx context.Context, in loginRequest) (loginReply, error)
	// LoginFinish hands a redirect over. An error that is login.Again leaves the
	// login pending.
	LoginFinish(ctx context.Context, in loginFinish) error
	// LoginWait waits until a login has come to its end, by whoever finished it.
	LoginWait(ctx context.Context, in loginID) error
	LoginCancel(ctx context.Context, in loginID) error
	Held(ctx context.Context) (*reconcile.HeldChange, error)
	Approve(ctx context.Context, shown *reconcile.HeldChange) error
	StateList(ctx context.Context) ([]stateLine, error)
	StateShow(ctx context.Context, addr string) (stateRecord, error)
	StateRemove(ctx context.Context, addr string) error
	StateExport(ctx context.Context) (stateExport, error)
	// StateBackup writes a copy of the state, of one moment.
	StateBackup(ctx context.Context, w io.Writer) error
	StateRotateKey(ctx context.Context, in keyRequest) (keyReply, error)
	StateMove(ctx context.Context, in moveRequest) ([]string, error)
	// Close gives the backend up; an engine lets go of the state.
	Close() error
}

// configurationView is how the configuration does.
type configurationView struct {
	Directory string    `json:"directory"`
	Valid     bool      `json:"valid"`
	LoadedAt  time.Time `json:"loaded_at,omitzero"`
	Since     time.Time `json:"invalid_since,omitzero"`
	Errors    []string  `json:"errors,omitempty"`
	// Check are the flags by which `tokend validate` checks what the daemon reads, as it
	// reads it.
	Check string `json:"check,omitempty"`
	// NotTaken says why the directory is not in force although it is valid: the state
	// takes no record of it, say. It is tried again every few seconds.
	NotTaken string `json:"not_taken_over,omitempty"`
	// Nothing says why nothing at all is in force: neither the directory nor what was
	// last in force can be taken over at a start, as on a full disk.
	Nothing  string `json:"nothing_in_force,omitempty"`
	Watching string `json:"watching,omitempty"` // why changes are polled for, "" while events are relied on
	// Commit is the one that is in force, Git how following its repository does.
	Commit string            `json:"commit,omitempty"`
	Git    *gitsource.Status `json:"git,omitempty"`
	// Unvouched says why no signature of what is in force counts, though only signed
	// commits are taken: it was in force before that was asked for, its signer may
	// not sign any more, or its commit is not at hand.
	Unvouched string      `json:"unvouched,omitempty"`
	Policy    *policyView `json:"policy,omitempty"` // absent where nothing is limited
	// NextStart is what it says that counts from the next start on.
	NextStart []string `json:"next_start,omitempty"`
}

// statusReply is how everything does. Ready is false, too, while a change is held
// back, or the configuration is broken: somebody has something to do.
type statusReply struct {
	reconcile.View
	Daemon        bool              `json:"daemon"`
	Version       string            `json:"version"`
	Configuration configurationView `json:"configuration"`
	Logins        []loginView       `json:"logins,omitempty"` // that are under way
}

type moveRequest struct {
	From string `json:"from"`
	To   string `json:"to"`
}

type applyRequest struct {
	Allow int `json:"allow_revocations,omitempty"`
}

type applyReply struct {
	reconcile.View
	// Later is what is left queued: old tokens that live on for their overlap.
	Later []planStep `json:"later,omitempty"`
}

type getRequest struct {
	Address  string        `json:"address"`
	Field    string        `json:"field"`
	MinValid time.Duration `json:"min_valid"`
	// Unasked says that nobody asked for MinValid: it is the default, which a
	// token that lives for seconds need not reach.
	Unasked bool `json:"unasked,omitempty"`
}

type getReply struct {
	Value string `json:"value"`
}

type orderRequest struct {
	Address string          `json:"address"`
	Order   reconcile.Order `json:"order"`
}

// orderReply is of an order that was carried out. Warning says what did not come
// of it all the same, Hint what to do about that. Idle says that nothing failed which
// could have been tried again; Removed that its address is no longer declared, so that
// no token takes the place of one that is given up.
type orderReply struct {
	Removed bool   `json:"removed,omitempty"`
	Idle    bool   `json:"idle,omitempty"`
	Warning string `json:"warning,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

type actionRequest struct {
	Address string `json:"address"`
	Name    string `json:"name"`
}

// actionReply is what an action of a provider type does.
type actionReply struct {
	Destructive bool `json:"destructive,omitempty"`
	EndsAccount bool `json:"ends_account,omitempty"`
}

type loginRequest struct {
	Address string `json:"address"`
	// Paste says that the redirect will be pasted, so that nobody has to receive it.
	Paste bool `json:"paste,omitempty"`
	// Port is the one that who asks has opened for a redirect URI that leaves it open.
	Port int `json:"port,omitempty"`
}

// Who receives a redirect.
const (
	servedByDaemon  = "daemon"  // its pages: `listen` in the tokend block
	servedByCommand = "command" // who began the login, on this machine
)

// loginReply is a login that has begun. Without an ID it has not: its redirect URI
// leaves the port open, and who asks has to open one first.
type loginReply struct {
	ID       string    `json:"id,omitempty"`
	URL      string    `json:"url,omitempty"`
	Redirect string    `json:"redirect_uri,omitempty"` // where the browser will be sent; "" where the type leaves it out
	Served   string    `json:"served,omitempty"`       // by whom; "" for nobody: it has to be pasted
	Stray    bool      `json:"stray,omitempty"`        // a visit may bring back nothing that it is known by: then it has to be pasted
	Until    time.Time `json:"until,omitzero"`         // how long it is waited for
	// Device is what the person enters, on any device; nil for a login by a redirect.
	Device *deviceReply `json:"device,omitempty"`
}

// deviceReply is a device authorization (RFC 8628 section 3.2).
type deviceReply struct {
	UserCode string `json:"user_code"`
	URI      string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete,omitempty"` // with the code in it
}

type loginFinish struct {
	Address  string `json:"address"`
	ID       string `json:"id"`
	Redirect string `json:"redirect"`
	Visited  bool   `json:"visited,omitempty"` // a browser brought it, and no person
}

type loginID struct {
	Address string `json:"address"`
	ID      string `json:"id"`
}

type stateLine struct {
	Address    string    `json:"address"`
	Kind       string    `json:"kind"`
	Generation uint64    `json:"generation,omitempty"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	Intent     bool      `json:"intent,omitempty"`
	Orphans    int       `json:"orphans,omitempty"` // tokens that nobody knows and that may live
	Flags      []string  `json:"flags,omitempty"`
}

// keyRequest names a key for the state; at most one is set, and none is the one
// that the configuration names.
type keyRequest struct {
	KeyFile           string `json:"key_file,omitempty"`
	SystemdCredential string `json:"systemd_credential,omitempty"`
	Transit           string `json:"transit,omitempty"` // VAULT/MOUNT/KEY
}

type keyReply struct {
	Key        string `json:"key"`        // in words
	Configured bool   `json:"configured"` // the configuration names it
}

// stateRecord is a record with every secret left out.
type stateRecord struct {
	Address  string         `json:"address"`
	Contents map[string]any `json:"contents"`
}
