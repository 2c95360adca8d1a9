package reconcile

import (
	"errors"
	"net/http"

	"tokend/pkg/providers"
)

// bearing is what the failure of a call that sent a refresh token means for that token.
type bearing string

const (
	// tokenUnspent: nobody took the token. It is sent again after a back-off.
	tokenUnspent bearing = "unspent"
	// requestRefused: who asks, or what for, was refused, and the token was not looked
	// at. It is sent again after a back-off, and works once the configuration is mended.
	requestRefused bearing = "request refused"
	// tokenDoubted: something refuses, and perhaps not its API, or not for good; to send
	// the token again costs nothing. It is sent again after a back-off, and other ways to
	// a token are taken where the access token has ended meanwhile.
	tokenDoubted bearing = "doubted"
	// tokenMaySpend: the API may have carried the call out. A token that works once may
	// be spent; one that stays the same is none the worse.
	tokenMaySpend bearing = "may be spent"
	// tokenRefused: the token is of no more use, and is not sent again.
	tokenRefused bearing = "refused"
	// tokenGivenUp: it is not sent again either, since the grant brings another. But the
	// refusal is a status alone, as something before the API says it, and may have taken
	// the place of an answer that brought a token: that is counted as an orphan.
	tokenGivenUp bearing = "given up"
)

// bearingOf is what the failure of a refresh means for the refresh token that it sent.
// op is [opRefresh], or [opRevive] of a grant that is given up; once says that the token
// is taken for one that works once, and person that nothing leads to another token but a
// person ([Input.onlyAPerson]). What a type's own error block says goes before all else.
//
// To take a token for refused that nobody refused costs a login. To take one for unspent
// that was spent may have its API end all of its grant (RFC 9700 section 4.14.2), so
// what tells neither for certain makes one that works once a doubtful one, of which
// there is one try more.
func bearingOf(e *providers.Error, op string, once, person bool) bearing {
	switch e.Class {
	case providers.ClassUnknown, providers.ClassUnreadable:
		return tokenMaySpend
	case providers.ClassLogin, providers.ClassGone:
		return tokenRefused
	case providers.ClassTransient, providers.ClassThrottled:
		if e.Walled {
			return uncertain(once)
		}
		return tokenUnspent // the API says, or the connection, that nothing was done
	}
	switch {
	case errors.Is(e, providers.ErrForbidden):
		return tokenUnspent // nothing was sent, and no grant may be asked there either: it is kept until that is allowed
	case e.Class != providers.ClassConfig && (e.Own || namesTheToken(e.Code)):
		return tokenRefused
	case !person && op == opRefresh && isStatusAlone(e):
		return tokenGivenUp
	case !person && op == opRefresh:
		return tokenRefused // the grant brings another
	case blamesTheClient(e):
		return requestRefused
	case e.Code == "invalid_request" && op == opRevive:
		return requestRefused
	case e.Code == "invalid_request": // RFC 6749 section 5.2: nothing was looked at; but some APIs say so of a token
		return tokenDoubted
	case e.Status == http.StatusBadRequest && !e.Page:
		return tokenRefused // RFC 6749 section 5.2
	case op == opRevive:
		return tokenDoubted // where it was used twice, all of its grant ends: which is what is wanted of it
	}
	return uncertain(once)
}

// uncertain is what a refusal means that is mostly not the API's word on the token that
// was sent, or of which that is not certain. A gateway before the API says 403 in a bad
// minute, or 409, 413, 423; 401 is for who asks (RFC 6749 section 5.2), and a gateway's,
// too. It may stand for a refusal for good, and in the place of an answer that spent a
// token which works once.
func uncertain(once bool) bearing {
	if once {
		return tokenMaySpend
	}
	return tokenDoubted
}

// isStatusAlone says that a refusal has no word of the API's own, and is not one of those
// by which nothing can have acted, or by which APIs themselves refuse a token: with 400
// and 401 (RFC 6749 section 5.2; many say 401 of every one that has ended), 404 and 405.
func isStatusAlone(e *providers.Error) bool {
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusMethodNotAllowed:
		return false
	}
	return e.Class == providers.ClassPermanent && e.Code == "" && e.Status > http.StatusBadRequest
}

// namesTheToken says that a code is about the refresh token that was sent: that of RFC
// 6749 section 5.2, those of RFC 6750 and of Keycloak, and those that GitHub and Slack
// document, which send them with the status 200.
func namesTheToken(code string) bool {
	switch code {
	case "invalid_grant", "invalid_token", "token_not_found", "bad_refresh_token", "invalid_refresh_token":
		return true
	}
	return false
}

// blamesTheClient says that a refusal is about who asked and how, and says nothing of
// the token that was sent: a wrong client secret, a wrong address.
func blamesTheClient(e *providers.Error) bool {
	if e.Class == providers.ClassConfig {
		return true
	}
	switch e.Code {
	case "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", // RFC 6749 section 5.2
		"incorrect_client_credentials", "bad_client_secret", "invalid_client_id": // GitHub's, Slack's
		return true
	}
	return e.Status >= 300 && e.Status < 400 || e.Code == "" && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed)
}

// meant is what a refresh's failure is taken for, by what it means for its refresh
// token: what is kept and sent again does not stop.
func (o outcome) meant(b bearing) outcome {
	switch b {
	case tokenRefused, tokenGivenUp:
	case tokenDoubted:
		o.stops, o.class = false, classWalled
	case tokenMaySpend:
		if o.stops = false; o.class != classUnknown {
			o.class = classWalled
		}
	default:
		o.stops = false
	}
	return o
}
