package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// LoginCode is what a completed login brings: the flow's values, for the code
// exchange, and what the login began with.
type LoginCode struct {
	Flow providers.Flow
	// Began is the call that the login began with, as [Loop.LoginCall] gave it, and
	// Origins the addresses that its grant asked then. The person may have taken a
	// quarter of an hour: where the configuration says something else by now, the
	// code is not sent, since it is another server's, or a token for something else
	// than what is wanted. A call without a grant, and no origins, are not compared.
	Began   providers.Call
	Origins []string
	// Inputs, where there are any, are compared in the place of those of Began: keyed
	// hashes, from [Loop.LoginInputs], for who keeps a login and not what it names.
	Inputs map[string]string
}

// LoginInputs are keyed hashes of the named values of a login's call, for
// [LoginCode].
func (l *Loop) LoginInputs(values spec.Values, names []string) (map[string]string, error) {
	return l.w.hashNamed(values, names)
}

// asBegun says whether a login's code is for what the configuration says now; if
// it is not, the code is given up, and who brought it is told.
func (p *performer) asBegun(values spec.Values) bool {
	what := p.begunOtherwise(values)
	if what == "" {
		return true
	}
	p.log().Warn("a login is given up: the configuration changed while the person was at it", "changed", what)
	p.r.again = true // without the order
	p.fail(&OrderError{Kind: OrderLogin, Address: p.j.addr, Reason: fmt.Sprintf("its configuration changed since this login began (%s); the code was not sent", what), Mend: p.ob.in.mend("login")})
	return false
}

// begunOtherwise names what a login began with and is another now; "" for nothing.
func (p *performer) begunOtherwise(values spec.Values) string {
	in, code := &p.ob.in, p.j.order.login
	began := code.Began
	switch {
	case !in.Traits.Interactive, began.Grant != "" && began.Grant != in.Want.Grant.Name:
		return "grant"
	case began.Grant == "":
		return ""
	case !slices.Equal(began.Scopes, in.Want.Scopes):
		return "scopes"
	}
	for _, i := range in.Want.Inputs {
		if i.OnChange == spec.OnChangeReplace && !p.sameInput(code, values, i.Name) {
			return i.Name
		}
	}
	if code.Origins == nil || p.ob.ep.ep.Traits(began.Grant).Discovers {
		return "" // what an issuer names now is asked at the call, which goes nowhere else
	}
	if now, err := p.ob.ep.ep.Origins(began.Grant, values); err == nil && !slices.Equal(now, code.Origins) {
		return "the address of its API"
	}
	return ""
}

// sameInput says that a login began with what the configuration says now.
func (p *performer) sameInput(code *LoginCode, values spec.Values, name string) bool {
	now, err := values.Canonical(name)
	if err != nil {
		return false
	}
	if code.Inputs != nil {
		return code.Inputs[name] == p.w.hashInput(name, now)
	}
	then, err := code.Began.Inputs.Canonical(name)
	return err == nil && bytes.Equal(then, now)
}

// Answered says what the state has of the answer to a login that began then: a token
// that was granted since, or a reply that cannot be read and is kept. Who finds one
// after a crash does not send the login's code again: it is spent, and a code that is
// sent twice may cost the token that it brought. Of a device code it is recorded that it
// was answered, whatever the clock says by now; others, and those of earlier versions,
// are told by when they began.
func (l *Loop) Answered(ctx context.Context, addr string, since time.Time, device secret.Text) (token, unread bool, err error) {
	rec, _, _, err := l.Record(ctx, addr)
	if err != nil {
		return false, false, err
	}
	if !device.Empty() {
		switch answered, told, err := l.exchanged(ctx, addr, device); {
		case err != nil:
			return false, false, err
		case answered:
			unread = rec.Raw != nil && rec.Raw.Op == opExchange && !doubtful(rec.Raw)
			return !unread, unread, nil
		case told:
			return false, false, nil
		}
	}
	token = rec.Grant != nil && !rec.Grant.GrantedAt.Before(since)
	unread = !token && rec.Raw != nil && rec.Raw.Op == opExchange && !rec.Raw.At.Before(since)
	return token, unread, nil
}
