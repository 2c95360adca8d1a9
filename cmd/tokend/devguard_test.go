package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// dev on the directory of a real host asks nobody else, leaves the host's files
// as they are and runs none of its hooks.
func TestDevKeepsOutOfTheWayOfARealHost(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	host := t.TempDir()
	real, touched := filepath.Join(host, "real.token"), filepath.Join(host, "touched")
	write(t, real, "the real token")
	write(t, filepath.Join(host, "config", "pw"), "a-password")
	write(t, filepath.Join(host, "config", "main.hcl"), `
secret "file" "pw" { path = "pw" }
credential "coinify" "trader" {
  grant      = "password"
  email      = "me@example.com"
  partner_id = "p"
  password   = secret.file.pw.value
}
provider "apirone" { base_url = "http://127.0.0.1:9" }
credential "apirone" "elsewhere" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.pw.value
}
sink "file" "trader" {
  path    = "`+real+`"
  content = credential.coinify.trader.access_token
  owner   = "nobody-of-that-name"
  notify  = [hook.exec.touch]
}
hook "exec" "touch" {
  command  = ["touch", "`+touched+`"]
  debounce = "0s"
}
`)
	out := &watched{until: map[string]bool{"written address=sink.file.trader": false, "dev runs no hooks": false,
		"dev asks nobody but its own stand-ins, and 127.0.0.1:9 is none": false}, done: cancel}
	status := run(ctx, process{args: []string{"dev", filepath.Join(host, "config")}, environ: []string{"HOME=" + temp}, in: strings.NewReader(""), out: out, err: out})
	if missing := out.missing(); len(missing) > 0 || status != 0 {
		t.Errorf("dev exited with %d and did not show %q:\n%s", status, missing, out.text.String())
	}
	if got := read(t, real); got != "the real token" {
		t.Errorf("dev wrote %q over the host's file", got)
	}
	if _, err := os.Stat(touched); err == nil {
		t.Error("dev ran the host's hook")
	}
}

// A directory with types of one's own is told what dev can do with it; not even a
// login page of a real API is asked.
func TestDevSaysWhatItHasNoStandInFor(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	asked := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a real API was asked") }))
	defer asked.Close()
	write(t, filepath.Join(temp, "config", "pw"), "a-secret")
	write(t, filepath.Join(temp, "config", "main.hcl"), `
secret "file" "pw" { path = "pw" }
provider "oauth2" { allow_insecure_http = true }
credential "oauth2" "billing" {
  grant         = "client_credentials"
  token_url     = "`+asked.URL+`/token"
  client_id     = "billing"
  client_secret = secret.file.pw.value
}
credential "oauth2" "person" {
  grant         = "authorization_code"
  authorize_url = "`+asked.URL+`/authorize"
  token_url     = "`+asked.URL+`/token"
  client_id     = "person"
  client_secret = secret.file.pw.value
}
credential "coinify" "trader" {
  grant      = "password"
  email      = "me@example.com"
  partner_id = "p"
  password   = secret.file.pw.value
}
`)
	out := &watched{until: map[string]bool{"There is no stand-in for oauth2.billing, oauth2.person: they fail here": false,
		"approving a login at the stand-in failed": false, "any other, and Vault, is tried against a sandbox": false, "generation=5": false}, done: cancel}
	status := run(ctx, process{args: []string{"dev", "--lifetime", "2s", filepath.Join(temp, "config")}, environ: []string{"HOME=" + temp}, in: strings.NewReader(""), out: out, err: out})
	if missing := out.missing(); len(missing) > 0 || status != 0 {
		t.Errorf("dev exited with %d and did not show %q:\n%s", status, missing, out.text.String())
	}
	if n := strings.Count(out.text.String(), "approving a login at the stand-in failed"); n != 1 {
		t.Errorf("why a login cannot be approved was said %d times, of one that was tried again and again", n)
	}
	if strings.Contains(out.text.String(), "state=") {
		t.Errorf("dev showed the address of a login:\n%s", out.text.String())
	}
}

// A rotation can be rehearsed in dev: the key that is named is read, and the state is
// sealed with it.
func TestDevRotatesToTheKeyThatIsNamed(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	write(t, filepath.Join(temp, "config", "pw"), "a-secret")
	write(t, filepath.Join(temp, "config", "main.hcl"), `
secret "file" "pw" { path = "pw" }
credential "coinify" "trader" {
  grant      = "password"
  email      = "me@example.com"
  partner_id = "p"
  password   = secret.file.pw.value
}
`)
	key := filepath.Join(temp, "new.key")
	write(t, key, strings.Repeat("0123456789abcdef", 4)+"\n")
	obtained := make(chan struct{})
	out := &watched{until: map[string]bool{"obtained address=credential.coinify.trader": false}, done: sync.OnceFunc(func() { close(obtained) })}
	ended := make(chan int)
	go func() {
		ended <- run(ctx, process{args: []string{"dev", filepath.Join(temp, "config")}, environ: []string{"HOME=" + temp}, in: strings.NewReader(""), out: out, err: out})
	}()
	select {
	case <-obtained:
	case <-ctx.Done():
		t.Fatalf("dev did not show %q", out.missing())
	}
	sockets, err := filepath.Glob(filepath.Join(temp, "tokend-dev-*", "tokend.sock"))
	if err != nil || len(sockets) != 1 {
		t.Fatalf("the control sockets of dev are %q, %v", sockets, err)
	}
	rotate := func(file string) (string, int) {
		var said strings.Builder
		status := run(ctx, process{args: []string{"--control", sockets[0], "state", "rotate-key", "--key-file", file}, environ: []string{"HOME=" + temp}, in: strings.NewReader(""), out: &said, err: &said})
		return said.String(), status
	}
	if said, status := rotate(filepath.Join(temp, "nowhere.key")); status != exitFailed || !strings.Contains(said, "nowhere.key: no such file") {
		t.Errorf("a key that is not there: exit status %d, %s", status, said)
	}
	if said, status := rotate(key); status != exitOK || !strings.Contains(said, `sealed with the key file "`+key+`" now`) {
		t.Errorf("a key that is there: exit status %d, %s", status, said)
	}
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("dev exited with %d", status)
	}
}
