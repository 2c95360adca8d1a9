package rig_test

import (
	"net/http"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokend/test/rig"
)

func TestVaultKeepsWhatWasWritten(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	want := map[string]any{"password": "hunter2"}
	v.PutKV("kv", "app/db", want)
	v.PutKV("kv", "app/db", want)

	got, version := v.GetKV("kv", "app/db")
	if diff := cmp.Diff(want, got); diff != "" || version != 2 {
		t.Errorf("secret of version %d, want 2; diff (-want +got):\n%s", version, diff)
	}
	if got, _ := v.GetKV("kv", "app/none"); got != nil {
		t.Errorf("a secret that nobody wrote reads as %v", got)
	}

	addr := v.Addr
	v.Restart()
	if v.Addr != addr {
		t.Errorf("address after a restart %s, want %s", v.Addr, addr)
	}
	if got, _ := v.GetKV("kv", "app/db"); !cmp.Equal(want, got) {
		t.Errorf("after a restart the secret reads as %v", got)
	}

	v.Kill()
	if _, _, err := v.Call(http.MethodGet, "sys/health", nil); err == nil {
		t.Error("a killed Vault answers")
	}
	v.Start()
	v.Unseal()
	if got, _ := v.GetKV("kv", "app/db"); !cmp.Equal(want, got) {
		t.Errorf("after a kill the secret reads as %v", got)
	}
}

func TestVaultSealed(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 1)
	v.Write("kv/a", map[string]any{"x": "1"})
	v.Seal()
	if status, _, err := v.Call(http.MethodGet, "kv/a", nil); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("a sealed Vault answers %d, %v", status, err)
	}
	v.Unseal()
	if got := v.Read("kv/a"); !cmp.Equal(got, map[string]any{"x": "1"}) {
		t.Errorf("after unsealing: %v", got)
	}
	v.Delete("kv/a")
	if got := v.Read("kv/a"); got != nil {
		t.Errorf("after deleting: %v", got)
	}
}

func TestVaultLogins(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "app", map[string]any{"x": "1"})
	v.Policy("reader", `path "kv/data/app" { capabilities = ["read"] }`)

	v.EnableAuth("approle", "approle")
	roleID, secretID := v.AppRole("approle", "tokend", map[string]any{"token_policies": "reader", "token_ttl": "60s"})
	status, reply, err := v.CallAs("", http.MethodPost, "auth/approle/login",
		map[string]any{"role_id": roleID, "secret_id": secretID})
	if err != nil || status != http.StatusOK {
		t.Fatalf("logging in: %d, %v, %v", status, reply, err)
	}
	auth, _ := reply["auth"].(map[string]any)
	byRole, _ := auth["client_token"].(string)

	byHand := v.CreateToken(map[string]any{"policies": []string{"reader"}, "ttl": "60s"})
	for name, token := range map[string]string{"approle": byRole, "created": byHand} {
		if status, _, err := v.CallAs(token, http.MethodGet, "kv/data/app", nil); err != nil || status != http.StatusOK {
			t.Errorf("%s: reading what the policy allows: %d, %v", name, status, err)
		}
		if status, _, err := v.CallAs(token, http.MethodGet, "kv/data/other", nil); err != nil || status != http.StatusForbidden {
			t.Errorf("%s: reading what it does not: %d, %v", name, status, err)
		}
	}
}

func TestVaultTransit(t *testing.T) {
	v := rig.Vault(t)
	v.EnableTransit("transit", "tokend")
	const plain = "c2VjcmV0"
	sealed := v.Write("transit/encrypt/tokend", map[string]any{"plaintext": plain})
	opened := v.Write("transit/decrypt/tokend", map[string]any{"ciphertext": sealed["ciphertext"]})
	if opened["plaintext"] != plain {
		t.Errorf("decrypted %v", opened["plaintext"])
	}
}

func TestVaultTLS(t *testing.T) {
	v := rig.VaultTLS(t)
	if status, _, err := v.Call(http.MethodGet, "sys/health", nil); err != nil || status != http.StatusOK {
		t.Errorf("asking over TLS: %d, %v", status, err)
	}
	if _, err := os.Stat(v.CAFile); err != nil {
		t.Error(err)
	}
	resp, err := http.Get(v.Addr + "/v1/sys/health")
	if err == nil {
		resp.Body.Close()
		t.Error("a client that does not know the certificate trusts it")
	}
}
