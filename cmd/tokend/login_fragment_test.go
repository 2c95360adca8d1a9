package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"tokend/pkg/standin"
)

// atEachReceiver runs a test of a login of Coins.ph, whose values come back in the
// fragment, for each who may receive that: the daemon's pages, and the command.
func atEachReceiver(t *testing.T, f func(t *testing.T, p *person, at string, pages bool)) {
	t.Parallel()
	for _, pages := range []bool{true, false} {
		t.Run(fmt.Sprintf("the daemon's pages %v", pages), func(t *testing.T) {
			t.Parallel()
			at := ownLoopback(t)
			listen := ""
			if pages {
				listen = at
			}
			l := callbackLab(t, listen, "http://"+at+"/callback")
			l.start()
			f(t, l.person("coinsph.wallet"), at, pages)
		})
	}
}

// An API that returns no state leaves nothing to tell its redirect from another's by:
// a page of another site can send the browser here with a code of its own account. So
// a visit does not finish such a login, in the daemon's pages and in the command's;
// the person pastes the address.
func TestAVisitWithoutOurStateEndsNoLogin(t *testing.T) {
	atEachReceiver(t, func(t *testing.T, p *person, _ string, _ bool) {
		back := p.approved()
		if said := p.out.String(); strings.Contains(said, "for the browser to come back") || !strings.Contains(said, "Its last page does not end this login, unless it says so") {
			t.Error(said)
		}
		page, fragment, ok := strings.Cut(back, "#")
		if !ok || mustParse(t, "?"+fragment).Query().Has("state") {
			t.Fatalf("the stand-in sent %s", back)
		}
		p.visits(page, http.StatusBadRequest, "scripts are off")
		p.visits(page+"?"+fragment, http.StatusBadRequest, "paste it where")
		p.visits(page+"?"+fragment+"&state=buyorder", http.StatusBadRequest, "another login")
		p.visits(page+"?error=access_denied&error_description=Call+us", http.StatusBadRequest, "paste it where")
		for _, state := range []string{"", "&state=buyorder"} {
			res, err := http.PostForm(page, url.Values{"fragment": {fragment + state}, "query": {""}})
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusBadRequest {
				t.Errorf("handed over with %q: %s", state, res.Status)
			}
		}
		p.grants(standin.CoinsPh, 0)
		fmt.Fprintln(p.in, back)
		if said := p.ends(0); strings.Contains(said, "Call us") {
			t.Error(said)
		}
		p.grants(standin.CoinsPh, 1)
	})
}

// A fragment reaches no server: the page's script hands it over, and one that carries
// the login's own state finishes it, in the daemon's pages and in the command's.
func TestAFragmentWithOurStateEndsTheLogin(t *testing.T) {
	atEachReceiver(t, func(t *testing.T, p *person, at string, pages bool) {
		page, fragment, _ := strings.Cut(p.approved(), "#")
		state := mustParse(t, p.url()).Query().Get("state")
		if !regexp.MustCompile(`^[\w-]{43}$`).MatchString(state) {
			t.Fatalf("the page's script would not hand %q over", state)
		}
		for _, c := range []struct {
			state, says string
			status      int
		}{{strings.Repeat("x", 43), "another login", http.StatusBadRequest}, {state, "Logged in", http.StatusOK}, {state, "Logged in", http.StatusOK}} {
			form := url.Values{"fragment": {fragment + "&state=" + c.state}, "query": {""}}.Encode()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, page, strings.NewReader(form))
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://" + at, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"} {
				req.Header.Set(name, value)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				if !pages && c.status == http.StatusOK && p.api.Counts(standin.CoinsPh).Grants == 1 {
					continue // the command has ended, and its page with it
				}
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != c.status || !strings.Contains(string(body), c.says) {
				t.Errorf("with the state %q: %s\n%s", c.state, res.Status, body)
			}
		}
		if said := p.ends(0); !strings.Contains(said, "coinsph.wallet: logged in") {
			t.Error(said)
		}
		p.grants(standin.CoinsPh, 1)
		code := mustParse(t, "?"+fragment).Query().Get("code")
		if code == "" || strings.Contains(p.daemon.log.String(), code) {
			t.Error("the log has the code")
		}
	})
}
