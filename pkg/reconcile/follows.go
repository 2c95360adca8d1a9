package reconcile

import (
	"fmt"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/state"
)

// FailedError is why a call failed that a person had ordered, with what comes next: else
// nothing says whether that is for the person or for tokend to see to.
type FailedError struct {
	Err  error
	Next string
}

func (e *FailedError) Error() string { return e.Err.Error() }
func (e *FailedError) Unwrap() error { return e.Err }

// afterRefusal says what follows a call that failed; f is what is noted of it, nil for
// nothing.
func (p *performer) afterRefusal(c *call, pe *providers.Error, f *state.Failure, err error) error {
	in := &p.ob.in
	refused := c.op == opRefresh && in.Record.Grant != nil && in.Record.Grant.RefreshState == state.RefreshRefused
	switch {
	case c.op != opRefresh && c.op != opGrant, pe.Hint != "":
		return err // it says that itself
	case refused && in.Traits.Interactive:
		return &FailedError{err, "its refresh token is not sent again, and only a login gives another token: " + in.mend("login")}
	case refused:
		return &FailedError{err, "its refresh token is not sent again; " + in.byGrant(in.Record.Grant) + " (at once by: " + in.mend("refresh") + ")"}
	case f == nil:
		return err
	case f.Stopped:
		return &FailedError{err, "it is not tried again by itself; once that is mended: " + in.mend("retry")}
	}
	return &FailedError{err, in.triedAgain(f.NextAt)}
}

// afterUnknown says what follows a call of which nobody knows whether it was carried out.
func (p *performer) afterUnknown(c *call, err error) error {
	in, next := &p.ob.in, ""
	switch {
	case c.op == opGrant:
		next = "a token that it may have brought is counted as an orphan, see: " + in.mend("status") + "; another try at once: " + in.mend("retry")
	case c.op == opRefresh && in.Held.ReplayWindow > 0:
		next = "it is repeated while its API answers that with the same token; what came of it says: " + in.mend("status")
	case c.op == opRefresh:
		next = "a token that it may have brought is counted as an orphan; that, and what comes next, says: " + in.mend("status")
	default:
		return err
	}
	return &FailedError{err, next}
}

// triedAgain says when a call is made again.
func (in *Input) triedAgain(at time.Time) string {
	return fmt.Sprintf("a running daemon tries it again at %s; at once: %s", at.UTC().Format(time.RFC3339), in.mend("retry"))
}

// byGrant says when a new token is obtained though the refresh token of the one held was
// refused.
func (in *Input) byGrant(g *state.Grant) string {
	if at := in.due(); at.After(in.Now) {
		return "a new token is obtained by the grant at " + at.UTC().Format(time.RFC3339)
	}
	if g.ExpiresAt.IsZero() {
		return "the token held has no end that is known, and a new one is obtained by the grant when it is asked for"
	}
	return "a new token is obtained by the grant now"
}

// remarkByGrant says that the refresh token of what is ready was refused, so that the
// next token is not what a refresh brings.
func (in *Input) remarkByGrant(s *Step) {
	g := in.Record.Grant
	s.Grants, s.Why = true, "its refresh token was refused"
	if !g.RefusedAt.IsZero() {
		s.Why += " at " + g.RefusedAt.UTC().Format(time.RFC3339)
	}
	if g.Refused != "" {
		s.Why += " (" + g.Refused + ")"
	}
	s.Why += "; " + in.byGrant(g)
	s.Mend = in.mend("refresh") + ", which obtains it at once"
	in.isReason(s)
}

// refreshRefused says that the provider refused the refresh token of the token held, and
// that the next one comes without a person.
func (in *Input) refreshRefused() bool {
	return !in.Traits.Interactive && !in.Traits.Static && in.Held.HasRefresh && in.Record.Grant.RefreshState == state.RefreshRefused
}
