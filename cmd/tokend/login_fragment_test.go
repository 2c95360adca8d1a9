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

// A fragment reaches no server: the page's script hands it over, and one that carries
// the login's own state finishes it, in the daemon's pages and in the command's.
func TestAFragmentWithOurStateEndsTheLogin(t *testing.T) {
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
			p := l.person("coinsph.wallet")
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
					if !pages && c.status == http.StatusOK && l.api.Counts(standin.CoinsPh).Grants == 1 {
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
			l.grants(standin.CoinsPh, 1)
			code := mustParse(t, "?"+fragment).Query().Get("code")
			if code == "" || strings.Contains(l.daemon.log.String(), code) {
				t.Error("the log has the code")
			}
		})
	}
}
