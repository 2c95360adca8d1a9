package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	testrig "tokend/test/rig"
)

// A password out of KV, tokens into both versions of KV, by a login whose token
// has to be renewed and obtained anew all the while.
func TestVaultDelivery(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: 3 * time.Second, Rotate: standin.RotateSingleUse})
	l.appRole(v, map[string]any{"token_ttl": "2s", "token_max_ttl": "4s", "secret_id_num_uses": 0})
	l.write("quick.hcl", quick)
	l.write("main.hcl", apironeFromVault)
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.write("one.hcl", kvSink("one", "kv1", "delivered/one", ""))
	l.write("destroyed.hcl", kvSink("destroyed", "kv", "delivered/destroyed", `on_remove = "destroy"`))
	l.write("kept.hcl", kvSink("kept", "kv", "delivered/kept", `on_remove = "keep"`))
	l.start()
	l.untilReady(6)

	first := l.untilDelivered(v, "delivered/two")
	custom, _ := v.Read("kv/metadata/delivered/two")["custom_metadata"].(map[string]any)
	for _, n := range []string{"tokend_lineage", "tokend_generation", "tokend_delivered_at"} {
		if custom[n] == "" || custom[n] == nil {
			t.Errorf("custom metadata have no %s: %v", n, custom)
		}
		delete(custom, n)
	}
	if diff := cmp.Diff(map[string]any{"owner": "tokend", "tokend_credential": "credential.apirone.account"}, custom); diff != "" {
		t.Errorf("custom metadata (-want +got):\n%s", diff)
	}
	l.until("tokens rotate through both engines", func() (bool, string) {
		one, _ := v.Read("kv1/delivered/one")["access_token"].(string)
		two := delivered(v, "delivered/two")
		return two != first && one == two, one + " " + two
	})
	l.until("the login was renewed and made anew", func() (bool, string) {
		renewed, logins := l.logged("renewed the Vault token"), l.logged("logged in to Vault")
		return renewed >= 2 && logins >= 3, fmt.Sprintf("%d renewals, %d logins", renewed, logins)
	})
	if failed := l.logged("writing a sink failed"); failed > 0 {
		t.Errorf("%d writes failed meanwhile", failed)
	}

	// A place that somebody else wrote is put right, when somebody asks for it.
	l.api.Change(standin.Apirone, func(r *standin.Rules) { r.AccessLifetime = time.Hour })
	l.must("refresh", "apirone.account")
	token := l.untilDelivered(v, "delivered/two")
	_, version := v.GetKV("kv", "delivered/two")
	v.Write("kv/data/delivered/two", map[string]any{"data": map[string]any{"access_token": "someone else's"}, "options": map[string]any{"cas": version}})
	l.must("retry", "sink.vault_kv.two")
	if got := delivered(v, "delivered/two"); got != token {
		t.Errorf("after a repair the place holds %q, want %q", got, token)
	}

	// Each block ends as it says.
	l.remove("two.hcl", "one.hcl", "destroyed.hcl", "kept.hcl")
	l.until("the sinks are gone", func() (bool, string) {
		said := l.must("state", "list")
		return !strings.Contains(said, "vault_kv"), said
	})
	if got := delivered(v, "delivered/two"); got != "" {
		t.Errorf("what was deleted holds %q", got)
	}
	if versions, _ := v.Read("kv/metadata/delivered/two")["versions"].(map[string]any); len(versions) == 0 {
		t.Error("of what was deleted, the metadata is gone as well")
	}
	if got := v.Read("kv/metadata/delivered/destroyed"); got != nil {
		t.Errorf("what was destroyed has metadata: %v", got)
	}
	if got := v.Read("kv1/delivered/one"); got != nil {
		t.Errorf("what was deleted in version 1 holds %v", got)
	}
	if got := delivered(v, "delivered/kept"); got != token {
		t.Errorf("what was to be kept holds %q, want %q", got, token)
	}
}

// What somebody else wrote to Vault, where no event tells of it, is put right by
// a look now and then.
func TestVaultDriftIsSeen(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("Vault server: waits for a look that comes once a minute")
	}
	l, v := apironeLab(t)
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.start()
	l.untilReady(3)
	token := l.untilDelivered(v, "delivered/two")
	v.Delete("kv/data/delivered/two")
	l.within(2*time.Minute, "the place is written again", func() (bool, string) {
		got := delivered(v, "delivered/two")
		return got == token, got
	})
}

// Blocks, their Vault and their provider go in one change: the configuration
// before supplies what their removal needs.
func TestVaultBlockGoesWithItsSinks(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"running", "stopped", "sealed across a restart"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
			l.appRole(v, map[string]any{"token_ttl": "20m"})
			l.write("quick.hcl", quick)
			l.write("main.hcl", apironeFromVault)
			l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
			l.write("stays.hcl", `
variable "stays" {
  type    = string
  default = "x"
}
secret "file" "other" { path = "secrets/role_id" }
credential "coinify" "other" {
  grant      = "password"
  email      = "other@example.com"
  partner_id = "p"
  password   = secret.file.other.value
}
`)
			l.start()
			l.untilReady(4)
			l.untilDelivered(v, "delivered/two")
			// The login's secrets stay: what is removed is what the configuration says.
			gone := []string{"main.hcl", "two.hcl", "vault.hcl"}
			switch when {
			case "running":
				l.edit("stays.hcl", `secret "file" "other"`, `secret "file" "other2" { path = "secrets/secret_id" }`+"\n"+`secret "file" "other"`)
				l.remove(gone...)
			case "stopped":
				l.stop()
				l.remove(gone...)
				l.start()
			default:
				v.Seal()
				l.remove(gone...)
				l.until("the removal meets a sealed Vault", func() (bool, string) {
					got := l.line("sink.vault_kv.two")
					return got.State == reconcile.Removing && strings.Contains(got.Why, "cannot clean"), got.Why
				})
				l.stop()
				l.start()
				v.Unseal()
			}
			l.until("nothing is left of what was removed", func() (bool, string) {
				said, _ := l.tokend("status")
				list := l.must("state", "list")
				return !strings.Contains(list, "apirone") && !strings.Contains(list, "vault_kv"), said
			})
			if got := delivered(v, "delivered/two"); got != "" {
				t.Errorf("Vault still holds %q", got)
			}
			l.revoked(standin.Apirone, 1)
			l.untilReady(1)
		})
	}
}

// A Vault that stays sealed, so that a removed sink cannot be cleaned, holds up
// the revocation of its token for max_overlap, and no longer; the sink goes on
// being cleaned until that succeeds.
func TestVaultThatCannotBeCleaned(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("quick.hcl", quick)
	const overlap = 6 * time.Second
	l.write("main.hcl", strings.Replace(apironeFromVault, `{ overlap = "0s" }`, fmt.Sprintf("{\n    overlap     = \"0s\"\n    max_overlap = %q\n  }", overlap), 1))
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.write("stays.hcl", `
secret "file" "other" { path = "secrets/role_id" }
credential "coinify" "other" {
  grant      = "password"
  email      = "other@example.com"
  partner_id = "p"
  password   = secret.file.other.value
}
`)
	l.start()
	l.untilReady(4)
	token := l.untilDelivered(v, "delivered/two")
	v.Seal()
	removed := time.Now()
	l.remove("main.hcl", "two.hcl")
	l.until("the removal meets a sealed Vault", func() (bool, string) {
		got := l.line("sink.vault_kv.two")
		return got.State == reconcile.Removing && strings.Contains(got.Why, "cannot clean"), got.Why
	})
	l.until("it is said what its revocation waits for", func() (bool, string) {
		got := l.line("credential.apirone.account")
		said := got.State == reconcile.Removing && strings.Contains(got.Why, "sink.vault_kv.two")
		return said || l.api.Counts(standin.Apirone).Revocations == 1 && time.Since(removed) > overlap, got.Why
	})
	l.until("the token is revoked", func() (bool, string) {
		return l.api.Counts(standin.Apirone).Revocations == 1, l.line("credential.apirone.account").Why
	})
	if took := time.Since(removed); took < overlap {
		t.Errorf("the token was revoked %s after its removal, while Vault held it; max_overlap is %s", took, overlap)
	}
	v.Unseal()
	l.until("the place is cleaned once Vault is back", func() (bool, string) {
		list := l.must("state", "list")
		return !strings.Contains(list, "vault_kv") && !strings.Contains(list, "apirone"), list
	})
	if got := delivered(v, "delivered/two"); got == token {
		t.Error("Vault still holds the token")
	}
}

// The other two ways to log in, with tokens of somebody else's.
func TestVaultTokens(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
	mint := func() string { return v.CreateToken(map[string]any{"policies": []string{"delivery"}, "ttl": "1h"}) }
	first := mint()
	l.write("secrets/token", first+"\n")
	block := func(auth string) string {
		return fmt.Sprintf("vault \"main\" {\n  address = %q\n  %s\n}\n", v.Addr, auth)
	}
	file := block(`auth "token_file" { path = "secrets/token" }`)
	l.write("vault.hcl", file)
	l.write("main.hcl", apironeFromVault)
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.start()
	l.untilReady(3)
	l.untilDelivered(v, "delivered/two")

	// The token dies, and somebody writes a new one into the file.
	v.Write("auth/token/revoke", map[string]any{"token": first})
	second := mint()
	l.write("secrets/token", second+"\n")
	l.must("refresh", "apirone.account")
	l.untilDelivered(v, "delivered/two")

	// By a secret: the same, and it is not revoked when tokend ends.
	l.write("vault.hcl", block(`auth "token" { token = secret.file.vault.value }`)+`secret "file" "vault" { path = "secrets/token" }`)
	l.must("refresh", "apirone.account")
	l.untilDelivered(v, "delivered/two")
	v.Write("auth/token/revoke", map[string]any{"token": second})
	third := mint()
	l.write("secrets/token", third+"\n")
	l.must("refresh", "apirone.account")
	l.untilDelivered(v, "delivered/two")
	l.untilReady(3)
	l.stop()
	if status, _, err := v.CallAs(third, http.MethodGet, "auth/token/lookup-self", nil); err != nil || status != http.StatusOK {
		t.Errorf("a token that somebody made is gone after tokend: %d, %v", status, err)
	}
}

// A block that names another Vault from one moment to the next: everything goes
// there, and nothing more to the one before.
func TestVaultMoves(t *testing.T) {
	t.Parallel()
	l, v := apironeLab(t)
	l.write("two.hcl", kvSink("two", "kv", "delivered/two", ""))
	l.start()
	l.untilReady(3)
	token := l.untilDelivered(v, "delivered/two")

	other := testrig.Vault(t)
	other.EnableKV("kv", 2)
	other.PutKV("kv", "trading/apirone", map[string]any{"password": "key-one"})
	other.Policy("delivery", deliveryPolicy)
	other.EnableAuth("approle", "approle")
	roleID, secretID := other.AppRole("approle", "tokend", map[string]any{"token_policies": "delivery"})
	_, version := v.GetKV("kv", "delivered/two")
	// Files first: the old Vault refuses them and goes on with the login at hand.
	l.write("secrets/role_id", roleID)
	l.write("secrets/secret_id", secretID)
	l.edit("main.hcl", `path    = "${var.out}/token"`, `path    = "${var.out}/token2"`)
	l.edit("two.hcl", `credential.apirone.account.access_token }`, `credential.apirone.account.access_token, moved = "yes" }`)
	l.write("vault.hcl", vaultBlock(other))
	l.until("the token is in the other Vault", func() (bool, string) {
		data, _ := other.GetKV("kv", "delivered/two")
		return data["access_token"] == token && data["moved"] == "yes", fmt.Sprint(data != nil)
	})
	l.untilReady(3)
	if _, now := v.GetKV("kv", "delivered/two"); now > version+1 {
		t.Errorf("the former Vault was written %d times since", now-version)
	}
}

// The state's key is wrapped by a key of Vault's that never leaves it.
func TestVaultHoldsTheStateKey(t *testing.T) {
	t.Parallel()
	l, v := vaultLab(t, standin.Rules{AccessLifetime: time.Hour})
	v.EnableTransit("transit", "state")
	l.appRole(v, map[string]any{"token_ttl": "20m"})
	l.write("main.hcl", apironeFromVault)
	l.write("state.hcl", `
tokend {
  state {
    transit {
      vault = vault.main
      mount = "transit"
      key   = "state"
    }
  }
}
`)
	l.must("apply", "--auto-approve")
	before := l.file("token")
	if _, err := os.Stat(filepath.Join(l.state, "state.key")); err == nil {
		t.Error("a key file was made beside the state")
	}
	v.Write("transit/keys/state/rotate", map[string]any{})
	if said := l.must("state", "list"); !strings.Contains(said, "apirone.account") {
		t.Errorf("after a rotation of the key in Vault the state lists %q", said)
	}

	state := filepath.Join(l.state, "state.db")
	content, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	v.Seal()
	for _, args := range [][]string{{"state", "list"}, {"plan"}, {"run"}} {
		said, status := l.tokend(args...)
		if status != exitFailed || !strings.Contains(said, "sealed") || !strings.Contains(said, v.Addr) || !strings.Contains(said, "hint: ") {
			t.Errorf("with a sealed Vault, tokend %s: exit status %d\n%s", args[0], status, said)
		}
	}
	v.Kill()
	if said, status := l.tokend("state", "list"); status != exitFailed || !strings.Contains(said, v.Addr) {
		t.Errorf("without Vault: exit status %d\n%s", status, said)
	}
	if now, err := os.ReadFile(state); err != nil || string(now) != string(content) {
		t.Errorf("a state that could not be opened was written to (%v)", err)
	}
	v.Start()
	v.Unseal()
	l.start()
	l.untilReady(2)
	if got := l.file("token"); got != before {
		t.Errorf("the token is another after a restart: %q, was %q", got, before)
	}
	// Once open, it does without Vault.
	v.Kill()
	l.must("refresh", "apirone.account")
	l.untilFile(filepath.Join(l.out, "token"), before)
}

// The example, with the policy that it comes with, against a Vault behind TLS.
func TestExampleVault(t *testing.T) {
	t.Parallel()
	v := testrig.VaultTLS(t)
	dir := t.TempDir()
	l := exampleLab(t, "vault", `"/etc/tokend-secrets/`, quote(dir + "/")[:len(dir)+2])
	l.edit("tokens.hcl", "https://id.example.com", l.urls.OAuth2)
	policy, err := os.ReadFile(filepath.Join(l.config, "policy", "tokend.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	v.EnableKV("kv", 2)
	v.EnableAuth("approle", "approle")
	v.Policy("tokend", string(policy))
	roleID, secretID := v.AppRole("approle", "tokend", map[string]any{"token_policies": "tokend", "token_ttl": "20m", "token_max_ttl": "4h"})
	v.PutKV("kv", "trading/coinify", map[string]any{"alice": "pa", "bob": "pb"})
	v.PutKV("kv", "trading/billing", map[string]any{"client_secret": "sb"})
	for name, content := range map[string]string{"role_id": roleID, "secret_id": secretID} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.api.Register(standin.Account{API: standin.Coinify, Login: "alice@example.com", Password: "pa"})
	l.api.Register(standin.Account{API: standin.Coinify, Login: "bob@example.com", Password: "pb"})
	l.api.RegisterClient(standin.Client{API: standin.OAuth2, ID: "billing", Secret: "sb"})
	l.env["CREDENTIALS_DIRECTORY"] = dir
	l.env["TOKEND_VAR_vault_address"] = v.Addr
	l.env["TOKEND_VAR_vault_ca_file"] = v.CAFile
	l.staysHere()
	l.start()
	l.untilReady(6)
	tokens := l.tokens(byType)
	for _, name := range []string{"alice", "bob"} {
		data, _ := v.GetKV("kv", "delivered/coinify/"+name)
		if data["access_token"] != tokens[`coinify.trader["`+name+`"]`] || data["expires_at"] == "" {
			t.Errorf("Vault holds %v for %s", data, name)
		}
	}
	if data, _ := v.GetKV("kv", "delivered/billing"); data["header"] != "Authorization: Bearer "+tokens["oauth2.billing"] {
		t.Errorf("Vault holds %v for billing", data)
	}

	// Removal needs Vault, whose block goes with everything else.
	l.removeAll()
	l.revoked(standin.Coinify, 2)
	l.revoked(standin.OAuth2, 1)
	for _, path := range []string{"delivered/coinify/alice", "delivered/coinify/bob", "delivered/billing"} {
		if data, _ := v.GetKV("kv", path); data != nil {
			t.Errorf("%s still holds %v", path, data)
		}
	}
	if meta := v.Read("kv/metadata/delivered/billing"); meta != nil {
		t.Errorf("of billing the metadata is left: %v", meta)
	}
}
