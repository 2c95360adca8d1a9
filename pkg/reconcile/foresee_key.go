package reconcile

import (
	"context"

	"tokend/pkg/providers"
	"tokend/pkg/spec"
)

// A static grant has nothing to obtain: what it will have is known before it is
// taken over. So it is known, too, whether a sink that names it has to be written,
// which it need not be for another output than the one that it names.

// foreseenKey is what a static grant will have that is about to be taken over; nil
// where that is not known. What keeps it from being read, the step itself says.
func (w *worker) foreseenKey(j *job, ob *observed) *spec.Attributes {
	if j.noSecrets || j.cfg == nil || ob.ep == nil {
		return nil
	}
	inputs, err := j.cfg.Inputs(spec.Address(j.addr), nil, ob.scope)
	if err != nil {
		return nil
	}
	t, err := ob.ep.ep.Static(providers.Call{Op: providers.OpGrant, Grant: ob.in.Want.Grant.Name, Inputs: inputs, Scopes: ob.in.Want.Scopes, Now: j.now})
	if err != nil {
		return nil
	}
	at := &spec.Attributes{
		AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, Header: t.Header, TokenType: t.TokenType, HeaderName: t.HeaderName,
		ExpiresAt: t.ExpiresAt, ObtainedAt: j.now, Scopes: t.Scopes, Generation: ob.in.nextGeneration(), Outputs: t.Outputs,
	}
	if at.Scopes == nil {
		at.Scopes = ob.in.Want.Scopes
	}
	return at
}

// comparedWith gives the means to compare a place with what a sink will be given
// once some of the credentials that it names have other keys. ok is false where
// that cannot be told.
func (w *worker) comparedWith(ctx context.Context, j *job, ob *observedSink) func(keys map[string]*spec.Attributes) (drift string, ok bool) {
	if w.o.Away || j.noSecrets || j.cfg == nil || ob.in.Record.Written == nil {
		return nil
	}
	return func(keys map[string]*spec.Attributes) (string, bool) {
		scope := w.scope(ctx, j.cfg)
		read := scope.Credential
		scope.Credential = func(a spec.Address) (spec.Attributes, error) {
			if at := keys[string(a)]; at != nil {
				return *at, nil
			}
			return w.tokenOf(j, a, read)
		}
		args, err := j.cfg.SinkArgs(spec.Address(j.addr), scope)
		if err != nil {
			return "", false
		}
		d, err := ob.kind.Render(args)
		if err != nil || d.Place != placeOf(ob.in.Record.Written) {
			return "", false
		}
		drift, err := ob.kind.Check(ctx, d, accountOf(ob.in.Record.Written))
		return drift, err == nil
	}
}

// expectKeys compares a sink with the keys that there will be, where nothing else
// of what it names becomes another one.
func (f *forecast) expectKeys(n *foreseen) {
	if n.with == nil {
		return
	}
	keys := map[string]*spec.Attributes{}
	for i, c := range n.names {
		switch u := f.byAddr[c]; {
		case u == nil || u.gen == n.had[i]:
		case u.key == nil || u.key.Generation != u.gen:
			return
		default:
			keys[c] = u.key
		}
	}
	if drift, ok := n.with(keys); ok {
		n.sink.Drift = drift
	}
}
