package providers_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
)

var updateErrors = flag.Bool("update-docs", false, "write the table of docs/errors.md anew")

// errorsPage is where people read what a reply means.
const errorsPage = "../../docs/errors.md"

// errorRow is a line of the table: a reply, to what, and what it means.
type errorRow struct {
	says   string
	status []int // each of them is held against the line
	header map[string]string
	body   string
	to     []providers.Op
	class  providers.Class // "": a success
	after  time.Duration
}

// anyOK are the statuses of success that a body comes with; coded are those that
// servers send the codes of RFC 6749 section 5.2 and its extensions with.
var (
	anyOK = []int{200, 201, 202, 203}
	coded = []int{400, 401, 403, 422}
)

var (
	toToken = []providers.Op{providers.OpGrant, providers.OpRefresh}
	toAny   = []providers.Op{providers.OpGrant, providers.OpRefresh, providers.OpRevoke}
)

func oauthError(code string) string { return fmt.Sprintf(`{"error":%q}`, code) }

// errorRows are the rules; those of a type's own `error` block go before them.
func errorRows() []errorRow {
	revoke, verify := []providers.Op{providers.OpRevoke}, []providers.Op{providers.OpVerify}
	rows := []errorRow{
		{says: "2xx with a token", status: anyOK, body: `{"access_token":"a"}`, to: toToken},
		{says: "2xx", status: anyOK, to: revoke},
		{says: "2xx with JSON that cannot be read as the type says", status: anyOK, body: `{"access_token":7}`, to: toToken, class: providers.ClassUnreadable},
		{says: "2xx with a web page", status: anyOK, body: "<html><body>proxy</body></html>", to: toToken, class: providers.ClassUnknown},
		{says: "2xx with nothing in it", status: anyOK, to: toToken, class: providers.ClassUnknown},
		{says: "2xx with a web page", status: anyOK, body: "<!DOCTYPE html><title>Sign in</title>", to: []providers.Op{providers.OpRevoke, providers.OpAction}, class: providers.ClassUnknown},
		{says: "2xx with a token, and an `error` that is empty or has the code 0", status: anyOK, body: `{"access_token":"a","error":{"code":0,"message":"OK"}}`, to: toToken},
		{says: "2xx with a token and an error", status: anyOK, body: `{"access_token":"a","error":"invalid_request"}`, to: toToken, class: providers.ClassUnreadable},
		{says: "2xx with an `error` member: as with 400", status: anyOK, body: oauthError("invalid_request"), to: toAny, class: providers.ClassPermanent},
	}
	for _, code := range []string{"invalid_request", "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"} {
		rows = append(rows, errorRow{says: "`" + code + "`", status: coded, body: oauthError(code), to: toAny, class: providers.ClassPermanent})
	}
	for _, code := range []string{"invalid_grant", "invalid_token", "token_not_found"} {
		rows = append(rows, errorRow{says: "`" + code + "`", status: coded, body: oauthError(code), to: toToken, class: providers.ClassPermanent})
	}
	for _, code := range []string{"invalid_grant", "invalid_token", "token_not_found", "unknown_token"} {
		rows = append(rows, errorRow{says: "`" + code + "`", status: coded, body: oauthError(code), to: revoke, class: providers.ClassGone})
	}
	for _, code := range []string{"login_required", "interaction_required", "consent_required", "account_selection_required"} {
		rows = append(rows, errorRow{says: "`" + code + "`", status: coded, body: oauthError(code), to: toAny, class: providers.ClassLogin})
	}
	rows = append(rows,
		errorRow{says: "`temporarily_unavailable`", status: coded, body: oauthError("temporarily_unavailable"), to: toAny, class: providers.ClassTransient},
		errorRow{says: "`authorization_pending`", status: coded, body: oauthError("authorization_pending"), to: toAny, class: providers.ClassTransient},
		errorRow{says: "`slow_down`", status: coded, body: oauthError("slow_down"), to: toAny, class: providers.ClassThrottled},
		errorRow{says: "`server_error`", status: coded, body: oauthError("server_error"), to: toAny, class: providers.ClassUnknown},
		errorRow{says: "410", status: []int{410}, to: revoke, class: providers.ClassGone},
		errorRow{says: "408, 421, 425", status: []int{408, 421, 425}, to: toAny, class: providers.ClassTransient},
		errorRow{says: "429, 503, with `Retry-After: 120`", status: []int{429, 503}, header: map[string]string{"Retry-After": "120"}, to: toAny, class: providers.ClassThrottled, after: 2 * time.Minute},
		errorRow{says: "429, 503, with `Retry-After` as a date two minutes after `Date`", status: []int{429, 503}, header: map[string]string{"Retry-After": "Fri, 06 Mar 2026 12:02:00 GMT", "Date": "Fri, 06 Mar 2026 12:00:00 GMT"}, to: toAny, class: providers.ClassThrottled, after: 2 * time.Minute},
		errorRow{says: "500, 502, 504 and any other 5xx", status: []int{500, 501, 502, 504, 505, 507, 511, 520, 599}, to: toAny, class: providers.ClassUnknown},
		errorRow{says: "1xx that is no interim reply (101)", status: []int{101, 199}, to: toAny, class: providers.ClassUnknown},
		errorRow{says: "3xx (no redirect is followed)", status: []int{300, 301, 302, 303, 307, 308}, header: map[string]string{"Location": "https://elsewhere.example/"}, to: toAny, class: providers.ClassPermanent},
		errorRow{says: "4xx but 400, 401, 404, 405, with a web page (a wall before the API)", status: []int{402, 403, 406, 409, 418, 422, 451}, body: "<html>Are you a robot?</html>", to: []providers.Op{providers.OpRefresh, providers.OpRevoke}, class: providers.ClassTransient},
		errorRow{says: "4xx with a web page, where a refusal counts against an account", status: []int{402, 403, 406, 409, 418, 422, 451}, body: "<html>Are you a robot?</html>", to: []providers.Op{providers.OpGrant}, class: providers.ClassPermanent},
		errorRow{says: "any other 4xx", status: []int{400, 401, 402, 403, 404, 405, 406, 409, 418, 422, 451}, to: toAny, class: providers.ClassPermanent},
		errorRow{says: "403", status: []int{403}, to: verify},
		errorRow{says: "401", status: []int{401}, to: verify, class: providers.ClassPermanent},
	)
	return rows
}

func (r errorRow) line() string {
	class := string(r.class)
	if class == "" {
		class = "success"
	}
	if r.after > 0 {
		class += fmt.Sprintf(", not before %s", r.after)
	}
	var to []string
	for _, op := range r.to {
		to = append(to, string(op))
	}
	return fmt.Sprintf("| %s | %s | %s |", r.says, strings.Join(to, ", "), class)
}

// check holds what is made of a reply of this status against the line.
func (row errorRow) check(t *testing.T, r *rig, op providers.Op, status int) {
	t.Helper()
	reply := &providers.Reply{Status: status, Header: http.Header{}, Body: secret.New(row.body), At: r.clock.Now()}
	for k, v := range row.header {
		reply.Header.Set(k, v)
	}
	_, err := r.e.Read(shopCall(r, op), reply)
	var pe *providers.Error
	switch errors.As(err, &pe); {
	case row.class == "" && err != nil:
		t.Errorf("%s to %s, status %d: %v", row.says, op, status, err)
	case row.class != "" && (pe == nil || pe.Class != row.class || pe.RetryAfter != row.after || !pe.Reached):
		t.Errorf("%s to %s, status %d: %+v; want %s after %s", row.says, op, status, pe, row.class, row.after)
	}
}

// The table of docs/errors.md is what the code does, line by line.
func TestTheTableOfErrorsIsTrue(t *testing.T) {
	var w wire
	r, _ := newRig(t, typeOf(t, shop), record(&w), nil)
	table := []string{"| reply | to | class |", "| --- | --- | --- |"}
	for _, row := range errorRows() {
		table = append(table, row.line())
		for _, op := range row.to {
			for _, status := range row.status {
				row.check(t, r, op, status)
			}
		}
	}
	table = append(table, sendRows(t)...)
	checkTable(t, strings.Join(table, "\n"))
}

// sendRows are the lines of what keeps a reply from coming.
func sendRows(t *testing.T) []string {
	cut := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = c.Close()
		}
	})
	r, srv := newRig(t, typeOf(t, shop), cut, nil)
	send := func() *providers.Error {
		req, err := r.e.Prepare(shopCall(r, providers.OpGrant))
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.e.Send(context.Background(), req)
		var pe *providers.Error
		if !errors.As(err, &pe) {
			t.Fatalf("sent: %v", err)
		}
		return pe
	}
	var lines []string
	for _, c := range []struct {
		says    string
		before  func()
		class   providers.Class
		reached bool
	}{
		{"no complete reply once a byte was written: a timeout, a reset, a cut reply", func() {}, providers.ClassUnknown, true},
		{"nothing was written: DNS, a refused connection, TLS", srv.Close, providers.ClassTransient, false},
	} {
		c.before()
		if pe := send(); pe.Class != c.class || pe.Reached != c.reached {
			t.Errorf("%s: %+v; want %s", c.says, pe, c.class)
		}
		lines = append(lines, fmt.Sprintf("| %s | any | %s |", c.says, c.class))
	}
	return lines
}

func checkTable(t *testing.T, table string) {
	const begin, end = "<!-- table: replies -->\n\n", "\n\n<!-- end -->"
	b, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table between its marks", errorsPage)
	}
	if old == table {
		return
	}
	if !*updateErrors {
		t.Errorf("%s is not what the code does; write it anew with -update-docs\nis:\n%s\nwant:\n%s", errorsPage, old, table)
		return
	}
	if err := os.WriteFile(errorsPage, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A type's own error block goes before all that.
func TestATypesOwnErrorsGoFirst(t *testing.T) {
	src := strings.TrimSuffix(strings.TrimSpace(shop), "}") + `
  error {
    login     = body.code == "expired_session"
    permanent = status == 500 || status == 400
    transient = status == 401 || status == 403
    gone      = status == 404 && body.code == "none"
  }
}
`
	var w wire
	r, _ := newRig(t, typeOf(t, src), record(&w), nil)
	for _, c := range []struct {
		op     providers.Op
		status int
		body   string
		class  providers.Class
		after  time.Duration
	}{
		{providers.OpRefresh, 500, `{}`, providers.ClassPermanent, 0}, {providers.OpRefresh, 401, `{}`, providers.ClassTransient, 2 * time.Minute},
		{providers.OpRefresh, 400, `{"code":"expired_session"}`, providers.ClassLogin, 0},
		{providers.OpRefresh, 500, `{"code":"expired_session"}`, providers.ClassLogin, 0}, {providers.OpRefresh, 502, `{}`, providers.ClassUnknown, 0},
		{providers.OpRefresh, 403, `{}`, providers.ClassTransient, 2 * time.Minute},
		{providers.OpRefresh, 400, `{"error":"slow_down"}`, providers.ClassPermanent, 0},
		{providers.OpRefresh, 404, `{"code":"none"}`, providers.ClassPermanent, 0}, {providers.OpRevoke, 404, `{"code":"none"}`, providers.ClassGone, 0},
		{providers.OpRevoke, 404, `{}`, providers.ClassPermanent, 0},
		// What a type says of refusals does not make one of a token that is not known.
		{providers.OpRevoke, 400, `{"error":"invalid_token"}`, providers.ClassGone, 0}, {providers.OpRefresh, 400, `{"error":"invalid_token"}`, providers.ClassPermanent, 0},
		{providers.OpRevoke, 400, `{"error":"invalid_request"}`, providers.ClassPermanent, 0},
	} {
		_, err := r.e.Read(shopCall(r, c.op), &providers.Reply{Status: c.status, Header: http.Header{"Retry-After": {"120"}}, Body: secret.New(c.body), At: r.clock.Now()})
		var pe *providers.Error
		if !errors.As(err, &pe) || pe.Class != c.class || pe.RetryAfter != c.after {
			t.Errorf("%s: %d %s: %v, want %s", c.op, c.status, c.body, err, c.class)
		}
	}
}

// The code by which an API names an error is shown, and so is its text; the code of a
// login in a reply is not.
func TestAnErrorsCodeIsNoSecret(t *testing.T) {
	var w wire
	r, _ := newRig(t, typeOf(t, shop), record(&w), nil)
	for body, want := range map[string]string{
		`{"code":"used","message":"already used"}`:                       "already used",
		`{"code":"SESSION_ENDED","message":"SESSION_ENDED here"}`:        "SESSION_ENDED here",
		`{"code":"s9Xk27ab","message":"the code s9Xk27ab was not read"}`: "the code [secret] was not read",
	} {
		_, err := r.e.Read(shopCall(r, providers.OpRefresh), &providers.Reply{Status: 400, Header: http.Header{}, Body: secret.New(body), At: r.clock.Now()})
		var pe *providers.Error
		if !errors.As(err, &pe) || pe.Message != want {
			t.Errorf("%s: %+v, want %q", body, err, want)
		}
	}
}

// Every class is explained.
func TestEveryClassIsExplained(t *testing.T) {
	b, err := os.ReadFile(errorsPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []providers.Class{providers.ClassPermanent, providers.ClassTransient, providers.ClassThrottled, providers.ClassUnknown,
		providers.ClassLogin, providers.ClassUnreadable, providers.ClassGone, providers.ClassConfig} {
		if !strings.Contains(string(b), "\n| `"+string(c)+"` |") {
			t.Errorf("%s does not explain %s", errorsPage, c)
		}
	}
}
