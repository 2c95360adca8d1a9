package reconcile

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"tokend/pkg/state"
)

// unsaved are the accounts of writes that could not be recorded, by sink: while
// the disk takes nothing, its sink may come to be elsewhere, or nowhere.
type unsaved struct {
	mu       sync.Mutex
	accounts map[string][]byte
	telling  map[string]telling // of writes whose hooks were told to run, until one is recorded
}

// telling is a write whose hooks were told to run.
type telling struct {
	account  []byte
	at       time.Time
	hooks    []string
	answered []string // those that have run since, none of which the state knows
}

// outcome takes over whether an account was recorded.
func (u *unsaved) outcome(addr string, account []byte, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil:
		delete(u.accounts, addr)
		delete(u.telling, addr)
	case account != nil:
		u.keep(addr, account)
	}
}

// keep has an account be the one of a write that could not be recorded; mu is held.
func (u *unsaved) keep(addr string, account []byte) {
	if u.accounts == nil {
		u.accounts = map[string][]byte{}
	}
	u.accounts[addr] = account
}

// unwritten takes over that a record was not written which tells of no new write: the
// last one that could not be recorded stays what the place may hold.
func (u *unsaved) unwritten(addr string, account []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.accounts[addr] == nil && account != nil {
		u.keep(addr, account)
	}
}

// tell notes a write whose hooks are told to run. One that only repeats what they were
// told of keeps what they have answered. It returns when they were told.
func (u *unsaved) tell(addr string, account []byte, hooks []string, now time.Time, repeats bool) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.telling == nil {
		u.telling = map[string]telling{}
	}
	t, ok := u.telling[addr]
	if !ok || !repeats {
		t = telling{at: now}
	}
	t.account, t.hooks = account, hooks
	u.telling[addr] = t
	return t.at
}

// told is the account of the last write whose hooks were told to run, where none was
// recorded since; else nil.
func (u *unsaved) told(addr string) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.telling[addr].account
}

// toldAt is when hooks were told of a write that was not recorded; zero: of another one,
// or of none.
func (u *unsaved) toldAt(addr string, account []byte) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.telling[addr]
	if !bytes.Equal(t.account, account) {
		return time.Time{}
	}
	return t.at
}

// answer notes that a run of a hook succeeded, where it has told of all that was
// written. A write is noted as one of those that came since before its hooks are told.
func (u *unsaved) answer(addr, hook string, runs *hookRuns) {
	u.mu.Lock()
	defer u.mu.Unlock()
	t, ok := u.telling[addr]
	if !ok || !runs.answers(hook, addr) || slices.Contains(t.answered, hook) {
		return
	}
	t.answered = append(slices.Clip(t.answered), hook)
	u.telling[addr] = t
}

// unanswered are those of the hooks that have not run since they were told of a write.
func (u *unsaved) unanswered(addr string, account []byte, hooks []string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.telling[addr]
	if !bytes.Equal(t.account, account) {
		return hooks
	}
	return slices.DeleteFunc(slices.Clone(hooks), func(h string) bool { return slices.Contains(t.answered, h) })
}

// moved takes over that records were moved: what was not recorded of those sinks is.
func (u *unsaved) moved(moves []rename, err error) {
	if err != nil {
		return
	}
	for _, m := range moves {
		u.outcome(m.from, nil, nil)
	}
}

// has says whether there is one of a sink.
func (u *unsaved) has(addr string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.accounts[addr] != nil
}

// add adds to a record what its places may hold without its saying so, and which hooks
// have not run yet for that.
func (u *unsaved) add(rec *state.Sink) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if a := u.accounts[rec.Head.Address]; a != nil && rec.Written != nil && !bytes.Equal(a, rec.Written) {
		rec.Leaving = holdsFirst(rec.Leaving, a)
	}
	t := u.telling[rec.Head.Address]
	for _, h := range t.hooks {
		if !slices.Contains(t.answered, h) && !slices.Contains(rec.Notify, h) {
			rec.Notify = append(slices.Clip(rec.Notify), h)
		}
	}
}
