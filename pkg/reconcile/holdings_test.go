package reconcile_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/state"
)

// heirless is a person who has not logged in, and so a sink that does not take the
// place that another leaves to it.
const heirless = `
provider "cryptohopper" {
  base_url            = "http://cryptohopper.localhost"
  allow_insecure_http = true
}
credential "cryptohopper" "bot" {
  grant         = "authorization_code"
  client_id     = "c"
  client_secret = secret.mem.pw.value
  scopes        = ["read"]
}
sink "mem" "heir" {
  place   = "trader"
  content = credential.cryptohopper.bot.access_token
}
`

// A sink was moved, and its earlier place waits for the sink that takes it. It is
// given one token at its new place, and then another: whether the first is held
// still is a matter of what the earlier place was given, for the daemon and for a
// plan.
func TestATokenIsHeldByThePlaceThatWasGivenIt(t *testing.T) {
	for _, c := range []struct {
		name, content string
		former        bool // the state is one of a tokend that did not tell places apart
		had           bool
	}{
		{"the earlier place never had it", `"nothing"`, false, false},
		{"the earlier place had it", "credential.coinify.trader.access_token", false, true},
		{"a former tokend does not say", `"nothing"`, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				const sink, credential = "sink.mem.trader", "credential.coinify.trader"
				at := func(email, place, content, more string) string {
					hcl := strings.NewReplacer(`place   = "trader"`, `place   = "`+place+`"`, "content = credential.coinify.trader.access_token", "content = "+content,
						"  partner_id", "  lifecycle {\n    overlap = \"0s\"\n  }\n  partner_id").Replace(trader(email, ""))
					return hcl + more
				}
				const token = "credential.coinify.trader.access_token"
				w.set(at("a@example.com", "trader", c.content, ""))
				w.wait(time.Minute)
				w.set(at("a@example.com", "elsewhere", token, heirless))
				w.wait(time.Minute)
				first := w.places.get("elsewhere")
				w.halt()
				if c.former {
					rec, err := w.store.Sink(t.Context(), sink)
					if err != nil {
						t.Fatal(err)
					}
					rec.Left = map[string]map[string]uint64{"": {credential: 1}}
					if err := w.store.Commit(t.Context(), state.Change{Sink: &rec}); err != nil {
						t.Fatal(err)
					}
				}
				w.begin(true)
				second := w.config(at("b@example.com", "elsewhere", token, heirless))
				if _, err := w.loop.Set(t.Context(), second, reconcile.SetOptions{NoSettle: true, Dry: true}); err != nil {
					t.Fatal(err)
				}
				p, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{NoSettle: true})
				if err != nil {
					t.Fatal(err)
				}
				revokes := func(s reconcile.Step) bool { return s.Address == credential && s.Action == reconcile.ActRevoke }
				if now, later := slices.ContainsFunc(p.Steps, revokes), slices.ContainsFunc(p.Later, revokes); now != !c.had || later != c.had {
					t.Errorf("the plan revokes the first token now: %v, later: %v", now, later)
				}
				if _, err := w.loop.Set(t.Context(), second, reconcile.SetOptions{NoSettle: true}); err != nil {
					t.Fatal(err)
				}
				if err := w.loop.Resume(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.wait(time.Minute)
				kept := func() bool {
					rec, _, err := w.store.Credential(t.Context(), credential)
					return err != nil || len(rec.Retiring) > 0
				}
				if now := w.places.get("elsewhere"); now == first || now == "" || kept() != c.had {
					t.Errorf("a minute after the replacement the new place holds %q (%q before), and the first token is not revoked yet: %v", now, first, kept())
				}
				w.set(at("b@example.com", "elsewhere", token, "")) // nobody takes the earlier place
				w.wait(5 * time.Minute)
				if w.places.get("trader") != "" || kept() {
					t.Errorf("the earlier place holds %q, and the first token is not revoked yet: %v", w.places.get("trader"), kept())
				}
			})
		})
	}
}

// A sink that cannot even be looked at goes on holding what it was given, for a plan
// too.
func TestAPlanKnowsWhatASinkHoldsThatCannotBeLookedAt(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		const credential = "credential.coinify.trader"
		at := func(email string) string {
			return strings.Replace(trader(email, ""), "  partner_id", "  lifecycle {\n    overlap = \"0s\"\n  }\n  partner_id", 1)
		}
		w.set(at("a@example.com"))
		w.wait(time.Minute)
		second := w.config(strings.Replace(at("b@example.com"), "= credential.coinify.trader.access_token", "= \"${credential.coinify.trader.access_token} ${jsondecode(secret.mem.pw.value).none}\"", 1))
		w.halt()
		w.begin(true)
		if _, err := w.loop.Set(t.Context(), second, reconcile.SetOptions{NoSettle: true, Dry: true}); err != nil {
			t.Fatal(err)
		}
		p, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{NoSettle: true})
		if err != nil {
			t.Fatal(err)
		}
		revokes := func(s reconcile.Step) bool { return s.Address == credential && s.Action == reconcile.ActRevoke }
		if slices.ContainsFunc(p.Steps, revokes) || !slices.ContainsFunc(p.Later, revokes) {
			t.Errorf("the plan does not leave the old token to the sink:\n%s", lines(p.Steps))
		}
		if _, err := w.loop.Set(t.Context(), second, reconcile.SetOptions{NoSettle: true}); err != nil {
			t.Fatal(err)
		}
		if err := w.loop.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wait(time.Minute)
		if rec, _, err := w.store.Credential(t.Context(), credential); err != nil || rec.Head.Generation != 2 || len(rec.Retiring) != 1 {
			t.Errorf("a minute later there is generation %d, and %d old ones: %v", rec.Head.Generation, len(rec.Retiring), err)
		}
	})
}
