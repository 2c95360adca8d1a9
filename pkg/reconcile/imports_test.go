package reconcile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// importing is a configuration with one credential that a refresh token is
// imported to.
func importing(token, more string) string {
	return fmt.Sprintf(`
provider "coinify" {
  base_url            = "http://coinify.localhost"
  allow_insecure_http = true
}
secret "mem" "pw" { value = "a-password" }
secret "mem" "rt" { value = %q }
credential "coinify" "trader" {
  grant      = "password"
  email      = "a@example.com"
  partner_id = "p"
  password   = secret.mem.pw.value
}
import {
  to            = credential.coinify.trader
  refresh_token = secret.mem.rt.value
}
%s`, token, more)
}

const delivered = `
sink "mem" "trader" {
  place   = "trader"
  content = credential.coinify.trader.access_token
}`

// elsewhere has another program obtain a token, and begins a new state; it
// returns the refresh token.
func (w *world) elsewhere() string {
	w.set(trader("a@example.com", ""))
	<-time.After(time.Minute)
	w.halt()
	w.store = state.NewMemory(state.MemoryOptions{})
	w.places.forge("trader", "")
	w.start()
	for _, t := range w.server.Live(standin.Coinify, "a@example.com") {
		if t.Kind == "refresh" {
			return t.Value
		}
	}
	w.t.Fatal("there is no refresh token")
	return ""
}

// A refresh token that exists already is taken over and used, and the block may
// stay: nothing is asked for by the grant.
func TestAnImportedTokenIsUsed(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := importing(w.elsewhere(), delivered)
		w.set(config)
		time.Sleep(10 * time.Second)
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Refreshes != 1 || !w.works(standin.Coinify, "trader") {
			t.Fatalf("%d grants, %d refreshes, works %t", c.Grants, c.Refreshes, w.works(standin.Coinify, "trader"))
		}
		w.crash()
		w.set(config)
		w.pass(3*time.Hour, time.Minute, func() {
			if !w.works(standin.Coinify, "trader") {
				t.Fatalf("at %s the place holds a token that does not work", time.Now())
			}
		})
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Reuses != 0 {
			t.Errorf("%d grants, %d reuses", c.Grants, c.Reuses)
		}
		// Given up, it is not taken over again: its token is spent.
		if err := w.loop.Do(t.Context(), "credential.coinify.trader", reconcile.Order{Kind: reconcile.OrderRevoke}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 2 || c.Reuses != 0 || !w.works(standin.Coinify, "trader") {
			t.Errorf("after a revocation: %d grants, %d reuses", c.Grants, c.Reuses)
		}
		// Nor by another state of the same: the record goes, the memory stays.
		if err := w.loop.Forget(t.Context(), "credential.coinify.trader"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 3 || c.Reuses != 0 {
			t.Errorf("after it was forgotten: %d grants, %d reuses", c.Grants, c.Reuses)
		}
	})
}

// Where its block goes and comes back, it is not taken over again, and a plan
// that reads no secret knows: without them, and away from the host.
func TestAPlanKnowsWhatWasImportedBefore(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := importing(w.elsewhere(), delivered)
		first := w.against(w.export(), config)
		if got := actions(first); got != "import credential.coinify.trader; refresh credential.coinify.trader; write sink.mem.trader" {
			t.Errorf("planned before is %q", got)
		}
		w.set(config)
		time.Sleep(time.Minute)
		w.set(traders("settle = \"1s\"", "x", "z", ""))
		time.Sleep(time.Minute)
		if _, _, err := w.store.Credential(t.Context(), "credential.coinify.trader"); !errors.Is(err, state.ErrNotFound) {
			t.Fatalf("it is still there: %v", err)
		}
		x := w.export()
		if b, err := json.Marshal(x); err != nil || len(x.Imported) != 1 {
			t.Errorf("exported is %s: %v", b, err)
		}
		plan := w.against(x, config)
		if got := actions(plan); !strings.Contains(got, "obtain credential.coinify.trader") || strings.Contains(got, "import") {
			t.Errorf("planned is %q", got)
		}
		for _, s := range plan.Steps {
			if s.Action == reconcile.ActObtain && !strings.Contains(s.Reason, "known at apply") {
				t.Errorf("the reason is %q", s.Reason)
			}
		}
		grants := w.server.Counts(standin.Coinify).Grants
		w.set(config)
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != grants+1 || c.Reuses != 0 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d grants after %d, %d reuses", c.Grants, grants, c.Reuses)
		}
	})
}

// So does a plan of one whose credential was renamed before it went: what was brought
// to it was brought under its new name.
func TestAPlanKnowsWhatWasImportedUnderAFormerName(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		config := importing(w.elsewhere(), delivered)
		renamed := strings.NewReplacer("coinify.trader", "coinify.other", `"coinify" "trader"`, `"coinify" "other"`).Replace(config)
		w.set(config)
		time.Sleep(time.Minute)
		moved := renamed + "\nmoved {\n  from = credential.coinify.trader\n  to   = credential.coinify.other\n}\n"
		if x := w.export(); len(x.Imported) != 1 || strings.Contains(actions(w.against(x, moved)), "import") {
			t.Errorf("%v were imported; planned of the renamed one is %q", x.Imported, actions(w.against(x, moved)))
		}
		w.set(moved)
		time.Sleep(time.Minute)
		w.set(traders("settle = \"1s\"", "x", "z", ""))
		time.Sleep(time.Minute)
		if _, _, err := w.store.Credential(t.Context(), "credential.coinify.other"); !errors.Is(err, state.ErrNotFound) {
			t.Fatalf("it is still there: %v", err)
		}
		if got := actions(w.against(w.export(), renamed)); !strings.Contains(got, "obtain credential.coinify.other") || strings.Contains(got, "import") {
			t.Errorf("planned is %q", got)
		}
	})
}

func (w *world) export() *reconcile.Export {
	w.t.Helper()
	x, err := w.loop.Export(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func actions(p reconcile.Plan) string {
	var said []string
	for _, s := range p.Steps {
		said = append(said, string(s.Action)+" "+s.Address)
	}
	return strings.Join(said, "; ")
}

// Not spent before it must be: when somebody asks for a token, or a sink that
// names it comes.
func TestAnImportedTokenIsNotSpentBeforeItMustBe(t *testing.T) {
	const addr = "credential.coinify.trader"
	for _, how := range []string{"get", "sink", "removal"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				token := w.elsewhere()
				w.set(importing(token, ""))
				time.Sleep(3 * time.Hour)
				w.crash()
				w.set(importing(token, ""))
				time.Sleep(time.Hour)
				if c := w.server.Counts(standin.Coinify); c.Grants != 1 || c.Refreshes != 0 {
					t.Fatalf("%d grants, %d refreshes", c.Grants, c.Refreshes)
				}
				if l := w.line(addr); l.State != reconcile.Ready {
					t.Errorf("%+v", l)
				}
				refreshes := 1
				switch how {
				case "get":
					at, err := w.loop.Attributes(t.Context(), addr, time.Minute, false)
					if err != nil || at.Generation != 1 {
						t.Errorf("generation %d: %v", at.Generation, err)
					}
				case "sink":
					w.set(importing(token, delivered))
					time.Sleep(10 * time.Second)
					if !w.works(standin.Coinify, "trader") {
						t.Errorf("the sink holds %q", w.places.get("trader"))
					}
				case "removal":
					w.set(traders("settle = \"1s\"", "x", "z", ""))
					time.Sleep(time.Minute)
					if n := len(w.server.Live(standin.Coinify, "a@example.com")); n != 0 {
						t.Errorf("%d tokens are alive after the removal", n)
					}
					refreshes = w.server.Counts(standin.Coinify).Refreshes
				}
				if c := w.server.Counts(standin.Coinify); c.Refreshes != refreshes || c.Reuses != 0 {
					t.Errorf("%d refreshes, %d reuses", c.Refreshes, c.Reuses)
				}
			})
		})
	}
}

// One that the provider refuses is given up for the grant, where it needs no
// person.
func TestAnImportedTokenThatIsRefused(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(importing("made-up", delivered))
		time.Sleep(10 * time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Grants != 1 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d grants, works %t: %+v", c.Grants, w.works(standin.Coinify, "trader"), w.line("credential.coinify.trader"))
		}
	})
}

// The same token for two credentials is one's alone.
func TestOneImportedTokenForTwo(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		token := w.elsewhere()
		w.set(importing(token, delivered) + strings.Replace(bystander, `email      = "o@`, `email      = "a@`, 1) + `
import {
  to            = credential.coinify.other
  refresh_token = secret.mem.rt.value
}`)
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Reuses != 0 || c.Grants != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d reuses, %d grants", c.Reuses, c.Grants)
		}
	})
}

// A crash in the middle of the first refresh of what was imported: it is not
// spent a second time, and the grant heals it.
func TestACrashWhileAnImportedTokenIsSpent(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		token := w.elsewhere()
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultDelay, Grant: "refresh_token", Delay: 10 * time.Second})
		w.set(importing(token, delivered))
		for w.server.Counts(standin.Coinify).Faulted == 0 {
			time.Sleep(time.Second)
		}
		w.crash()
		w.set(importing(token, delivered))
		time.Sleep(time.Minute)
		if c := w.server.Counts(standin.Coinify); c.Reuses != 0 || c.Grants != 2 || !w.works(standin.Coinify, "trader") {
			t.Errorf("%d reuses, %d grants, works %t", c.Reuses, c.Grants, w.works(standin.Coinify, "trader"))
		}
	})
}
