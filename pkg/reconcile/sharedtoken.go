package reconcile

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// An API may give the same access token again as long as it lives, to every credential
// of one account or client. To revoke it for the sake of one that has given it up would
// end it for all. So what is to be revoked is compared first with what other
// credentials have in force, and waits as long as one of them has that very token.

// sharedLook is how often it is looked at whether another credential still holds a
// token that is to be revoked.
const sharedLook = 30 * time.Second

// tokens knows which access token each credential has in force, by a hash that is worth
// nothing outside of this process. It begins to once it is asked: who revokes nothing
// pays nothing. It is safe for concurrent use.
type tokens struct {
	seed   maphash.Seed
	mu     sync.Mutex
	of     map[string]uint64 // by address, as the state has it; 0: none
	coming map[string]uint64 // likewise, of tokens that are not recorded yet
	moves  int               // how often records got other addresses
	whole  bool              // all records were read since then
}

func newTokens() *tokens { return &tokens{seed: maphash.MakeSeed()} }

// committed takes over what the state has just got.
func (t *tokens) committed(changes []state.Change) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		return
	}
	for _, c := range changes {
		switch {
		case c.Credential != nil:
			t.set(c.Credential.Head.Address, t.hash(c.Credential.Grant))
		case c.Delete != "":
			t.set(c.Delete, 0)
		}
	}
}

func (t *tokens) set(addr string, hash uint64) {
	t.of[addr] = hash
	delete(t.coming, addr)
}

// came notes a token before it is recorded: from then on it is in force, beside the one
// that the places hold still.
func (t *tokens) came(addr string, token secret.Text) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of != nil {
		t.coming[addr] = token.Sum(t.seed) | 1
	}
}

// moved has it begin anew: records have other addresses now.
func (t *tokens) moved() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of, t.coming, t.whole = nil, nil, false
	t.moves++
}

func (t *tokens) hash(g *state.Grant) uint64 {
	if g == nil || g.AccessToken.Empty() {
		return 0
	}
	return g.AccessToken.Sum(t.seed) | 1
}

// begin says whether all records have to be read yet, and after how many moves.
func (t *tokens) begin() (moves int, read bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of, t.coming = map[string]uint64{}, map[string]uint64{}
	}
	return t.moves, !t.whole
}

// read takes over what a record held, but where something newer is known.
func (t *tokens) read(moves int, addr string, g *state.Grant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.of[addr]; !known && moves == t.moves {
		t.of[addr] = t.hash(g)
	}
}

// others lists the credentials but one that hold a token by their records, as far as is
// known, and says whether one of them is about to. ok is false where records were moved
// since begin: what was read is worth nothing then.
func (t *tokens) others(moves int, addr string, g *state.Grant) (held []string, coming string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if moves != t.moves {
		return nil, "", false
	}
	t.whole = true
	want := t.hash(g)
	for a, h := range t.of {
		if h == want && h != 0 && a != addr {
			held = append(held, a)
		}
	}
	for a, h := range t.coming {
		if h == want && a != addr {
			coming = max(coming, a)
		}
	}
	slices.Sort(held)
	return held, coming, true
}

var errRecordsMoved = errors.New("records were moved meanwhile")

// sharedWith names another credential that has in force the very access token of a
// grant that is given up; "" where none has.
func (w *worker) sharedWith(ctx context.Context, addr string, g *state.Grant) (string, error) {
	if g.AccessToken.Empty() {
		return "", nil
	}
	moves, read := w.tokens.begin()
	if read {
		if err := w.readTokens(ctx, moves); err != nil {
			return "", err
		}
	}
	held, coming, ok := w.tokens.others(moves, addr, g)
	if !ok {
		return "", errRecordsMoved
	}
	for _, a := range held {
		rec, _, err := w.store.Credential(ctx, a)
		switch {
		case errors.Is(err, state.ErrNotFound):
		case err != nil:
			return "", err
		case rec.Grant != nil && rec.Grant.AccessToken.Equal(g.AccessToken):
			return a, nil
		}
	}
	return coming, nil
}

// readTokens reads the records of all credentials.
func (w *worker) readTokens(ctx context.Context, moves int) error {
	var all []string
	err := w.store.Heads(ctx, func(h state.Head) error {
		if h.Kind == state.KindCredential && h.Generation > 0 {
			all = append(all, h.Address)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, a := range all {
		rec, _, err := w.store.Credential(ctx, a)
		switch {
		case err == nil:
			w.tokens.read(moves, a, rec.Grant)
		case ctx.Err() != nil:
			return err
		}
		// One that cannot be read holds nothing up.
	}
	return nil
}

// shared says what becomes of a revocation whose token another credential has in force.
// A person who wants it revoked wants it dead, whoever else holds it.
func (in *Input) shared(i int) (Step, string, bool) {
	g := &in.Record.Retiring[i]
	if in.SharedWith == nil {
		return Step{}, "", false
	}
	other, err := in.SharedWith(g)
	wait := Step{Action: ActWait, Retiring: i, State: Pending, Next: in.Now.Add(sharedLook), Cause: g.Retired.Cause}
	switch {
	case in.Order.Kind == OrderRevoke && err == nil && other != "":
		return Step{}, "; " + other + " held the same token, and needs `tokend refresh " + ShellAddress(other) + "`", false
	case in.Order.Kind == OrderRevoke:
		return Step{}, "", false
	case err != nil:
		wait.Reason = "whether another credential holds the token that is to be revoked is not known yet: " + err.Error()
		return wait, "", true
	case other == "":
		return Step{}, "", false
	}
	wait.Reason = other + " holds the same access token: it is revoked once that one holds another"
	wait.Why = wait.Reason
	return wait, "", true
}
