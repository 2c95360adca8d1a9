package vault_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
	"tokend/pkg/vault"
	"tokend/test/rig"
)

func TestEveryLoginReadsASecret(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "trading/coinify", map[string]any{"password": "pw-1"})
	v.Policy("kv", kvPolicy)
	v.EnableAuth("approle", "machines/approle")
	roleID, secretID := v.AppRole("machines/approle", "tokend", map[string]any{"token_policies": "kv", "token_ttl": "1h"})
	file := filepath.Join(t.TempDir(), "token")
	token := v.CreateToken(map[string]any{"policies": []string{"kv"}, "ttl": "1h"})
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	approle := byAppRole(v.Addr, roleID, secretID)
	approle.Auth = approle.Auth.With("mount", cty.StringVal("/machines/approle/"))
	for name, settings := range map[string]vault.Settings{
		"token":      byToken(v.Addr, token),
		"root token": byToken(v.Addr, v.Token),
		"token_file": {Address: v.Addr, AuthKind: "token_file", Auth: spec.NewValues(map[string]cty.Value{"path": cty.StringVal(file)})},
		"approle":    approle,
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := newPool(t, settings)
			got, meta, err := client(t, p).ReadKV(t.Context(), "kv", "trading/coinify", 0)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]any{"password": "pw-1"}, got); diff != "" || meta.Version != 1 || meta.Engine != 2 {
				t.Errorf("meta %+v, data (-want +got):\n%s", meta, diff)
			}
		})
	}
}

func TestRefusedLoginsSayWhy(t *testing.T) {
	v := rig.Vault(t)
	v.EnableAuth("approle", "approle")
	roleID, _ := v.AppRole("approle", "tokend", map[string]any{"token_ttl": "1h"})
	missing := filepath.Join(t.TempDir(), "missing")
	tests := map[string]struct {
		settings vault.Settings
		class    error
		says     string
	}{
		"wrong secret id":   {byAppRole(v.Addr, roleID, "canary-secret-id"), vault.ErrDenied, "check role_id and secret_id"},
		"wrong role id":     {byAppRole(v.Addr, "canary-role-id", "canary-secret-id"), vault.ErrDenied, "check role_id and secret_id"},
		"wrong token":       {byToken(v.Addr, "canary-token"), vault.ErrDenied, "has expired or was revoked"},
		"no such file":      {vault.Settings{Address: v.Addr, AuthKind: "token_file", Auth: spec.NewValues(map[string]cty.Value{"path": cty.StringVal(missing)})}, vault.ErrDenied, missing},
		"no mount":          {byAppRoleAt(v.Addr, "nowhere"), vault.ErrDenied, "check role_id"},
		"unprintable token": {byToken(v.Addr, "canary\x01token"), vault.ErrInvalid, "not printable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, _, j := newPool(t, tt.settings)
			_, err := p.Client(t.Context(), main)
			if !errors.Is(err, tt.class) || !errors.Is(err, vault.ErrLogin) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), v.Addr) {
				t.Errorf("error = %v, want %v at login with %q and the address", err, tt.class, tt.says)
			}
			if strings.Contains(err.Error()+j.String(), "canary") {
				t.Errorf("a secret is shown:\n%v\n%s", err, j)
			}
		})
	}
}

func byAppRoleAt(address, mount string) vault.Settings {
	s := byAppRole(address, "r", "s")
	s.Auth = s.Auth.With("mount", cty.StringVal(mount))
	return s
}

func TestTheOwnTokenIsRenewedAndReplacedNearItsMaximum(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "x", map[string]any{"a": "b"})
	v.Policy("kv", kvPolicy)
	v.EnableAuth("approle", "approle")
	roleID, secretID := v.AppRole("approle", "tokend", map[string]any{"token_policies": "kv", "token_ttl": "3s", "token_max_ttl": "6s"})
	p, b, j := newPool(t, byAppRole(v.Addr, roleID, secretID))
	run(t, p)
	c := client(t, p)
	first := p.Status()[0]
	eventually(t, "the token was renewed", func() bool {
		st := p.Status()[0]
		return st.Since.Equal(first.Since) && st.Expires.After(first.Expires)
	})
	eventually(t, "a new login replaced the token near its maximum", func() bool { return p.Status()[0].Since.After(first.Since) })
	if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
		t.Errorf("the client from before the new login: %v", err)
	}
	if n := b.resolved(); n > 3 {
		t.Errorf("settings were read %d times, want once for each login", n)
	}
	eventually(t, "the replaced token is revoked", func() bool { return tokensInForce(t, v) <= 2 }) // root and ours
	if strings.Contains(j.String(), "level=WARN") {
		t.Errorf("an ordinary life of a token warns:\n%s", j)
	}
}

func TestATokenThatCannotBeRenewedAnyFurtherIsSaid(t *testing.T) {
	v := rig.Vault(t)
	token := v.CreateToken(map[string]any{"ttl": "2s", "explicit_max_ttl": "4s"})
	p, b, j := newPool(t, byToken(v.Addr, token))
	run(t, p)
	client(t, p)
	eventually(t, "the end is said", func() bool { return strings.Contains(j.String(), "give tokend a new one") })
	if !strings.Contains(j.String(), "renewed the Vault token") {
		t.Errorf("it was not renewed before:\n%s", j)
	}
	eventually(t, "its end is an error", func() bool {
		_, err := p.Client(t.Context(), main)
		return errors.Is(err, vault.ErrDenied)
	})
	b.set(byToken(v.Addr, v.Token))
	p.Changed(main)
	client(t, p)
}

func TestALoginFollowsTheRevocationOfTheOwnToken(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "x", map[string]any{"a": "b"})
	v.Policy("kv", kvPolicy)
	v.EnableAuth("approle", "approle")
	roleID, secretID := v.AppRole("approle", "tokend", map[string]any{"token_policies": "kv", "token_ttl": "1h"})
	p, _, _ := newPool(t, byAppRole(v.Addr, roleID, secretID))
	c := client(t, p)
	v.Write("sys/leases/revoke-prefix/auth/approle", map[string]any{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
				t.Errorf("a read after the revocation: %v", err)
			}
		})
	}
	wg.Wait()
	if n := tokensInForce(t, v); n != 2 {
		t.Errorf("%d tokens in force, want root's and one of ours", n)
	}
	v.Write("sys/leases/revoke-prefix/auth/approle", map[string]any{})
	if _, err := c.WriteKV(t.Context(), "kv", "y", map[string]any{"a": "b"}, vault.KVWrite{}); err != nil {
		t.Errorf("a write after the revocation: %v", err)
	}
}

func TestADeniedPathIsNotTakenForADeadToken(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "mine/x", map[string]any{"a": "b"})
	v.PutKV("kv", "theirs/x", map[string]any{"a": "b"})
	v.Policy("mine", `path "kv/data/mine/*" { capabilities = ["read"] }`)
	v.EnableAuth("approle", "approle")
	for name, settings := range map[string]map[string]any{
		"with the default policy":    {"token_policies": "mine", "token_ttl": "1h"},
		"without the default policy": {"token_policies": "mine", "token_ttl": "1h", "token_no_default_policy": true},
	} {
		t.Run(name, func(t *testing.T) {
			roleID, secretID := v.AppRole("approle", "tokend", settings)
			p, b, _ := newPool(t, byAppRole(v.Addr, roleID, secretID))
			c := client(t, p)
			for range 3 {
				_, _, err := c.ReadKV(t.Context(), "kv", "theirs/x", 0)
				if !errors.Is(err, vault.ErrDenied) || errors.Is(err, vault.ErrLogin) || !strings.Contains(err.Error(), `"read" on "kv/data/theirs/x"`) {
					t.Errorf("error = %v, want a denial that names the missing line of the policy", err)
				}
			}
			if _, _, err := c.ReadKV(t.Context(), "kv", "mine/x", 0); err != nil {
				t.Errorf("what is allowed: %v", err)
			}
			if n := b.resolved(); n != 1 {
				t.Errorf("logged in %d times, want once", n)
			}
		})
	}
}

func TestATokenFileIsReadAgainWhenItChanges(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "x", map[string]any{"a": "b"})
	file := filepath.Join(t.TempDir(), "token")
	replace := func(token string) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	first := v.CreateToken(map[string]any{"ttl": "1h"})
	replace(first)
	p, _, _ := newPool(t, vault.Settings{Address: v.Addr, AuthKind: "token_file", Auth: spec.NewValues(map[string]cty.Value{"path": cty.StringVal(file)})})
	c := client(t, p)
	since := p.Status()[0].Since

	second := v.CreateToken(map[string]any{"ttl": "1h"})
	replace(second)
	if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
		t.Fatal(err)
	}
	if !p.Status()[0].Since.After(since) {
		t.Error("the new token is not in use")
	}
	if status, _, err := v.CallAs(first, http.MethodGet, "auth/token/lookup-self", nil); err != nil || status != 200 {
		t.Errorf("somebody else's token was revoked: status %d, %v", status, err)
	}
	// A dead one: what is at hand goes on, until it is dead too.
	v.Write("auth/token/revoke", map[string]any{"token": first})
	replace(first)
	for range 3 {
		if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
			t.Fatalf("with a dead token in the file and a living one at hand: %v", err)
		}
	}
	if err := p.Status()[0].Err; !errors.Is(err, vault.ErrDenied) {
		t.Errorf("status = %v, want the refusal", err)
	}
	v.Write("auth/token/revoke", map[string]any{"token": second})
	if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); !errors.Is(err, vault.ErrLogin) {
		t.Errorf("error with a dead token = %v, want ErrLogin", err)
	}
	replace(v.CreateToken(map[string]any{"ttl": "1h"}))
	if _, _, err := c.ReadKV(t.Context(), "kv", "x", 0); err != nil {
		t.Errorf("after the file was mended: %v", err)
	}
}

func TestSealedAndStoppedVaultsAreSurvived(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "x", map[string]any{"a": "b"})
	v.Policy("kv", kvPolicy)
	v.EnableAuth("approle", "approle")
	roleID, secretID := v.AppRole("approle", "tokend", map[string]any{"token_policies": "kv", "token_ttl": "1h"})
	p, _, _ := newPool(t, byAppRole(v.Addr, roleID, secretID))
	c := client(t, p)
	read := func() error {
		_, _, err := c.ReadKV(t.Context(), "kv", "x", 0)
		return err
	}

	v.Seal()
	if err := read(); !errors.Is(err, vault.ErrSealed) || !strings.Contains(err.Error(), "vault operator unseal") {
		t.Errorf("sealed: %v", err)
	}
	other, _, _ := newPool(t, byAppRole(v.Addr, roleID, secretID))
	if _, err := other.Client(t.Context(), main); !errors.Is(err, vault.ErrSealed) || !errors.Is(err, vault.ErrLogin) {
		t.Errorf("a login at a sealed Vault: %v", err)
	}
	v.Unseal()
	if err := read(); err != nil {
		t.Errorf("unsealed: %v", err)
	}

	v.Stop()
	if err := read(); !errors.Is(err, vault.ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("stopped: %v", err)
	}
	v.Start()
	v.Unseal()
	if err := read(); err != nil {
		t.Errorf("started again: %v", err)
	}
	eventually(t, "the other pool logs in", func() bool {
		_, err := other.Client(t.Context(), main)
		return err == nil
	})
}

func TestClosingGivesUpOurOwnTokenOnly(t *testing.T) {
	v := rig.Vault(t)
	v.EnableAuth("approle", "approle")
	roleID, secretID := v.AppRole("approle", "tokend", map[string]any{"token_ttl": "1h"})
	theirs := v.CreateToken(map[string]any{"ttl": "1h"})
	for _, s := range []vault.Settings{byAppRole(v.Addr, roleID, secretID), byToken(v.Addr, theirs)} {
		p, _, _ := newPool(t, s)
		client(t, p)
		p.Close(t.Context())
	}
	if n := tokensInForce(t, v); n != 2 {
		t.Errorf("%d tokens in force, want root's and the one that was given to us", n)
	}
}

func TestTLSSettings(t *testing.T) {
	v := rig.VaultTLS(t)
	good := byToken(v.Addr, v.Token)
	good.CAFile = v.CAFile
	p, _, _ := newPool(t, good)
	client(t, p)

	dir := filepath.Dir(v.CAFile)
	byDir := byToken(v.Addr, v.Token)
	byDir.CADir = dir
	p, _, _ = newPool(t, byDir)
	client(t, p)

	wrongName := good
	wrongName.TLSServerName = "elsewhere.example.com"
	empty := byToken(v.Addr, v.Token)
	empty.CAFile = filepath.Join(dir, "key.pem")
	plain := byToken(strings.Replace(v.Addr, "https", "http", 1), v.Token)
	for name, tt := range map[string]struct {
		settings vault.Settings
		class    error
		says     string
	}{
		"unknown authority": {byToken(v.Addr, v.Token), vault.ErrUnreachable, "set ca_file"},
		"wrong name":        {wrongName, vault.ErrUnreachable, "set tls_server_name"},
		"no certificate":    {empty, vault.ErrInvalid, "holds no PEM certificate"},
		"http":              {plain, vault.ErrInvalid, "should begin with https://"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := newPool(t, tt.settings)
			_, err := p.Client(t.Context(), main)
			if !errors.Is(err, tt.class) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error = %v, want %v with %q", err, tt.class, tt.says)
			}
		})
	}
}

func TestTransitSealsAndOpens(t *testing.T) {
	v := rig.Vault(t)
	v.EnableTransit("transit", "tokend")
	v.EnableTransit("transit2", "other")
	p, _, _ := newPool(t, byToken(v.Addr, v.Token))
	c := client(t, p)
	key := vault.NewTransit(c, "transit", "tokend")
	plain := []byte("\x00data key\xff")
	sealed, err := key.Encrypt(t.Context(), plain)
	if err != nil || bytes.Contains(sealed, plain) || !strings.HasPrefix(string(sealed), "vault:v1:") {
		t.Fatalf("Encrypt = %q, %v", sealed, err)
	}
	v.Write("transit/keys/tokend/rotate", map[string]any{})
	if got, err := key.Decrypt(t.Context(), sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("Decrypt after a rotation = %q, %v", got, err)
	}
	if _, err := vault.NewTransit(c, "transit2", "other").Decrypt(t.Context(), sealed); !errors.Is(err, vault.ErrInvalid) || !strings.Contains(err.Error(), "was not sealed with the key other") {
		t.Errorf("Decrypt with another key: %v", err)
	}
	if _, err := vault.NewTransit(c, "nowhere", "k").Encrypt(t.Context(), plain); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("Encrypt at no mount: %v", err)
	}
}
