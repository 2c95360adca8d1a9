package reconcile

import (
	"math"
	"time"

	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// itemKind tells the things that the queue holds apart.
type itemKind uint8

const (
	kindCredential itemKind = iota
	kindSink
	kindHook
)

// phase is where an item is.
type phase uint8

const (
	idle    phase = iota // nothing to do before an event
	timed                // in the queue's heap, due at a time
	ready                // in its lane, to be worked on as soon as there is room
	running              // a worker has it; one at a time
)

// item is one address in memory: what scheduling and the index need, and no
// secret. A hundred thousand credentials and as many sinks are held at once,
// so what few items have sits in extra.
type item struct {
	addr  string
	cfg   *spec.Config // the configuration that declares it (for a held change: that declared it); nil: none does
	lane  *lane
	users []*item // the sinks and credentials that name it
	uses  []edge  // the credentials that it names
	x     *extra
	place string // of a sink: where it is
	path  string // of a sink: the file that is watched, the end of place where it can be; "" for none

	due      int64 // unix nanoseconds; 0: none
	gen      uint64
	expires  int64  // unix nanoseconds; 0: none
	pos      int32  // place in the heap or lane that it is in
	row      uint32 // among what was restored, counted from 1; 0: it is not
	kind     itemKind
	phase    phase
	again    bool  // something happened while it was running
	stored   bool  // the state has a record of it
	gone     bool  // not declared by the configuration in force
	retiring uint8 // old grants that wait to be given up: after a start 1 for any number, 255 for more
	looked   bool  // was worked on since the start
	secret   bool  // a changed secret may be a reason to do something at once
	remote   bool  // of a sink: its place is no file
	sighted  bool  // of a sink: what its place holds was seen since the start, or was written
	removing bool  // its removal has begun: the guard has counted it
	remains  bool  // nothing but orphans is recorded of it, or a failure: once it is gone, these are all that is left
	first    bool  // belongs to the first pass and was not worked on yet
	early    bool  // due as soon as its token may be refreshed at all
	revokes  bool  // due when an old token may be given up, which is before its own is
	may      bool  // the work under way may begin what the guard has let go
	glances  bool  // of a credential: due before its token is, so that its provider may not be needed
	repeats  bool  // of a credential: Input.Repeats, as the last look left it
	counted  uint8 // the state under which it is counted; 0: not counted
}

// edge leads to a credential.
type edge struct {
	to    *item
	holds uint64 // generation of its token that the sink's place holds; 0: none
}

// urgency is the order within a lane: what a person waits for, then the soonest
// expiry. One that failed goes behind those that end within a [failedTurn]. A credential without a token goes before those whose tokens live for
// another minute: no consumer's token ends while it waits. Of questions whether tokens
// are honoured, none is put off for ever: the credential goes first whose was asked
// longest ago.
func (it *item) urgency() int64 {
	switch {
	case it.x != nil && len(it.x.orders) > 0:
		return math.MinInt64
	case it.lane.side.asks() && it.measured() != nil:
		if n := nanos(it.measured().turn); n != 0 {
			return n
		}
		return int64(fraction(it.addr) * float64(time.Second)) // not by name: those of one kind have names alike
	case it.fails():
		return max(it.expires, it.due+int64(failedTurn))
	case it.expires != 0:
		return it.expires
	case it.kind == kindCredential:
		return it.due + int64(time.Minute)
	}
	return it.due
}

// failedTurn is how long those that end meanwhile go before a credential whose last
// call failed, from when that is due again. However short its back-off is, it takes no
// turn of others then; and it is not put off for ever, since it waits in its place.
const failedTurn = time.Minute

// fails says of a credential that its last call failed.
func (it *item) fails() bool {
	return it.kind == kindCredential && it.x != nil && it.x.standing != nil && it.x.standing.State == Failing
}

// extra is what few items have at a time.
type extra struct {
	standing *Standing // nil: ready, and nothing is to be said of it
	orders   []*waiter
	follow   bool               // what an order began goes on after it, when only some addresses are worked on
	pending  map[string][]*item // of a hook: the sinks that changed, with the credentials that each named
	anew     map[string]bool    // of a hook: those of pending that changed while it ran
	orphans  state.Orphans      // as its record says, or its head as if they were one
	failures int                // of a hook: in a row
	refresh  *state.Failure     // of a credential: Input.RefreshFailure, as the last look left it
	reads    []*secretRead      // secrets that its looks did not wait for, as long as one is being read or was not used yet
	waits    []secretWait       // what of it waits for them
	reread   bool               // one of them was read once more, since it was read too long ago
	guarded  string             // the guard's reason, "" when nothing is held
	allowed  bool               // the guard has let its destructive step go ahead
	measured *measured          // what asking the API about its token has found; nil: it is not asked
	agreed   string             // the change that it was let go for
	quiet    time.Time          // when its removal may act
	lost     lostConfig         // why it is not known what declared it last, when it is gone
	home     string             // the lane that it was taken around, or belongs to when it is in one beside that
	unless   int64              // when something else of it is due than the revocation or question that it waits for, in Unix nanoseconds; 0: that is not waited for
	stuck    string             // why it cannot follow its moved block
	parked   bool               // its record is being moved: nobody works on it
	earlier  *spec.Config       // of a sink that may name what only a grant has that is not there yet: by which it goes on until then
	before   *spec.Config       // of a sink that is to leave its place, or was being worked on when that was said: which configuration it is there by
}

func (it *item) ext() *extra {
	if it.x == nil {
		it.x = &extra{}
	}
	return it.x
}

// Standing is how an address does, in words, when it is not simply ready: that it is
// ready, too, where something is to be known of it all the same.
type Standing struct {
	State State
	Since time.Time
	Why   string
	Next  string // what happens next
	Mend  string // the one command that mends it
	Stops bool   // of what is ready: no token follows the one held
	Grant bool   // of what is ready: the next token comes by the grant, and by no refresh
	host  string // whose answer it waits for: scheme://host:port
	// reading is the secret that it waits for; nil: none.
	reading *secretRead
}

// waiter is an order and who waits for it.
type waiter struct {
	order Order
	login *LoginCode
	// shares: no person gave it, so that what others have just read serves it as well.
	shares bool
	done   chan error // buffered; receives exactly one result

	// What a worker answered, which is the loop's to read once it has the result.
	answered bool
	answer   error
}

// finish answers an order. Who waits for it is told once the result is taken over: what
// is asked after that shows what the order did. The first answer counts.
func (w *waiter) finish(err error) {
	if w != nil && !w.answered {
		w.answered, w.answer = true, err
	}
}

// tell gives the answer to who waits for it. It is for the loop alone.
func (w *waiter) tell() {
	if w == nil || !w.answered {
		return
	}
	select {
	case w.done <- w.answer:
	default:
	}
}

// gone is the answer to an order about something of which nothing is left: what
// was to be given up is, and the rest cannot be done.
func (w *waiter) gone(addr string) error {
	switch w.order.Kind {
	case OrderRefresh, OrderLogin, OrderAction, OrderTaint:
		return &OrderError{Kind: w.order.Kind, Address: addr, Reason: "it is no longer declared, and nothing of it is left"}
	}
	return nil
}

// lacks is a credential without a token that a sink names which was never
// written; nil when there is none.
func (it *item) lacks() *item {
	if it.kind != kindSink || it.stored {
		return nil
	}
	for _, e := range it.uses {
		if e.to.gen == 0 {
			return e.to
		}
	}
	return nil
}

// holdsOf is the generation of credential c that sink it holds.
func (it *item) holdsOf(c *item) uint64 {
	for _, e := range it.uses {
		if e.to == c {
			return e.holds
		}
	}
	return 0
}

// named lists the credentials that it names.
func (it *item) named() []*item {
	list := make([]*item, len(it.uses))
	for i, e := range it.uses {
		list[i] = e.to
	}
	return list
}

// orphans are the tokens of it that may live and that nobody knows.
func (it *item) orphans() state.Orphans {
	if it.x == nil {
		return nil
	}
	return it.x.orphans
}

// measured is what asking the API about its token has found; nil when it is not
// asked.
func (it *item) measured() *measured {
	if it.x == nil {
		return nil
	}
	return it.x.measured
}
