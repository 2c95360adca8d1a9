package reconcile

import (
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

// A credential whose grant is stopped says of the token that it holds whether that is
// good, and until when: "stopped" alone is taken for a dead one.
func TestAStoppedGrantSaysThatItsTokenIsGood(t *testing.T) {
	const refused = "wrong password"
	until := t0.Add(time.Hour)
	good := " (the token held is good until " + until.Format(time.RFC3339) + ", and it came without a refresh token)"
	for name, c := range map[string]struct {
		change func(*Input)
		want   string
		next   time.Time
	}{
		"it is due":            {func(*Input) {}, refused + good, until},
		"it is to be replaced": {func(in *Input) { in.WantsNew = []string{"email"} }, refused + good, time.Time{}},
		"without an end":       {func(in *Input) { in.Record.Grant.ExpiresAt, in.WantsNew = time.Time{}, []string{"email"} }, refused + " (the token held has no end that is known)", time.Time{}},
		"it is refreshed": {func(in *Input) {
			in.Now, in.Record.Grant.RefreshToken, in.WantsNew = t0, secret.New("rt"), []string{"email"}
		}, refused + " (the token held is refreshed meanwhile)", until},
		"it has expired":    {func(in *Input) { in.Now = until }, refused, time.Time{}},
		"nothing is held":   {func(in *Input) { in.Record.Grant = nil }, refused, time.Time{}},
		"it may have ended": {func(in *Input) { in.Held.InvalidatesAccessToken, in.Record.Grant.LostRefresh = true, true }, refused, until},
	} {
		t.Run(name, func(t *testing.T) {
			in := anInput(nil)
			in.Record.Grant.RefreshToken = secret.Text{}
			in.Now = until.Add(-10 * time.Minute)
			in.Record.Failure = &state.Failure{Op: opGrant, Class: "permanent", Stopped: true, Message: refused}
			c.change(&in)
			if s := Decide(in); s.State != Stopped || s.Why != c.want || name != "it is refreshed" && !s.Next.Equal(c.next) {
				t.Errorf("it says %q (%s), next %s; want %q, next %s", s.Why, s.State, s.Next, c.want, c.next)
			}
		})
	}
}
