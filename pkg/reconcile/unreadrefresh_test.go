package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/spec"
	"tokend/pkg/state"
)

// A refresh whose reply would push another out that is kept, and could not be read, is
// not sent where the grant brings a token as well.
func TestNoRefreshBesideUnreadReplies(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	unread := state.Raw{Op: opRefresh, Endpoint: "a"}
	for name, c := range map[string]struct {
		kept   []state.Raw
		change func(*Input)
		want   bool
	}{
		"as many as are kept":      {kept: []state.Raw{unread, unread, unread, unread}},
		"one less":                 {kept: []state.Raw{unread, unread, unread}, want: true},
		"one of another type":      {kept: []state.Raw{unread, unread, unread, {Op: opRefresh, Endpoint: "b"}}, want: true},
		"one of a grant":           {kept: []state.Raw{unread, unread, unread, {Op: opGrant, Endpoint: "a"}}, want: true},
		"what one brought ended":   {kept: []state.Raw{unread, unread, unread, {Op: opRefresh, Endpoint: "a", Until: now}}, want: true},
		"a retry":                  {kept: []state.Raw{unread, unread, unread, unread}, change: func(in *Input) { in.Order.Kind = OrderRetry }, want: true},
		"only a person brings one": {kept: []state.Raw{unread, unread, unread, unread}, change: func(in *Input) { in.Traits.Interactive = true }, want: true},
		"it is declared no longer": {kept: []state.Raw{unread, unread, unread, unread}, change: func(in *Input) { in.Want = nil }, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := &Input{Now: now, Declared: true, Want: &spec.Credential{}}
			in.Held.HasRefresh = true
			in.Record.Kept = c.kept
			in.Record.Grant = &state.Grant{Endpoint: "a", RefreshToken: secret.New("r"), RefreshState: state.RefreshUsable}
			if c.change != nil {
				c.change(in)
			}
			if got := canRefresh(in, in.Record.Grant); got != c.want {
				t.Errorf("may be refreshed: %v, want %v", got, c.want)
			}
		})
	}
}
