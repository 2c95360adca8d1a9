package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

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
	back, err := sentBack(p.url())
	if err != nil {
		p.t.Fatal(err)
	}
	return back
}

// sentBack is where a browser that opens an address is sent by it.
func sentBack(address string) (string, error) {
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := browser.Get(address)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if back := res.Header.Get("Location"); back != "" {
		return back, nil
	}
	said, _ := io.ReadAll(res.Body)
	return "", fmt.Errorf("the API answered %s: %s", res.Status, said)
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
