package reconcile

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

var updateDocs = flag.Bool("update-docs", false, "write the table of refusals in docs/errors.md anew")

// refusalType has an error block that knows a refusal of its own.
const refusalType = `
provider "api" {}
provider_type "api" {
  config "base_url" {
    type    = string
    default = "https://api.example"
  }
  error {
    permanent = status == 403 && body.why == "token"
    transient = status == 403 && body.why == "busy"
    login     = status == 403 && body.why == "login"
  }
  grant "plain" {
    request {
      method = "POST"
      url    = "${config.base_url}/token"
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
  }
  refresh {
    rotates = true
    request {
      method = "POST"
      url    = "${config.base_url}/token"
      form   = { refresh_token = token.refresh_token }
    }
  }
}
credential "api" "a" {}
`

// bearingRow is a line of the table of docs/errors.md: replies, or what came instead,
// and what they mean for the refresh token, by who could bring another token.
type bearingRow struct {
	says   string
	status []int
	body   []string
	none   *providers.Error // no reply came
	// Of a token that works once, and of one that stays the same; one word stands for both.
	login, grant, revive []bearing
}

func same(b bearing) []bearing { return []bearing{b, b} }

// either is what tells nothing for certain.
func either() []bearing { return []bearing{tokenMaySpend, tokenDoubted} }

func bearingRows() []bearingRow {
	const page = "<html><h1>Bad</h1></html>"
	const coded4xx = `{"statusCode":401,"error":"Unauthorized"}` // a code that says nothing
	bare := []string{"", "{}", `{"message":"Forbidden"}`, "no"}
	quiet := append(slices.Clone(bare), coded4xx)
	any4xx := []int{402, 403, 406, 409, 410, 411, 412, 413, 415, 418, 422, 423, 424, 426, 428, 431, 451}
	coded := []int{200, 400, 401, 403, 409, 422}
	codes := func(all ...string) []string {
		for i, c := range all {
			all[i] = fmt.Sprintf(`{"error":%q}`, c)
		}
		return all
	}
	return []bearingRow{
		{"the type's own `error` block says `permanent` or `login`", []int{403}, []string{`{"why":"token"}`, `{"why":"login"}`}, nil, same(tokenRefused), same(tokenRefused), same(tokenRefused)},
		{"the type's own `error` block says `transient`", []int{403}, []string{`{"why":"busy"}`}, nil, same(tokenUnspent), same(tokenUnspent), same(tokenUnspent)},
		{"`invalid_grant`, `invalid_token`, `token_not_found`, `bad_refresh_token`, `invalid_refresh_token`", coded, codes("invalid_grant", "invalid_token", "token_not_found", "bad_refresh_token", "invalid_refresh_token"), nil, same(tokenRefused), same(tokenRefused), same(tokenRefused)},
		{"`login_required`, `interaction_required`, `consent_required`, `account_selection_required`", coded, codes("login_required", "interaction_required", "consent_required", "account_selection_required"), nil, same(tokenRefused), same(tokenRefused), same(tokenRefused)},
		{"`invalid_client`, `unauthorized_client`, `unsupported_grant_type`, `invalid_scope`, `incorrect_client_credentials`, `bad_client_secret`, `invalid_client_id`", coded, codes("invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "incorrect_client_credentials", "bad_client_secret", "invalid_client_id"), nil, same(requestRefused), same(tokenRefused), same(requestRefused)},
		{"3xx; 404, 405 without a code", []int{300, 301, 302, 303, 304, 307, 308, 404, 405}, []string{"", "{}", page}, nil, same(requestRefused), same(tokenRefused), same(requestRefused)},
		{"`invalid_request`", coded, codes("invalid_request"), nil, same(tokenDoubted), same(tokenRefused), same(requestRefused)},
		{"400 with another code, or none", []int{400}, append(quiet, codes("no_such_thing")...), nil, same(tokenRefused), same(tokenRefused), same(tokenRefused)},
		{"400, 401 with a web page", []int{400, 401}, []string{page}, nil, either(), same(tokenRefused), same(tokenDoubted)},
		{"401 with another code, or none", []int{401}, append(quiet, codes("no_such_thing")...), nil, either(), same(tokenRefused), same(tokenDoubted)},
		{"404, 405 with another code", []int{404, 405}, codes("no_such_thing"), nil, either(), same(tokenRefused), same(tokenDoubted)},
		{"any other 4xx with another code", any4xx, append(codes("access_denied"), coded4xx), nil, either(), same(tokenRefused), same(tokenDoubted)},
		{"any other 4xx without a code: a gateway's 403, 409, 413, 423", any4xx, bare, nil, either(), same(tokenGivenUp), same(tokenDoubted)},
		{"any other 4xx with a web page", any4xx, []string{page}, nil, either(), either(), either()},
		{"2xx with an `error` that has another code, or none", []int{200, 201, 202}, []string{`{"error":"no_such_thing"}`, `{"error":{"message":"no"}}`, `{"error":"it did not work"}`}, nil, either(), same(tokenRefused), same(tokenDoubted)},
		{"408, 421, 425; `temporarily_unavailable`, `authorization_pending`", []int{408, 421, 425}, []string{"", "{}", page}, nil, same(tokenUnspent), same(tokenUnspent), same(tokenUnspent)},
		{"", coded, codes("temporarily_unavailable", "authorization_pending"), nil, same(tokenUnspent), same(tokenUnspent), same(tokenUnspent)},
		{"429, 503; `slow_down`", []int{429, 503}, []string{"", "{}", page}, nil, same(tokenUnspent), same(tokenUnspent), same(tokenUnspent)},
		{"", coded, codes("slow_down"), nil, same(tokenUnspent), same(tokenUnspent), same(tokenUnspent)},
		{"any other 5xx, 1xx; `server_error`; 2xx with a web page or nothing; no reply once a byte was written", []int{101, 199, 500, 501, 502, 504, 520, 599}, []string{"", "{}", page}, nil, same(tokenMaySpend), same(tokenMaySpend), same(tokenMaySpend)},
		{"", coded, codes("server_error"), nil, same(tokenMaySpend), same(tokenMaySpend), same(tokenMaySpend)},
		{"", []int{200, 201, 202}, []string{"", page}, nil, same(tokenMaySpend), same(tokenMaySpend), same(tokenMaySpend)},
		{"", nil, nil, &providers.Error{Class: providers.ClassUnknown, Reached: true}, same(tokenMaySpend), same(tokenMaySpend), same(tokenMaySpend)},
		{"nothing was written: DNS, a refused connection, TLS", nil, nil, &providers.Error{Class: providers.ClassTransient}, same(tokenUnspent), same(tokenUnspent), same(tokenUnspent)},
		{"not sent: the configuration does not allow it", nil, nil, &providers.Error{Class: providers.ClassConfig}, same(requestRefused), same(tokenRefused), same(requestRefused)},
		{"not sent: the host's policy forbids it", nil, nil, &providers.Error{Class: providers.ClassConfig, Err: providers.ErrForbidden}, same(tokenUnspent), same(tokenUnspent), same(tokenUnspent)},
	}
}

// errorsOf are what the provider's interpreter makes of the replies of a line.
func (r bearingRow) errorsOf(t *testing.T, e *providers.Endpoint) map[string]*providers.Error {
	t.Helper()
	if r.none != nil {
		return map[string]*providers.Error{"none": r.none}
	}
	all := map[string]*providers.Error{}
	for _, status := range r.status {
		for _, body := range r.body {
			c := providers.Call{Op: providers.OpRefresh, Grant: "plain", Token: providers.Token{RefreshToken: secret.New("rt")}, Now: time.Unix(1e9, 0)}
			_, err := e.Read(c, &providers.Reply{Status: status, Header: http.Header{}, Body: secret.New(body), At: c.Now})
			var pe *providers.Error
			if !errors.As(err, &pe) {
				t.Fatalf("%d %s: %v", status, body, err)
			}
			all[fmt.Sprintf("%d %s", status, body)] = pe
		}
	}
	return all
}

func (r bearingRow) line() string {
	cell := func(b []bearing) string {
		if b[0] == b[1] {
			return string(b[0])
		}
		return fmt.Sprintf("%s / %s", b[0], b[1])
	}
	return fmt.Sprintf("| %s | %s | %s | %s |", r.says, cell(r.login), cell(r.grant), cell(r.revive))
}

// What the failure of a refresh means for its refresh token is what the table of
// docs/errors.md says, reply by reply.
func TestTheTableOfRefusedRefreshesIsTrue(t *testing.T) {
	cfg, diags := spec.LoadFiles("/config", map[string][]byte{"main.hcl": []byte(refusalType)}, spec.Options{})
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	p, err := cfg.Provider("provider.api.default", spec.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := providers.NewEndpoint(p, providers.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	table := []string{"| reply to a refresh | only a person brings another | a grant brings another | of an old token, to revoke it |", "| --- | --- | --- | --- |"}
	for _, row := range bearingRows() {
		if row.says != "" {
			table = append(table, row.line())
		}
		for name, pe := range row.errorsOf(t, e) {
			for i, once := range []bool{true, false} {
				for _, c := range []struct {
					op     string
					person bool
					want   []bearing
				}{{opRefresh, true, row.login}, {opRefresh, false, row.grant}, {opRevive, true, row.revive}} {
					if got := bearingOf(pe, c.op, once, c.person); got != c.want[i] {
						t.Errorf("%s (%s) to %s, once %v, person %v: %s, want %s", name, pe.Class, c.op, once, c.person, got, c.want[i])
					}
				}
			}
		}
	}
	checkRefusals(t, strings.Join(table, "\n"))
}

func checkRefusals(t *testing.T, table string) {
	const page, begin, end = "../../docs/errors.md", "<!-- table: refusals -->\n\n", "\n\n<!-- end of refusals -->"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	old, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has no table between its marks", page)
	case old == table:
	case *updateDocs:
		if err := os.WriteFile(page, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s is not what the code does; write it anew with -update-docs\nis:\n%s\nwant:\n%s", page, old, table)
	}
}
