package reconcile_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// Nothing secret is in an export: no token and no sensitive input, in clear, in
// an encoding, or hashed.
func TestAnExportHoldsNoSecret(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		hcl := trader("a@example.com", `
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
secret "mem" "key" { value = "canary-static-key" }
credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.mem.key.value
}
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-1"
  password = secret.mem.key.value
}
sink "mem" "mixed" {
  place   = "mixed"
  content = "${secret.mem.key.value} ${credential.apirone.account.access_token}"
}`)
		w.set(hcl)
		time.Sleep(time.Minute)
		w.set(strings.Replace(hcl, "a@example.com", "b@example.com", 1)) // an old token is on its way out
		time.Sleep(10 * time.Second)
		x, err := w.loop.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		secrets := []string{"a-password", "canary-static-key"}
		for _, a := range []string{"credential.coinify.trader", "credential.apirone.key", "credential.apirone.account"} {
			rec, _, err := w.store.Credential(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range append([]state.Grant{*rec.Grant}, rec.Retiring...) {
				secrets = append(secrets, g.AccessToken.Reveal(), g.RefreshToken.Reveal(), g.Header.Reveal())
			}
		}
		found := 0
		for _, s := range secrets {
			if s == "" {
				continue
			}
			found++
			for how, form := range forms(s) {
				if bytes.Contains(b, []byte(form)) {
					t.Errorf("a secret is in the export, %s", how)
				}
			}
		}
		if found < 8 || len(x.Credentials) != 3 || len(x.Credentials[2].Retiring) == 0 {
			t.Fatalf("%d secrets were looked for in %s", found, b)
		}
		// What may be there is, under a key of its own.
		again, err := w.loop.Export(t.Context())
		if err != nil || bytes.Equal(again.Key, x.Key) {
			t.Errorf("two exports have one key: %v", err)
		}
		inputs := x.Credentials[2].Inputs
		if inputs["email"] == "?" || inputs["email"] == again.Credentials[2].Inputs["email"] || inputs["password"] != "?" {
			t.Errorf("inputs %v", inputs)
		}
	})
}

// What an earlier configuration said is not exported where a sensitive variable
// could be guessed from its digest: not of what is still there of it, though the
// configuration in force has none.
func TestAnExportHoldsNoDigestOfAnEarlierConfiguration(t *testing.T) {
	const pinned = `
variable "pin" {
  type      = string
  sensitive = true
}
credential "coinify" "pinned" {
  grant      = "password"
  email      = "pinned@example.com"
  partner_id = "p"
  password   = var.pin
}
sink "mem" "pinned" {
  place   = "pinned"
  content = credential.coinify.pinned.access_token
}`
	inWorld(t, strict(), func(t *testing.T, w *world) {
		guard := "tokend {\n  guard { max_revocations = 0 }\n}\n"
		digests := func() map[string]string {
			x, err := w.loop.Export(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m := map[string]string{}
			for _, c := range x.Credentials {
				m[c.Address] = c.Digest
			}
			for _, s := range x.Sinks {
				m[s.Address] = s.Digest + s.Place
			}
			return m
		}
		w.set(guard + trader("a@example.com", pinned))
		time.Sleep(time.Minute)
		if m := digests(); m["credential.coinify.pinned"] != "" || m["credential.coinify.trader"] == "" || m["sink.mem.pinned"] == "" || m["sink.mem.trader"] == "" {
			t.Errorf("exported is %v", m)
		}
		if h := w.set(guard + trader("a@example.com", "")); h == nil {
			t.Fatal("nothing is held")
		}
		time.Sleep(time.Minute)
		m := digests()
		if m["credential.coinify.pinned"] != "" || m["credential.coinify.trader"] == "" || m["sink.mem.pinned"] == "" || m["sink.mem.trader"] == "" {
			t.Errorf("while the change is held, exported is %v", m)
		}
	})
}

// forms are the ways in which a secret could stand in a text.
func forms(s string) map[string]string {
	sum := sha256.Sum256([]byte(s))
	return map[string]string{
		"in clear": s, "in base64": base64.RawStdEncoding.EncodeToString([]byte(s)), "in base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte(s)),
		"in a URL": url.QueryEscape(s), "in hex": hex.EncodeToString([]byte(s)),
		"hashed, in hex": hex.EncodeToString(sum[:]), "hashed, in base64": base64.RawStdEncoding.EncodeToString(sum[:]), "hashed, in base64 for URLs": base64.RawURLEncoding.EncodeToString(sum[:]),
		"the half of its hash, in hex": hex.EncodeToString(sum[:16]), "the half of its hash, in base64": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
}

// A plan against an export is the plan that its host would make, but for what
// only the host can see.
func TestAPlanAgainstAnExport(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", bystander))
		time.Sleep(time.Minute)
		x, err := w.loop.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct{ hcl, want string }{
			"the same":          {trader("a@example.com", bystander), ""},
			"a changed input":   {trader("b@example.com", bystander), "replace credential.coinify.trader; hook hook.mem.tell; write sink.mem.trader"},
			"a removed block":   {trader("a@example.com", ""), "revoke credential.coinify.other"},
			"a changed secret":  {strings.Replace(trader("a@example.com", bystander), "a-password", "another", 1), ""},
			"a new place":       {strings.Replace(trader("a@example.com", bystander), `= "trader"`, `= "elsewhere"`, 1), "hook hook.mem.tell; write sink.mem.trader; clean sink.mem.trader"},
			"other for a while": {strings.Replace(trader("a@example.com", bystander), `partner_id = "p"`, `partner_id = "q"`, 1), "replace credential.coinify.trader; hook hook.mem.tell; write sink.mem.trader"},
		} {
			var said []string
			for _, s := range w.against(x, c.hcl).Steps {
				said = append(said, string(s.Action)+" "+s.Address)
			}
			if got := strings.Join(said, "; "); got != c.want {
				t.Errorf("%s: planned %q, want %q", name, got, c.want)
			}
		}
	})
}

// What became due since an export was written is no step of a plan against it,
// however old it is; a change is one as before.
func TestAPlanAgainstAnOlderExport(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", bystander))
		time.Sleep(time.Minute)
		x := w.export()
		time.Sleep(90 * 24 * time.Hour)
		for email, want := range map[string]string{
			"a@example.com": "",
			"b@example.com": "replace credential.coinify.trader; hook hook.mem.tell; write sink.mem.trader",
		} {
			if got := actions(w.against(x, trader(email, bystander))); got != want {
				t.Errorf("with %s, planned is %q, want %q", email, got, want)
			}
		}
	})
}

// against plans a configuration against an export.
func (w *world) against(x *reconcile.Export, hcl string) reconcile.Plan {
	w.t.Helper()
	store, err := x.Store(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	loop, cancel, ended := w.loop, w.cancel, w.ended
	defer func() {
		w.halt()
		if err := store.Close(); err != nil {
			w.t.Error(err)
		}
		w.away, w.awayClock, w.loop, w.cancel, w.ended = nil, nil, loop, cancel, ended
	}()
	w.away, w.awayClock = store, x.Clock()
	w.begin(true)
	if _, err := w.loop.Set(w.t.Context(), w.config(hcl), reconcile.SetOptions{NoSettle: true, Dry: true}); err != nil {
		w.t.Fatal(err)
	}
	p, err := w.loop.Plan(w.t.Context(), reconcile.PlanOptions{NoSecrets: true, NoSettle: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// A sink that goes on by its earlier configuration, until the grant is there that
// has what it names, is exported by that one: back there is nothing to do, and that
// nothing sensitive is in it is known.
func TestAnExportOfASinkThatGoesOnAsItWas(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(twoGrants("plain", plainly, ""))
		time.Sleep(time.Minute)
		if h := w.set(twoGrants("rich", richly, "")); h == nil {
			t.Fatal("nothing is held")
		}
		time.Sleep(time.Minute)
		x := w.export()
		if len(x.Sinks) != 1 || x.Sinks[0].Digest == "" || x.Sinks[0].Place == "" || x.Sinks[0].Portrait == nil {
			t.Fatalf("exported is %+v", x.Sinks)
		}
		for name, c := range map[string]struct{ hcl, steps, unknown string }{
			"back":         {twoGrants("plain", plainly, ""), "", ""},
			"another text": {twoGrants("plain", plainly+"x", ""), "write sink.mem.a", ""},
		} {
			p := w.against(x, c.hcl)
			if got := actions(p); got != c.steps || strings.Join(p.Unknown, " ") != c.unknown {
				t.Errorf("%s: planned %q, known at apply %q", name, got, p.Unknown)
			}
		}
	})
}
