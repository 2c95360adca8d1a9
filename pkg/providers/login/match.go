package login

import (
	"net/url"

	"tokend/pkg/secret"
)

// StateIn is the state that a redirect carries, in its query or its fragment; ""
// when it has none. It only tells logins apart: [Pending.Finish] judges.
func StateIn(redirected string) string {
	query, fragment, _ := split(redirected)
	for _, part := range []string{query, fragment} {
		if values, err := url.ParseQuery(part); err == nil && values.Get("state") != "" {
			return values.Get("state")
		}
	}
	return ""
}

// Answers reports whether a redirect with that state is of this login.
func (p Pending) Answers(state string) bool {
	return state != "" && secret.New(state).Equal(p.state)
}
