package vault_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"tokend/pkg/spec"
	"tokend/pkg/vault"
	"tokend/test/rig"
)

func byJWT(address, token, role, mount string) vault.Settings {
	return vault.Settings{Address: address, Timeout: 30 * time.Second, AuthKind: "jwt",
		Auth: spec.NewValues(map[string]cty.Value{"jwt": hidden(token), "role": cty.StringVal(role), "mount": cty.StringVal(mount)})}
}

func TestALoginWithAJWT(t *testing.T) {
	v := rig.Vault(t)
	v.EnableKV("kv", 2)
	v.PutKV("kv", "trading/coinify", map[string]any{"password": "pw-1"})
	v.Policy("kv", kvPolicy)
	i := v.JWTIssuer("machines/jwt", "kv")
	good := i.Sign("canary-subject", "vault", time.Hour)
	for name, role := range map[string]string{"a role": "tokend", "the mount's own role": ""} {
		t.Run(name, func(t *testing.T) {
			p, _, _ := newPool(t, byJWT(v.Addr, good, role, "machines/jwt"))
			got, _, err := client(t, p).ReadKV(t.Context(), "kv", "trading/coinify", 0)
			if err != nil || got["password"] != "pw-1" {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	for name, c := range map[string]struct {
		settings vault.Settings
		says     string
	}{
		"expired":         {byJWT(v.Addr, i.Sign("canary-subject", "vault", -time.Minute), "tokend", "machines/jwt"), "the token may have expired"},
		"for someone":     {byJWT(v.Addr, i.Sign("canary-subject", "elsewhere", time.Hour), "tokend", "machines/jwt"), "check role and jwt"},
		"no such role":    {byJWT(v.Addr, good, "nobody", "machines/jwt"), "check role and jwt"},
		"no JWT":          {byJWT(v.Addr, "canary-text", "tokend", "machines/jwt"), "check role and jwt"},
		"nothing":         {byJWT(v.Addr, "", "tokend", "machines/jwt"), "jwt is empty"},
		"no such mount":   {byJWT(v.Addr, good, "tokend", ""), "check role and jwt"},
		"an unclean path": {byJWT(v.Addr, good, "tokend", "../sys"), "mount"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, j := newPool(t, c.settings)
			_, err := p.Client(t.Context(), main)
			if !errors.Is(err, vault.ErrLogin) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error = %v, want one of the login with %q", err, c.says)
			}
			if shown := err.Error() + j.String(); strings.Contains(shown, "canary") || strings.Contains(shown, strings.Split(good, ".")[1]) {
				t.Errorf("the token is shown:\n%s", shown)
			}
		})
	}
}
