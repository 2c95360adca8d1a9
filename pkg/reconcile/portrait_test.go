package reconcile_test

import (
	"strings"
	"testing"
	"time"
)

// portrayed is a directory with a sink of each sort.
const portrayed = `
provider "apirone" {
  base_url            = "http://apirone.localhost"
  allow_insecure_http = true
}
secret "mem" "key" { value = "canary-static-key" }
secret "mem" "other" { value = "another-key" }
credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.mem.key.value
}
credential "apirone" "account" {
  grant    = "login"
  login    = "apr-1"
  password = secret.mem.key.value
}
sink "mem" "both" {
  place   = "both"
  content = "${secret.mem.key.value} ${credential.apirone.account.access_token} ${credential.apirone.account.login}"
}
sink "mem" "expiry" {
  place   = "expiry"
  content = "${credential.apirone.account.expires_at} ${credential.apirone.account.generation}"
}
sink "mem" "key" {
  place   = "key"
  content = credential.apirone.key.transfer_key
  notify  = [hook.mem.tell]
}
`

// Away from the host a block that is said in other words, or under other names, is
// no reason to write, another content is one, and where only what is hidden tells,
// that is said.
func TestAPlanAwayComparesWhatIsWritten(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		hcl := trader("a@example.com", portrayed)
		w.set(hcl)
		time.Sleep(time.Minute)
		x, err := w.loop.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range x.Sinks {
			if s.Portrait == nil || s.Digest == "" || s.Place == "" {
				t.Fatalf("of %s is exported only %+v", s.Address, s)
			}
		}
		moved := func(kind, from, to string) string {
			return "\nmoved {\n  from = " + kind + "." + from + "\n  to   = " + kind + "." + to + "\n}\n"
		}
		both := `"${secret.mem.key.value} ${credential.apirone.account.access_token} ${credential.apirone.account.login}"`
		said := func(text string) []string { return []string{both, text} }
		for _, c := range []struct {
			name    string
			changes []string // from, to, …
			more    string
			steps   string
			unknown string
		}{
			{"a renamed credential", []string{`"apirone" "account"`, `"apirone" "wallet"`, "apirone.account.", "apirone.wallet."}, moved("credential", "apirone.account", "apirone.wallet"), "move credential.apirone.wallet", ""},
			{"a renamed key", []string{`"apirone" "key"`, `"apirone" "lock"`, "apirone.key.", "apirone.lock."}, moved("credential", "apirone.key", "apirone.lock"), "move credential.apirone.lock", ""},
			{"a renamed sink", []string{`sink "mem" "both"`, `sink "mem" "all"`}, moved("sink", "mem.both", "mem.all"), "move sink.mem.all", ""},
			{"another hook", []string{"  notify  = [hook.mem.tell]\n}\n", "}\n"}, "", "", ""},
			{"format()", said(`format("%s %s %s", secret.mem.key.value, credential.apirone.account.access_token, credential.apirone.account.login)`), "", "", ""},
			{"a local", said("local.text"), "locals {\n  text = " + both + "\n}\n", "", ""},
			{"a for_each of one", said(`join(" ", [for s in [secret.mem.key.value, credential.apirone.account.access_token, credential.apirone.account.login] : s])`), "", "", ""},
			{"another text", said(`"x` + both[1:]), "", "write sink.mem.both", ""},
			{"another attribute", said(strings.Replace(both, ".login", ".expires_at", 1)), "", "write sink.mem.both", ""},
			{"one thing twice", said(strings.Replace(both, "account.login", "account.access_token", 1)), "", "write sink.mem.both", ""},
			{"another secret", said(strings.Replace(both, "mem.key", "mem.other", 1)), "", "", ""},
			{"the key itself", []string{"credential.apirone.key.transfer_key", "secret.mem.key.value"}, "", "", ""},
			{"what depends on the token", []string{`"${credential.apirone.account.expires_at}`, `"${startswith(credential.apirone.account.access_token, "it") ? "a" : credential.apirone.account.expires_at}`}, "", "", "sink.mem.expiry"},
			{"a claim of the token", []string{`"${credential.apirone.account.expires_at}`, `"${jwt_claims(credential.apirone.account.access_token).sub}`}, "", "write sink.mem.expiry", ""},
			{"the header, put together", []string{"content = credential.coinify.trader.access_token", `content = trimprefix(credential.coinify.trader.header, "${credential.coinify.trader.token_type} ")`}, "", "", ""},
			{"the header by its usual type", []string{"content = credential.coinify.trader.access_token", `content = trimprefix(credential.coinify.trader.header, "Bearer ")`}, "", "", "sink.mem.trader"},
		} {
			text := strings.NewReplacer(c.changes...).Replace(hcl) + c.more
			if text == hcl+c.more && len(c.changes) > 0 {
				t.Fatalf("%s: nothing is changed", c.name)
			}
			p := w.against(x, text)
			var steps, unknown []string
			for _, s := range p.Steps {
				steps = append(steps, string(s.Action)+" "+s.Address)
			}
			for _, a := range p.Unknown {
				if !strings.HasSuffix(a, ".key") && !strings.HasSuffix(a, ".lock") && a != "sink.mem.both" && a != "sink.mem.all" { // what names a secret always is
					unknown = append(unknown, a)
				}
			}
			if got := strings.Join(steps, "; "); got != c.steps {
				t.Errorf("%s: planned %q, want %q", c.name, got, c.steps)
			}
			if got := strings.Join(unknown, " "); got != c.unknown {
				t.Errorf("%s: known at apply %q, want %q", c.name, got, c.unknown)
			}
		}
	})
}

// An export of a tokend that knew no portraits is read: a sink that is as it was is
// as declared, and of one that is said in other words it is known at apply.
func TestAnExportWithoutPortraits(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		hcl := trader("a@example.com", bystander)
		w.set(hcl)
		time.Sleep(time.Minute)
		x, err := w.loop.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range x.Sinks {
			x.Sinks[i].Portrait = nil
		}
		if p := w.against(x, hcl); len(p.Steps)+len(p.Unknown) > 0 {
			t.Errorf("nothing changed, and planned is\n%sunknown %v", lines(p.Steps), p.Unknown)
		}
		p := w.against(x, strings.Replace(hcl, "content = credential.coinify.trader.access_token", `content = "x${credential.coinify.trader.access_token}"`, 1))
		if len(p.Steps) > 0 || len(p.Unknown) != 1 || p.Unknown[0] != "sink.mem.trader" {
			t.Errorf("of a changed sink is planned\n%sunknown %v", lines(p.Steps), p.Unknown)
		}
	})
}
