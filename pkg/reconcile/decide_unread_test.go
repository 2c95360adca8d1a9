package reconcile

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A reply that cannot be read holds a grant up where asking again may cost something
// or brings the same, and else until the back-off is over.
func TestDecideUnread(t *testing.T) {
	justNow := func(in *Input) {
		in.Record.Failure = &state.Failure{Op: opGrant, Class: classUnreadable, LastAt: in.Now, NextAt: in.Now.Add(time.Minute), Message: "not JSON", Reached: 9}
	}
	held := func(in *Input) {
		in.Now = t0.Add(40 * time.Minute)
		in.Record.Grant = aGrant(func(g *state.Grant) { g.RefreshToken = secret.Text{} })
		justNow(in)
	}
	lacking := func(in *Input) { in.Record.Raw.Body = secret.New(`{"status":"fine"}`) }
	for name, c := range map[string]struct {
		change func(*Input)
		action Action
		state  State
		reason string
		next   time.Duration // after now; 0: at no time
	}{
		"no token":                      {func(*Input) {}, ActObtain, Pending, "token", 0},
		"asked just now":                {justNow, ActWait, Unread, "asked again at 2026-03-01T12:11:00Z", time.Minute},
		"the next one failed otherwise": {func(in *Input) { justNow(in); in.Record.Failure.Class = classUnknown }, ActWait, Failing, "failed", time.Minute},
		"a token is held that is due":   {func(in *Input) { held(in); in.Record.Failure = nil }, ActReplace, Pending, "due", 0},
		"the same, asked just now":      {held, ActWait, Unread, "asked again", time.Minute},
		"the same, expired long ago":    {func(in *Input) { in.Now = t0.Add(9 * time.Hour); h := in.Now; held(in); in.Now = h; justNow(in) }, ActWait, Unread, "asked again", time.Minute},
		"another is wanted":             {func(in *Input) { held(in); in.Now, in.WantsNew = t0, []string{"scopes"}; justNow(in) }, ActWait, Unread, "asked again", time.Minute},
		"another is wanted, guarded":    {func(in *Input) { held(in); in.Now, in.WantsNew, in.Guarded = t0, []string{"scopes"}, "too many" }, ActWait, Held, "too many", 0},
		"an input changed":              {func(in *Input) { justNow(in); in.Fresh = true }, ActObtain, Pending, "token", 0},
		"retry":                         {func(in *Input) { justNow(in); in.Order.Kind = OrderRetry }, ActReread, Pending, "read again", 0},
		"retry, and it was read":        {func(in *Input) { justNow(in); in.Order = Order{Kind: OrderRetry, read: true} }, ActObtain, Pending, "token", 0},
		"not declared":                  {func(in *Input) { in.Declared, in.Want = false, nil }, ActWait, Unread, "", 0},

		"JSON that lacks what is looked for":   {lacking, ActWait, Unread, "kept", 0},
		"the same, retry, and it was read":     {func(in *Input) { lacking(in); in.Order = Order{Kind: OrderRetry, read: true} }, ActObtain, Pending, "token", 0},
		"it counts against an account":         {func(in *Input) { in.Traits.Lockout = true }, ActWait, Unread, "kept", 0},
		"it ends another session":              {func(in *Input) { in.Traits.Session = spec.SessionOnePerAccount }, ActWait, Unread, "kept", 0},
		"a person is needed":                   {func(in *Input) { in.Traits.Interactive = true }, ActWait, Unread, "kept", 0},
		"it is another grant's":                {func(in *Input) { in.Record.Raw.GrantType = "password" }, ActWait, Unread, "kept", 0},
		"a code was spent":                     {func(in *Input) { in.Record.Raw.Op = opExchange }, ActWait, Unread, "kept", 0},
		"a refresh token was spent":            {func(in *Input) { in.Record.Raw.Op = opRefresh }, ActWait, Unread, "kept", 0},
		"it counts, and was read by the retry": {func(in *Input) { in.Traits.Lockout, in.Order = true, Order{Kind: OrderRetry, read: true} }, ActReread, Pending, "read again", 0},
	} {
		t.Run(name, func(t *testing.T) {
			in := anInput(func(in *Input) {
				in.Record.Grant, in.Want.Grant = nil, &spec.GrantType{Name: "client_credentials"}
				in.Record.Raw = &state.Raw{Op: opGrant, GrantType: "client_credentials", Status: 200, Body: secret.New("\x01\x02 not json"), Message: "not JSON"}
				c.change(in)
			})
			s := Decide(in)
			if s.Action != c.action || s.State != c.state || !strings.Contains(s.Reason, c.reason) {
				t.Errorf("decided %+v; want %q, %s, %q", s, c.action, c.state, c.reason)
			}
			if c.next == 0 != s.Next.IsZero() || c.next != 0 && !s.Next.Equal(in.Now.Add(c.next)) {
				t.Errorf("the next look is at %s", s.Next)
			}
		})
	}
}
