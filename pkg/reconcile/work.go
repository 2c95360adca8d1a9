package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// Endpoint is one provider's, compiled: what *providers.Endpoint is.
type Endpoint interface {
	Encode() ([]byte, error)
	Traits(grant string) providers.Traits
	Needs(op providers.Op, grant string) []string
	RateLimit() spec.RateLimit
	Origins(grant string, inputs spec.Values) ([]string, error)
	Discover(ctx context.Context, grant string, inputs spec.Values, origins []string) error
	Undiscovered(grant string, inputs spec.Values) (issuer string)
	Prepare(c providers.Call) (*providers.Request, error)
	Send(ctx context.Context, r *providers.Request) (*providers.Reply, error)
	Read(c providers.Call, r *providers.Reply) (providers.Token, error)
	Static(c providers.Call) (providers.Token, error)
	Close()
}

// Providers opens endpoints.
type Providers interface {
	// Open compiles a configured provider.
	Open(p *spec.Provider) (Endpoint, error)
	// Restore reads back what Endpoint.Encode wrote.
	Restore(b []byte) (Endpoint, error)
}

// worker does the work of one address at a time: observe, decide, perform. It
// holds nothing of any address between two looks. Safe for concurrent use.
type worker struct {
	o          Options
	store      state.Store
	disk       *average // how long its commits take
	tokens     *tokens
	steps      clockSteps
	now        func() time.Time
	log        *slog.Logger
	config     *atomic.Pointer[spec.Config]
	secrets    *secretReader
	endpoints  *endpoints
	blobs      *blobs
	lineage    string // of the state
	doubting   turn   // one finding that the state is an older copy at a time
	importing  turn   // one adoption of a refresh token at a time: the same may be given to two
	claims     claims
	recent     recent
	asking     asking
	turns      placeTurns
	logins     logins
	programs   programs
	answers    answers
	unsaved    unsaved
	runs       hookRuns
	unwritable unwritable
	unmade     unmade
	relook     func(addr string, why error) // has an address looked at whose record could not be written
	stopped    <-chan struct{}
	life       context.Context
	stop       context.CancelFunc // tells the worker to begin nothing new; what is under way goes on
}

func newWorker(o Options, config *atomic.Pointer[spec.Config]) *worker {
	w := &worker{o: o, disk: new(average), tokens: newTokens(), now: o.Now, log: o.Logger, config: config, lineage: o.Store.Info().Lineage, doubting: make(turn, 1), importing: make(turn, 1), answers: answers{turn: make(turn, 1)}, logins: logins{seeding: make(turn, 1)}}
	w.useStore(o.Store)
	w.life, w.stop = context.WithCancel(context.Background())
	w.stopped = w.life.Done()
	w.secrets = newSecretReader(w.life, o.Sources, o.Now)
	w.secrets.log, w.secrets.credential = o.Logger, w.attributes
	w.blobs = &blobs{store: o.Store}
	w.endpoints = &endpoints{providers: o.Providers, blobs: w.blobs, byProvider: map[providerKey]*openEndpoint{}, byBlob: map[string]*openEndpoint{}}
	return w
}

func (w *worker) isStopped() bool {
	select {
	case <-w.stopped:
		return true
	default:
		return false
	}
}

// untilStop is ctx, but cancelled when the worker is told to stop: for work that
// may be cut short because it is done again after the next start.
func (w *worker) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(w.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// errStopping is the answer to what was not begun because tokend stops.
var errStopping = errors.New("tokend is stopping")

func (w *worker) work(ctx context.Context, j *job) (r *result) {
	if j.guarded != "" {
		ctx = withConfig(ctx, j.cfg) // it lives on by that: also by a Vault block that went in the change
	}
	look := &secretLook{had: j.had}
	ctx = withLook(ctx, look)
	switch j.kind {
	case kindSink:
		r = w.workSink(ctx, j)
	case kindHook:
		r = w.workHook(ctx, j)
	default:
		r = w.workCredential(ctx, j)
	}
	r.reading = look.pending
	return r
}

// decide is what plan shows: the step that would be performed, and nothing is.
func (w *worker) decide(ctx context.Context, j *job) (Step, error) {
	j.dry = true
	switch j.kind {
	case kindSink:
		ob, err := w.observeSink(ctx, j)
		if err != nil {
			return Step{Address: j.addr, State: Failing, Why: err.Error()}, nil
		}
		return DecideSink(ob.in), nil
	case kindHook:
		return Step{Address: j.addr}, nil
	}
	ob, err := w.observe(ctx, j)
	if err != nil {
		return Step{Address: j.addr, State: Failing, Why: err.Error()}, nil
	}
	step := Decide(ob.in)
	if step.Action == ActVerify {
		// It changes nothing, and a plan asks nobody.
		step.Action = ActNone
	}
	return step, nil
}

// scope gives evaluations what configuration does not hold.
func (w *worker) scope(ctx context.Context, cfg *spec.Config) spec.Scope {
	return spec.Scope{
		Secret:     w.secrets.reader(ctx, cfg),
		Credential: func(a spec.Address) (spec.Attributes, error) { return w.attributes(ctx, a) },
	}
}

// errNoToken: a credential that is named has no token yet.
var errNoToken = errors.New("it has no token yet")

// attributes are what other blocks see of a credential.
func (w *worker) attributes(ctx context.Context, a spec.Address) (spec.Attributes, error) {
	rec, _, err := w.store.Credential(ctx, string(a))
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return spec.Attributes{}, err
	}
	if rec.Grant == nil || unspent(rec.Grant) {
		return spec.Attributes{}, errNoToken
	}
	return attributesOf(rec.Grant)
}

func attributesOf(g *state.Grant) (spec.Attributes, error) {
	out, err := spec.OpenValues(g.Outputs)
	if err != nil {
		return spec.Attributes{}, err
	}
	return spec.Attributes{
		AccessToken: g.AccessToken, RefreshToken: g.RefreshToken, Header: g.Header, TokenType: g.TokenType, HeaderName: g.HeaderName,
		ExpiresAt: g.ExpiresAt, ObtainedAt: g.ObtainedAt, Scopes: g.Scopes, Generation: g.Generation, Outputs: out,
	}, nil
}

// failing is the result of a look that could not even decide: try again later,
// and say why.
func (j *job) failing(now time.Time, err error) *result {
	j.order.finish(err)
	return &result{item: j.item, lane: j.lane, order: j.order, blind: true, next: now.Add(lookAgain),
		standing: &Standing{State: Failing, Why: err.Error(), Mend: mendOf(err, j.addr)}}
}

// lookAgain is when an address is looked at again that could not be looked at.
const lookAgain = 15 * time.Second

// standingOf is a step's standing for status; nil for ready.
func standingOf(s Step) *Standing {
	if s.State == Ready && s.Why != "" {
		return &Standing{State: Ready, Why: s.Why, Mend: s.Mend, Stops: s.Stops, Grant: s.Grants}
	}
	if s.State == Ready || s.State == "" {
		return nil
	}
	why := s.Why
	if why == "" {
		why = s.Reason
	}
	return &Standing{State: s.State, Why: why, Next: s.Reason, Mend: s.Mend}
}

// commit records changes, and does not give up on one that says what a call
// brought: it is held in memory, said loudly and tried until the disk takes it,
// and meanwhile nothing is spent, since an intent would have to be recorded
// first.
func (w *worker) commit(ctx context.Context, addr, what string, changes ...state.Change) error {
	for n := 1; ; n++ {
		err := w.store.Commit(ctx, changes...)
		if err == nil || errors.Is(err, state.ErrConflict) {
			if err != nil {
				err = fmt.Errorf("recording %s of %s: %w", what, addr, err)
			}
			return err
		}
		w.log.Error("recording what a provider answered failed; it is held in memory and tried again, and nothing more is spent until then",
			"address", addr, "what", what, "try", n, "error", err)
		select {
		case <-time.After(min(time.Duration(n)*200*time.Millisecond, 5*time.Second)):
		case <-w.stopped:
			if n > 50 {
				return fmt.Errorf("recording %s of %s: %w", what, addr, err)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}
