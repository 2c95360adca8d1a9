package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever tries tokend without being root is told how.
func TestHintWhereAnOrdinaryUserMayNotWrite(t *testing.T) {
	denied := fmt.Errorf("opening the state: %w", &fs.PathError{Op: "mkdir", Path: "/var/lib/tokend", Err: syscall.EACCES})
	for _, c := range []struct {
		name        string
		err         error
		flag, named string
		g           globals
		want        string
	}{
		{"first start", denied, "--state DIR", "", globals{}, "run it as root or by its unit; as an ordinary user, give it places of its own: --state DIR --control PATH"},
		{"with a socket", denied, "--state DIR", "", globals{controlSet: true}, "run it as root or by its unit; as an ordinary user, give it places of its own: --state DIR"},
		{"the socket", denied, "--control PATH", "", globals{}, "run it as root or by its unit; as an ordinary user, give it places of its own: --control PATH"},
		{"a named place", denied, "--state DIR", "/srv/state", globals{}, "give a directory that this user may write to, or run it as the user that it belongs to"},
		{"another error", errors.New("disk full"), "--state DIR", "", globals{}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.g.ownPlaceHint(c.err, c.flag, c.named)
			if !errors.Is(err, c.err) {
				t.Errorf("the error is %v", err)
			}
			if got := hintOf(err); got != c.want {
				t.Errorf("the hint is %q, want %q", got, c.want)
			}
		})
	}
}

func TestSpellNamesWhatACommandNeeds(t *testing.T) {
	const text = "`tokend validate` shows where; tokend run, then tokend status (tokend running is no command)"
	for _, c := range []struct {
		name, want string
		g          globals
	}{
		{"nothing given", text, globals{asked: true}},
		{
			"a daemon's own", "`tokend --config /c --var-file /v validate` shows where; tokend --control /s run, then tokend --control /s status (tokend running is no command)",
			globals{config: "/c", configSet: true, control: "/s", controlSet: true, state: "/d", varFiles: []string{"/v"}, asked: true, served: true},
		},
		{
			"no daemon", "`tokend --config /c validate` shows where; tokend --config /c --state '/d e' run, then tokend --config /c --state '/d e' status (tokend running is no command)",
			globals{config: "/c", configSet: true, state: "/d e", asked: true},
		},
		{
			"a socket alone", "`tokend --control /s validate` shows where; tokend --control /s run, then tokend --control /s status (tokend running is no command)",
			globals{control: "/s", controlSet: true, served: true},
		},
		{"a variable's value", text, globals{vars: []string{"password=hunter2"}, asked: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.g.spell(text); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// dev runs a directory that is meant for a host with keys, secrets and a port
// that this machine has not, or has for somebody else, on what is built in; what
// it cannot run it names at once.
func TestDevRunsWhatIsMeantForAHost(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	config := filepath.Join(temp, "config")
	write(t, filepath.Join(config, "main.hcl"), `
tokend {
  listen = "`+busy.Addr().String()+`"
  state {
    path               = "`+filepath.Join(temp, "real-state")+`"
    systemd_credential = "state.key"
  }
}
vault "main" {
  address = "https://vault.example.com:8200"
  auth "token" { token = secret.systemd.password.value }
}
secret "systemd" "password" { name = "password" }
secret "file" "key" { path = "`+filepath.Join(temp, "no-such-key")+`" }
secret "vault_kv" "other" {
  mount = "kv"
  path  = "other"
}
credential "coinify" "trader" {
  grant      = "password"
  email      = "me@example.com"
  partner_id = "p"
  password   = secret.systemd.password.value
}
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-1"
  password = secret.file.key.value
}
sink "file" "trader" {
  path    = "`+filepath.Join(temp, "token")+`"
  content = "${credential.coinify.trader.access_token} ${credential.apirone.account.access_token}"
}
`)
	out := &watched{until: map[string]bool{
		"written address=sink.file.trader": false, "serving health and metrics": false,
		"a secret cannot be read here; dev makes one up": false, "CREDENTIALS_DIRECTORY is not set": false, "no-such-key": false,
		"dev asks no Vault, so whatever reads from vault.main or writes to it\nfails here.": false,
	}, done: cancel}
	status := run(ctx, process{args: []string{"dev", config}, environ: []string{"HOME=" + temp}, in: strings.NewReader(""), out: out, err: out})
	if missing := out.missing(); len(missing) > 0 || status != 0 {
		t.Errorf("dev exited with %d and did not show %q:\n%s", status, missing, out.text.String())
	}
	if _, err := os.Stat(filepath.Join(temp, "real-state")); err == nil {
		t.Error("dev made the host's state")
	}
}
