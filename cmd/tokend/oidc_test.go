package main

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	parts "tokend/test/rig"
)

// The generic oauth2 type against a certified authorization server that is not
// ours: discovery, client credentials, an authorization code with PKCE, rotation
// with reuse detection, revocation.
func TestOAuth2AgainstARealServer(t *testing.T) {
	server := parts.OIDC(t, parts.OIDCOptions{AccessTokenTTL: 4})
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	write(t, filepath.Join(config, "service.secret"), oidcSecret("service"))
	write(t, filepath.Join(config, "web.secret"), oidcSecret("web"))
	main := `
tokend {
  defaults {
    refresh { min_remaining = "1s" }
  }
  guard {
    settle              = "100ms"
    max_revoked_percent = 100
  }
}
secret "file" "service" { path = "service.secret" }
secret "file" "web" { path = "web.secret" }
credential "oauth2" "service" {
  grant         = "client_credentials"
  issuer        = "` + server.Issuer + `"
  client_id     = "service"
  client_secret = secret.file.service.value
}
`
	person := `
credential "oauth2" "person" {
  grant         = "authorization_code"
  issuer        = "` + server.Issuer + `"
  client_id     = "web"
  client_secret = secret.file.web.value
  scopes        = ["openid", "offline_access"]
}
sink "file" "person" {
  path    = "` + filepath.Join(dir, "person.token") + `"
  content = credential.oauth2.person.access_token
}
`
	write(t, filepath.Join(config, "main.hcl"), main)
	write(t, filepath.Join(config, "person.hcl"), person)
	env := []string{"CONFIGURATION_DIRECTORY=" + config, "STATE_DIRECTORY=" + filepath.Join(dir, "state"), "RUNTIME_DIRECTORY=" + socketDir(t)}
	stop := daemonFor(t, env)
	defer stop()

	soon(t, func() bool {
		return regexp.MustCompile(`ready \(generation ([2-9]|\d\d)`).MatchString(command(t, env, "status", "oauth2.service"))
	})
	soon(t, func() bool { // by the time that it is asked for, one that was got may have expired
		return server.Active("service", oidcSecret("service"), strings.TrimSpace(command(t, env, "get", "oauth2.service", "--min-valid", "0s")))
	})

	loginByBrowser(t, env, "oauth2.person", server.Browse)
	soon(t, func() bool {
		return regexp.MustCompile(`ready \(generation ([3-9]|\d\d)`).MatchString(command(t, env, "status", "oauth2.person"))
	})
	soon(t, func() bool {
		return server.Active("web", oidcSecret("web"), read(t, filepath.Join(dir, "person.token")))
	})

	refresh := strings.TrimSpace(command(t, env, "get", "oauth2.person", "--min-valid", "0s"))
	if err := os.Remove(filepath.Join(config, "person.hcl")); err != nil {
		t.Fatal(err)
	}
	soon(t, func() bool { return !strings.Contains(command(t, env, "status"), "oauth2.person") })
	if _, err := os.Stat(filepath.Join(dir, "person.token")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if server.Active("web", oidcSecret("web"), refresh) {
		t.Error("the token lives on at the server after its block was removed")
	}
}

// oidcSecret is the secret that the server knows a client by.
func oidcSecret(client string) string { return client + "-secret" }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// socketDir is a directory with a short name, for a control socket.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tokend")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// command runs one command line and returns what it prints.
func command(t *testing.T, env []string, args ...string) string {
	t.Helper()
	var out record
	run(context.Background(), process{args: args, environ: env, in: strings.NewReader(""), out: &out, err: &out})
	return out.String()
}

// daemonFor runs the daemon until the returned function is called.
func daemonFor(t *testing.T, env []string) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var log bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, process{args: []string{"run"}, environ: env, in: strings.NewReader(""), out: io.Discard, err: &log})
	}()
	return func() {
		cancel()
		if status := <-ended; status != 0 || t.Failed() {
			t.Logf("the daemon exited with %d:\n%s", status, log.String())
		}
	}
}

// soon polls until a condition holds.
func soon(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("it did not come true within a minute")
		}
	}
}

// loginByBrowser logs in by --paste, with somebody who approves.
func loginByBrowser(t *testing.T, env []string, addr string, browse func(string) (*url.URL, error)) {
	t.Helper()
	in, answer := io.Pipe()
	urls, out := io.Pipe()
	done := make(chan int, 1)
	var said bytes.Buffer
	go func() {
		done <- run(context.Background(), process{args: []string{"login", "--paste", addr}, environ: env, in: in, out: out, err: &said})
		out.Close()
	}()
	first := make([]byte, 8192)
	n, err := urls.Read(first)
	if err != nil {
		t.Fatalf("login printed no address: %s", said.String())
	}
	go func() { _, _ = io.Copy(io.Discard, urls) }()
	to, err := browse(strings.TrimSpace(string(first[:n])))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(answer, to.String()+"\n"); err != nil {
		t.Fatal(err)
	}
	if status := <-done; status != 0 {
		t.Fatalf("login exited with %d: %s", status, said.String())
	}
}
