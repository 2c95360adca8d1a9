// Package state keeps what tokend knows about its credentials and sinks, so
// that neither a crash nor a full disk nor a bad key loses a token.
//
// Most readers want [Open], which gives a [Store] in a directory:
//
//	store, err := state.Open(ctx, state.Options{Dir: "/var/lib/tokend"})
//	...
//	c, intent, err := store.Credential(ctx, `credential.coinify.trader["alice"]`)
//	c.Note = "refreshed"
//	err = store.Commit(ctx, state.Change{Credential: &c, ClearIntent: intent != nil})
//
// # What is guaranteed
//
// A [Store.Commit] that returned nil is on disk, all of it; one that returned
// an error left nothing behind. Commits of many callers share a disk sync
// (group commit): they gather for some milliseconds, less when nobody else is
// expected, more when writes come slowly. Each write names the version that it
// was derived from and may lose with [ErrConflict]; it then fails alone, not
// its neighbours in the same sync.
//
// Before a call that can spend something, its [Intent] is committed; that
// commit also reserves the disk space for the grant that may follow, so a full
// disk stops tokend before it spends a refresh token and not after.
//
// After a failed write or sync nothing more is written: every commit gets
// [ErrReadOnly] until the file has been closed, taken back to the last commit
// that was acknowledged, read again from the disk page by page and opened
// anew. The next commit tries that, at most once a second. Who reads before it
// writes never comes to a commit while nothing can be read; then the store
// tries by itself, after a second at first and every half minute in the end.
//
// # What is on disk
//
// One bbolt file, state.db, beside a lock file, state.lock, that names the
// process which holds it. Records lie under dense 8-byte ids, with a bucket
// that maps addresses to ids; intents lie in a bucket of their own under the
// same ids, so that writing one does not rewrite its record.
//
// A record's value is its [Head], in clear, and its sealed rest:
//
//	format, key number, epoch (8), nonce (12), head length, head, head's tag (16), sealed rest
//
// The seal is AES-256-GCM, and the head is its associated data: address, kind
// and version cannot be exchanged without the seal breaking. The head's own tag
// (GCM over nothing, under a key of its own, with the record's nonce) is there
// so that a start can check 100,000 heads and unseal none of them. It makes a
// head trustworthy against damage and against who has no key; a whole record
// of this state, put back from an older copy of the file, passes. Therefore
// nothing is spent on the word of a head: who calls a provider reads the record
// first, and reading checks the seal.
//
// Keys: a [KeySource] (key file, systemd credential, Vault transit) wraps a
// random data key; for every epoch (a run of the process, or 2^31 seals) the
// sealing keys are derived from it, so that random nonces never come near
// their limit. A rotation wraps the data key again and rewrites nothing else.
// [Store.Hash] has a key of its own that no rotation changes.
//
// A wrong or missing key is [ErrKey], a file or record that fails a check is
// [ErrDamaged]; neither is ever answered with an empty state, and nothing is
// repaired behind a person's back.
package state
