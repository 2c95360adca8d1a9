package reconcile

import (
	"net/http"

	"tokend/pkg/providers"
	"tokend/pkg/state"
)

// A web page or nothing at all with a status of success is taken for no answer:
// mostly something on the way sent it, and the API was never asked. So it is
// gone on from as from a reply that never came. But it may be the API's after
// all, which brings its token in a way that its type does not say yet. So it is
// kept as well, until there is a better answer, and `tokend retry` reads it
// before it tries anew: nothing that it brought is lost.

// doubtful says of a kept reply that it was taken for no answer: it holds
// nothing up, and what it may have brought was counted when it came.
func doubtful(raw *state.Raw) bool {
	return providers.NoAnswer(&providers.Reply{Status: raw.Status, Header: http.Header(raw.Header), Body: raw.Body})
}

// keepDoubtful keeps such a reply, where no better one is kept. It is recorded
// with what is made of it.
func (p *performer) keepDoubtful(c *call, reply *providers.Reply, cause error) {
	switch rec := &p.ob.in.Record; c.op {
	case opGrant, opExchange, opRefresh:
		if rec.Raw == nil || doubtful(rec.Raw) {
			rec.Raw = p.rawOf(c, reply, cause)
		}
	}
}

// rawOf is a reply as the record keeps it, with what reading it needs.
func (p *performer) rawOf(c *call, reply *providers.Reply, cause error) *state.Raw {
	sealed, err := c.c.Inputs.Seal(nil)
	if err != nil {
		p.log().Error("sealing the inputs of a reply that could not be read", "error", err)
	}
	raw := &state.Raw{
		Op: c.op, Endpoint: c.blob, GrantType: c.c.Grant, At: p.w.now(), Status: reply.Status, Header: reply.Header, Body: reply.Kept(),
		Inputs: sealed, Redirect: c.c.Flow.RedirectURI, Message: cause.Error(), Slept: reply.Slept,
	}
	if g := p.ob.in.Record.Grant; g != nil && c.op == opRefresh {
		raw.Generation, raw.Type, raw.InputHashes = g.Generation, g.Type, g.InputHashes
	} else if want := p.ob.in.Want; want != nil {
		if raw.InputHashes, err = p.hashesOf(c); err == nil {
			raw.Type = want.Type.Name
		}
	}
	return raw
}
