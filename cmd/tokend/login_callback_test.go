package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// ownLoopback is a loopback address that no other test uses, with the port of the
// default redirect URI: all of 127/8 is this machine.
func ownLoopback(t *testing.T) string {
	t.Helper()
	var b [3]byte
	_, _ = rand.Read(b[:])
	at := fmt.Sprintf("127.%d.%d.%d:8250", 1+b[0]%250, b[1], 1+b[2]%250)
	ln, err := net.Listen("tcp", at)
	if err != nil {
		t.Skipf("cmd/tokend: this machine has no loopback address but 127.0.0.1: %v", err)
	}
	ln.Close()
	return at
}

const callbackConfig = `
tokend {
  %s
}
variable "out" { type = string }
secret "file" "client" { path = "client" }
credential "cryptohopper" "bot" {
  grant         = "authorization_code"
  client_id     = "q9"
  client_secret = secret.file.client.value
  scopes        = ["read"]
  redirect_uri  = %q
}
credential "coinsph" "wallet" {
  grant         = "authorization_code"
  client_id     = "m1x"
  client_secret = secret.file.client.value
  scopes        = ["buyorder"]
  redirect_uri  = %q
}
sink "file" "bot" {
  path    = "${var.out}/bot"
  content = credential.cryptohopper.bot.access_token
}
`

// callbackLab has two credentials that need a person and are sent back to uri.
func callbackLab(t *testing.T, listen, uri string) *lab {
	t.Helper()
	l := newLab(t, standin.Rules{})
	if listen != "" {
		listen = fmt.Sprintf("listen = %q", listen)
	}
	l.write("client", "a-client-secret\n")
	l.write("main.hcl", fmt.Sprintf(callbackConfig, listen, uri, uri))
	return l
}

// person is at a `tokend login` that was not told to wait for a paste.
type person struct {
	*lab
	out, err record
	in       *io.PipeWriter
	status   chan int
	giveUp   context.CancelFunc
}

func (l *lab) person(args ...string) *person {
	l.t.Helper()
	p := &person{lab: l, status: make(chan int, 1)}
	ctx, cancel := context.WithCancel(l.t.Context())
	p.giveUp = cancel
	in, paste := io.Pipe()
	p.in = paste
	go func() { p.status <- l.globals(in, &p.out, &p.err, append([]string{"login"}, args...)).run(ctx) }()
	l.t.Cleanup(cancel)
	return p
}

var printedURL = regexp.MustCompile(`(?m)^ *(https?://\S+)$`)

// url is the address that was printed.
func (p *person) url() string {
	p.t.Helper()
	var m []string
	p.until("login prints an address", func() (bool, string) {
		m = printedURL.FindStringSubmatch(p.out.String())
		return m != nil && strings.Contains(p.out.String(), "press Enter"), p.out.String() + p.err.String()
	})
	return m[1]
}

// approved is where the stand-in sends the browser.
func (p *person) approved() string {
	p.t.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(p.url())
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body.Close()
	if res.Header.Get("Location") == "" {
		p.t.Fatalf("the stand-in answered %s", res.Status)
	}
	return res.Header.Get("Location")
}

// ends waits for the command's end.
func (p *person) ends(status int) string {
	p.t.Helper()
	got := -1
	p.until("login ends", func() (bool, string) {
		select {
		case got = <-p.status:
			return true, ""
		default:
			return false, p.out.String() + p.err.String()
		}
	})
	said := p.out.String() + p.err.String()
	if got != status {
		p.t.Fatalf("login ended with %d, want %d\n%s", got, status, said)
	}
	return said
}

// visit goes to an address as a browser does, and says what it is shown.
func (l *lab) visit(address string) (int, string) {
	l.t.Helper()
	res, err := http.Get(address)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (l *lab) visits(address string, status int, says string) {
	l.t.Helper()
	if got, body := l.visit(address); got != status || !strings.Contains(body, says) {
		l.t.Errorf("a visit of %s: %d, want %d and %q\n%s", address, got, status, says, body)
	}
}

func (l *lab) grants(api standin.API, want int) {
	l.t.Helper()
	if got := l.api.Counts(api).Grants; got != want {
		l.t.Errorf("%s issued %d tokens, want %d", api, got, want)
	}
}

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

// An API that returns no state leaves nothing to tell its redirect from another's by:
// a page of another site can send the browser here with a code of its own account. So
// a visit does not finish such a login, in the daemon's pages and in the command's;
// the person pastes the address.
func TestAVisitWithoutOurStateEndsNoLogin(t *testing.T) {
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
			back := p.approved()
			page, fragment, ok := strings.Cut(back, "#")
			if !ok || mustParse(t, "?"+fragment).Query().Has("state") {
				t.Fatalf("the stand-in sent %s", back)
			}
			l.visits(page, http.StatusBadRequest, "scripts are off")
			l.visits(page+"?"+fragment, http.StatusBadRequest, "paste it where")
			l.visits(page+"?"+fragment+"&state=buyorder", http.StatusBadRequest, "another login")
			l.visits(page+"?error=access_denied&error_description=Call+us", http.StatusBadRequest, "paste it where")
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
			l.grants(standin.CoinsPh, 0)
			fmt.Fprintln(p.in, back)
			if said := p.ends(0); strings.Contains(said, "Call us") {
				t.Error(said)
			}
			l.grants(standin.CoinsPh, 1)
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
