// Package vault is tokend's one Vault client: secrets are read through it, the
// vault_kv sink writes through it, and the state's key may be wrapped by it.
//
// Most readers want [Pool.Client], which gives a [Client] that is logged in to
// a declared `vault` block, and then [Client.ReadKV] or [Client.WriteKV].
//
// # Logins
//
// A [Pool] keeps one session for each `vault` block and shares it between all
// callers. It logs in when a session is first needed, when Vault no longer
// takes the token, and when the block's settings changed; callers that need it
// at the same moment share one attempt. A failed login is an error at once.
// No Vault is sent more than one login a second, and credentials that Vault
// refused are sent again only after a growing pause (AppRole locks a role after
// a few refusals); [Pool.Changed] allows one try at once.
//
// [Pool.Run] renews the sessions' own tokens at two thirds of their lifetime
// and logs in again when a token cannot be renewed any further. The lifetime
// watcher of Vault's library is not used: it cannot be stopped in mid-call and
// reports success and failure alike.
//
// # Calls
//
// Every call is sent once: retries belong to whoever schedules the caller. The
// two exceptions are answers of Vault that mean "not done": a read whose token
// turned out to be dead is sent again with a new one, and a standby's redirect
// to the active node is followed, once and never from https to http. Where the
// active node is, sys/leader has to say: nothing is sent on anywhere else.
//
// Errors are *[Error]; ask them with errors.Is for [ErrSealed],
// [ErrUnreachable], [ErrStandby], [ErrDenied], [ErrNotFound],
// [ErrCASMismatch], [ErrThrottled], [ErrInvalid], [ErrUnreadable] and
// [ErrLogin]. They say what was done, at which address, what Vault answered and
// what to do next, and never contain a token or a secret.
//
// # The environment
//
// Nothing is taken from VAULT_ADDR, VAULT_TOKEN and their kin: a daemon must
// not follow what happens to be exported in somebody's shell. Vault's library
// looks at them nevertheless, so all that it takes from there is overwritten; a
// variable that it cannot parse makes it fail, and the error says so.
package vault
