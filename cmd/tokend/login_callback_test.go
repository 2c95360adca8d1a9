package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// The daemon's own pages receive the redirect where they are at its address.
func TestLoginByTheDaemonsPages(t *testing.T) {
	t.Parallel()
	at := ownLoopback(t)
	l := callbackLab(t, at, "http://"+at+"/callback")
	l.start()
	p := l.person("cryptohopper.bot")
	back := p.approved()
	if !strings.HasPrefix(back, "http://"+at+"/callback?") {
		t.Fatalf("it is sent back to %s", back)
	}
	l.visits("http://"+at+"/callback?code=forged&state=forged", http.StatusBadRequest, "another login")
	l.visits("http://"+at+"/callback", http.StatusBadRequest, "Nothing was handed over")
	l.visits(back, http.StatusOK, "Logged in")
	if said := p.ends(0); !strings.Contains(said, "Waiting until ") || !strings.Contains(said, "cryptohopper.bot: logged in") {
		t.Error(said)
	}
	l.visits(back, http.StatusOK, "Logged in") // the browser's second visit sends nothing
	l.grants(standin.Cryptohopper, 1)
	if b, err := os.ReadFile(filepath.Join(l.out, "bot")); err != nil || len(b) == 0 {
		t.Errorf("its sink when login says that it is there: %q %v", b, err)
	}
	l.visits("http://"+at+"/callback?code=x&state=y", http.StatusNotFound, "No login waits here")
	code := mustParse(t, back).Query().Get("code")
	if code == "" || strings.Contains(l.daemon.log.String(), code) {
		t.Error("the log has the code")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, back, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "rebound.example"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("asked by another name it answers %s", res.Status)
	}
}

func mustParse(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Where nobody listens at the redirect URI, the command does, for as long as the
// login takes: with a daemon, and away from one.
func TestLoginReceivesTheRedirect(t *testing.T) {
	t.Parallel()
	for _, daemon := range []bool{true, false} {
		t.Run(fmt.Sprintf("daemon %v", daemon), func(t *testing.T) {
			t.Parallel()
			at := ownLoopback(t)
			l := callbackLab(t, "", "http://"+at+"/callback")
			if daemon {
				l.start()
			}
			p := l.person("cryptohopper.bot")
			back := p.approved()
			l.visits("http://"+at+"/favicon.ico", http.StatusNotFound, "")
			l.visits("http://"+at+"/callback?code=forged&state=forged", http.StatusBadRequest, "another login")
			if res, err := http.Head(back); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("a look at the head: %v %v", res, err)
			}
			l.grants(standin.Cryptohopper, 0)
			l.visits(back, http.StatusOK, "Logged in")
			p.ends(0)
			l.grants(standin.Cryptohopper, 1)
			if c, err := net.Dial("tcp", at); err == nil {
				c.Close()
				t.Error("it listens on after the login")
			}
			if said := l.must("get", "cryptohopper.bot"); strings.TrimSpace(said) == "" {
				t.Error("there is no token")
			}
		})
	}
}

// A redirect URI that leaves the port open has the command open a free one.
func TestLoginOpensAFreePort(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"http://127.0.0.1:0/back", "http://localhost/back"} {
		t.Run(uri, func(t *testing.T) {
			t.Parallel()
			l := callbackLab(t, "", uri)
			p := l.person("cryptohopper.bot")
			back := mustParse(t, p.approved())
			if back.Port() == "" || back.Port() == "0" || back.Path != "/back" {
				t.Fatalf("it is sent back to %s", back)
			}
			l.visits(back.String(), http.StatusOK, "Logged in")
			p.ends(0)

			// Pasting needs no port, and the provider is told of none.
			p = l.person("--paste", "cryptohopper.bot")
			l.until("login prints an address", func() (bool, string) { return printedURL.MatchString(p.out.String()), p.err.String() })
			u := mustParse(t, strings.TrimSpace(p.out.String()))
			if got, want := u.Query().Get("redirect_uri"), strings.Replace(uri, ":0", "", 1); got != want {
				t.Errorf("redirect_uri is %s, want %s", got, want)
			}
			p.giveUp()
			p.ends(1)
		})
	}
}

// Where the port is taken, and wherever the browser is on another machine, the
// address is pasted, while the login listens as well as where it cannot. What is
// pasted wrongly can be pasted again.
func TestLoginByPastingWhileItListens(t *testing.T) {
	t.Parallel()
	for _, taken := range []bool{true, false} {
		t.Run(fmt.Sprintf("taken %v", taken), func(t *testing.T) {
			t.Parallel()
			at := ownLoopback(t)
			l := callbackLab(t, "", "http://"+at+"/callback")
			if taken {
				ln, err := net.Listen("tcp", at)
				if err != nil {
					t.Fatal(err)
				}
				defer ln.Close()
			}
			l.start()
			p := l.person("cryptohopper.bot")
			back := p.approved()
			if barred := strings.Contains(p.out.String(), at+" is taken by another process"); barred != taken {
				t.Error(p.out.String())
			}
			fmt.Fprintf(p.in, "\n%s\n", p.url())
			l.until("it says what was wrong", func() (bool, string) {
				return strings.Contains(p.err.String(), "it is the one to open"), p.err.String()
			})
			fmt.Fprintf(p.in, "http://%s/callback?code=forged&state=forged\n", at)
			l.until("it says what was wrong", func() (bool, string) {
				return strings.Contains(p.err.String(), "not the one of this login"), p.err.String()
			})
			fmt.Fprintln(p.in, back)
			p.ends(0)
			l.grants(standin.Cryptohopper, 1)
		})
	}
}

// A login goes on where the daemon is restarted between its two ends: who waits
// goes on waiting, and the redirect is taken by the daemon that is there then.
func TestLoginOutlivesARestart(t *testing.T) {
	t.Parallel()
	at := ownLoopback(t)
	l := callbackLab(t, at, "http://"+at+"/callback")
	l.start()
	p := l.person("cryptohopper.bot")
	back := p.approved()
	l.stop()
	l.start()
	l.visits(back, http.StatusOK, "Logged in")
	p.ends(0)
	l.grants(standin.Cryptohopper, 1)

	// The same by a paste, which waits for the daemon that comes.
	p = l.person("cryptohopper.bot")
	back = p.approved()
	l.stop()
	fmt.Fprintln(p.in, back) // while there is nobody to take it
	l.start()
	p.ends(0)
	l.grants(standin.Cryptohopper, 2)

	// What changed meanwhile makes it a login for something else.
	p = l.person("cryptohopper.bot")
	back = p.approved()
	l.stop()
	l.edit("main.hcl", `"read"`, `"read", "trade"`)
	l.start()
	l.visits(back, http.StatusForbidden, "its configuration changed since this login began (scopes)")
	if said := p.ends(1); !strings.Contains(said, "the code was not sent") {
		t.Error(said)
	}
	l.grants(standin.Cryptohopper, 2)
}

// Two logins at once, to two credentials and to one, are told apart by their state.
func TestTwoLoginsAtOnce(t *testing.T) {
	t.Parallel()
	at := ownLoopback(t)
	l := callbackLab(t, at, "http://"+at+"/callback")
	l.edit("main.hcl", `sink "file" "bot"`, `credential "cryptohopper" "other" {
  grant         = "authorization_code"
  client_id     = "q10"
  client_secret = secret.file.client.value
  scopes        = ["read"]
  redirect_uri  = "http://`+at+`/callback"
}
sink "file" "bot"`)
	l.start()
	bot, other, again := l.person("cryptohopper.bot"), l.person("cryptohopper.other"), l.person("cryptohopper.bot")
	toBot, toOther, toAgain := bot.approved(), other.approved(), again.approved()
	l.visits(toOther, http.StatusOK, "cryptohopper.other")
	l.visits(toBot, http.StatusOK, "cryptohopper.bot")
	l.visits(toAgain, http.StatusOK, "cryptohopper.bot")
	for _, p := range []*person{bot, other, again} {
		p.ends(0)
	}
	l.grants(standin.Cryptohopper, 3)
}

// What the provider refuses ends the login, for who is at the browser and for who
// waits at the terminal.
func TestLoginThatIsRefused(t *testing.T) {
	t.Parallel()
	at := ownLoopback(t)
	l := callbackLab(t, at, "http://"+at+"/callback")
	l.start()
	p := l.person("cryptohopper.bot")
	state := mustParse(t, p.url()).Query().Get("state")
	refusal := "http://" + at + "/callback?error=1&message=User+did+not+give+permission+to+the+app.&state=" + url.QueryEscape(state)
	l.visits(refusal, http.StatusForbidden, "User did not give permission to the app.")
	if said := p.ends(1); !strings.Contains(said, "User did not give permission") || !strings.Contains(said, "hint: ") {
		t.Error(said)
	}
	// A code that the API refuses.
	p = l.person("cryptohopper.bot")
	state = mustParse(t, p.url()).Query().Get("state")
	l.visits("http://"+at+"/callback?code=made-up-code&state="+url.QueryEscape(state), http.StatusForbidden, "Not logged in")
	if said := p.ends(1); strings.Contains(said, "made-up-code") {
		t.Error(said)
	}
	l.grants(standin.Cryptohopper, 0)
	l.untilState("credential.cryptohopper.bot", reconcile.NeedsLogin)
}
