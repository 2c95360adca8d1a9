package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// metaImported is before the keyed hash of each refresh token that an import
// block has brought: the same one is never taken over again, by any credential,
// since it is spent as soon as it was used.
const metaImported = "imported/"

// metaImports names the credentials that an import block has brought a refresh
// token, as a list of addresses in JSON: a plan that reads no secret knows by it
// that the block has most likely done its work.
const metaImports = "imports"

// importState is what is known of the refresh token that an import block names.
type importState string

const (
	importNone       importState = ""
	importNew        importState = "new"        // it was never taken over
	importDone       importState = "done"       // it was: the block has nothing to say any more
	importUnreadable importState = "unreadable" // its secret cannot be read now
	importDeferred   importState = "deferred"   // a plan that reads no secret
	importRepeated   importState = "repeated"   // likewise, of one that an import block brought a token before
)

// observeImport adds what an import block says of a credential without a token.
func (w *worker) observeImport(ctx context.Context, j *job, ob *observed) error {
	in := &ob.in
	if in.Record.Grant != nil || in.Record.Raw != nil && !doubtful(in.Record.Raw) || !j.cfg.ImportFor(spec.Address(j.addr)) {
		return nil
	}
	if j.noSecrets {
		in.Import = importDeferred
		before, err := importsBefore(ctx, w.store)
		if slices.Contains(before, j.addr) {
			in.Import = importRepeated
		}
		return err
	}
	token, err := importedToken(j, ob.scope)
	if ob.brings = pendingOf(err); ob.brings != nil {
		in.Reading.add(secretWait{op: opGrant, read: ob.brings})
	}
	if err != nil {
		in.Import, in.ImportError = importUnreadable, err.Error()
		return nil
	}
	in.Import = importNew
	switch _, err := w.store.Meta(ctx, importKey(w.store, token)); {
	case err == nil:
		in.Import = importDone
	case !errors.Is(err, state.ErrNotFound):
		return fmt.Errorf("reading what was imported before: %w", err)
	}
	return nil
}

// importsBefore are the credentials that an import block has brought a token.
func importsBefore(ctx context.Context, s state.Store) (addresses []string, err error) {
	b, err := s.Meta(ctx, metaImports)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil // or it was before that was noted
	}
	if err == nil {
		err = json.Unmarshal(b, &addresses)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was imported before: %w", err)
	}
	return addresses, nil
}

// movedImports has the list of those say moved credentials as they are called now:
// what was brought to one goes on under its new name. Its Meta is nil where the list
// stays as it is.
func movedImports(ctx context.Context, s state.Store, names map[string]string) (state.Change, error) {
	all, err := importsBefore(ctx, s)
	if err != nil || !slices.ContainsFunc(all, func(a string) bool { return names[a] != "" }) {
		return state.Change{}, err
	}
	b, err := json.Marshal(readdressed(all, names))
	return state.Change{MetaKey: metaImports, Meta: b}, err
}

func importKey(s state.Store, token secret.Text) string {
	return metaImported + state.HashText(s, "import", token)
}

func importedToken(j *job, scope spec.Scope) (secret.Text, error) {
	values, err := j.cfg.ImportValues(spec.Address(j.addr), scope)
	if err != nil {
		return secret.Text{}, fmt.Errorf("reading the refresh token to import: %w", unready(err))
	}
	token, err := values.Secret("refresh_token")
	if err == nil && token.Empty() {
		err = errors.New("reading the refresh token to import: it is empty")
	}
	return token, err
}

// imports takes over a refresh token that exists already, where nothing else is
// held.
func imports(in *Input) (Step, bool) {
	if in.Record.Grant != nil || in.Traits.Static || !in.Traits.HasRefresh {
		return Step{}, false
	}
	switch {
	case in.Import == importNew:
		if wait, blocked := backedOff(in); blocked {
			return wait, true
		}
		return Step{Action: ActImport, State: Pending, Reason: "its import block brings a refresh token, which is not spent before a token is needed"}, true
	case in.Import == importDeferred && in.Record.Head.Generation == 0:
		return Step{Action: ActImport, State: Pending, Reason: "known at apply: its import block may bring a refresh token"}, true
	case in.Import == importUnreadable && in.Record.Head.Generation == 0 && in.Reading.grant != "":
		return in.readsGrant()
	case in.Import == importUnreadable && in.Record.Head.Generation == 0:
		return Step{Action: ActWait, State: Failing, Next: in.Now.Add(lookAgain), Reason: in.ImportError, Why: in.ImportError,
			Mend: "make it readable, or take the import block out"}, true
	}
	return Step{}, false // a block that has done its work, or has none to do, is in nobody's way
}

// adopted is a credential whose refresh token was taken over and that has no
// access token yet: the first one is fetched when something needs it.
func adopted(in *Input) (Step, bool) {
	g := in.Record.Grant
	if g == nil || !unspent(g) {
		return Step{}, false
	}
	ordered := in.Order.Kind == OrderRefresh || in.Order.Kind == OrderRetry
	switch {
	case canRefresh(in, g) && !in.Needed && !ordered:
		if step, ok := retired(in); ok && step.Action != ActWait {
			return step, true
		}
		return Step{Action: ActWait, State: Ready, Reason: "its refresh token was taken over and is not spent before a token is needed"}, true
	case canRefresh(in, g):
		at, past := in.pastTheWall()
		if past && !ordered {
			if wait, blocked := backedOff(in); !blocked && !in.Now.Before(at) {
				return in.aroundTheWall(), true
			} else if f := in.Record.Failure; blocked && f != nil && f.Op == opGrant {
				at = wait.Next // zero: it was refused for good
			}
		}
		if wait, blocked := refreshBackedOff(in); blocked {
			if past && at.After(in.Now) {
				wait.Next = earlier(wait.Next, at)
			}
			if in.shutOut(in.Now) {
				wait = in.loginOpens(wait)
			}
			return wait, true
		}
		reason := "a sink or a credential needs its token, and it has a refresh token that was taken over"
		if ordered {
			reason = "a person wants its token, and it has a refresh token that was taken over"
		}
		return Step{Action: ActRefresh, State: Pending, Reason: reason}, true
	case in.Traits.Interactive:
		return needsLogin(in, "the refresh token that was taken over gave no token"), true
	}
	if wait, blocked := backedOff(in); blocked {
		return wait, true
	}
	return Step{Action: ActReplace, Cause: causeExpired, State: Pending, Reason: "the refresh token that was taken over gave no token: a new one is obtained by the grant"}, true
}

// unspent says that a grant is a refresh token that was taken over, and nothing
// more yet.
func unspent(g *state.Grant) bool { return g.AccessToken.Empty() && !g.RefreshToken.Empty() }

// adopt takes the refresh token over that an import block names: durably, with
// the memory that it was, and without asking anybody. It is bound to the
// addresses that its provider has now.
func (p *performer) adopt() {
	token, err := importedToken(p.j, p.ob.scope)
	if err != nil {
		p.unreadable(err)
		return
	}
	g, err := p.adoptedGrant(token)
	var away *barredError
	switch {
	case errors.As(err, &away):
		p.barred(away)
		return
	case errors.Is(err, errNotBegun):
		return // tokend stops
	case err != nil:
		p.unreadable(err)
		return
	}
	p.w.importing.Lock()
	defer p.w.importing.Unlock()
	key := importKey(p.w.store, token)
	if _, err := p.w.store.Meta(p.ctx, key); !errors.Is(err, state.ErrNotFound) {
		p.r.again = true // another credential was given the same one meanwhile
		return
	}
	memory, err := json.Marshal(map[string]any{"address": p.j.addr, "at": p.w.now()})
	if err != nil {
		p.unreadable(err)
		return
	}
	all, err := importsBefore(p.ctx, p.w.store)
	if err != nil {
		p.unreadable(err)
		return
	}
	if !slices.Contains(all, p.j.addr) {
		all = append(all, p.j.addr)
	}
	list, err := json.Marshal(all)
	if err != nil {
		p.unreadable(err)
		return
	}
	rec := &p.ob.in.Record
	rec.Grant, rec.Failure, rec.Removing = g, nil, nil
	p.endsWithDaemon(p.ob.ep, g.GrantType)
	rec.Head.Digest = p.ob.digest
	rec.Head.Flags &^= state.FlagTainted
	rec.Note = p.step.Reason
	if !p.save("a refresh token that was imported", state.Change{MetaKey: key, Meta: memory}, state.Change{MetaKey: metaImports, Meta: list}) {
		return // a disk that takes nothing is asked again in a while
	}
	p.log().Info("imported", "reason", p.step.Reason)
	p.r.standing = nil
	p.r.again = true // whether a token is needed at once is another step
}

func (p *performer) adoptedGrant(token secret.Text) (*state.Grant, error) {
	want, ep := p.ob.in.Want, p.ob.ep
	values, err := p.j.cfg.Inputs(spec.Address(p.j.addr), nil, p.ob.scope)
	if err != nil {
		return nil, err
	}
	if ep.ep.Traits(want.Grant.Name).Discovers {
		// Reading an issuer's metadata spends nothing, and says what addresses the
		// token is bound to.
		if err := p.w.discover(p.ctx, p.j, ep.ep, want.Grant.Name, values, nil); err != nil {
			return nil, err
		}
	}
	g := newGrant(providers.Token{RefreshToken: token}, p.w.now())
	if g.Endpoint, err = p.w.endpoints.name(p.ctx, ep); err != nil {
		return nil, err
	}
	g.Generation, g.Provider, g.Type, g.GrantType, g.Scopes = p.ob.in.Record.Head.Generation, string(want.Provider), want.Type.Name, want.Grant.Name, want.Scopes
	g.ObtainedAt = time.Time{}
	if !want.RedirectURIOmitted {
		g.RedirectURI = want.RedirectURI
	}
	err = p.seal(&g, &call{ep: ep, c: providers.Call{Grant: p.ob.in.Want.Grant.Name, Inputs: values}})
	return &g, err
}
