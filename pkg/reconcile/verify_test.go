package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

// asked is a configuration with one Coinify trader whose API is asked.
func asked(verify string) string {
	return strings.Replace(trader("a@example.com", ""), "  password   = secret.mem.pw.value\n", fmt.Sprintf("  password   = secret.mem.pw.value\n  verify {\n    %s\n  }\n", verify), 1)
}

// calls counts the requests to a path that were answered with a status.
func (w *world) calls(api standin.API, path string, status int) int {
	n := 0
	for _, r := range w.server.Ledger(api).Requests {
		if r.Path == path && (status == 0 || r.Status == status) {
			n++
		}
	}
	return n
}

const every = "path = \"/traders/me\"\n    every = \"1m\""

// A token that the API no longer honours is noticed and replaced within a period
// and a little, and nothing is asked more often than was said.
func TestATokenThatTheAPIDropsIsRenewed(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(asked(every))
		w.pass(10*time.Minute, time.Minute, nil)
		if n := w.calls(standin.Coinify, "/traders/me", 200); n < 8 || n > 11 {
			t.Errorf("asked %d times in ten minutes", n)
		}
		before := w.line("credential.coinify.trader")
		if before.State != reconcile.Ready || before.Next != "verify" {
			t.Errorf("status %+v", before)
		}
		w.crash()
		w.set(asked(every))
		if l := w.line("credential.coinify.trader"); l.Next != "the first look since the start" || !l.NextAt.Before(time.Now().Add(time.Minute)) {
			t.Errorf("just after a start: %+v", l)
		}
		time.Sleep(75 * time.Second)
		before = w.line("credential.coinify.trader")
		if before.Next != "verify" {
			t.Errorf("soon after a start: %+v", before)
		}
		// Its access token alone dies: a refresh mends it.
		w.server.ExpireAccess(standin.Coinify, "a@example.com")
		logins := w.server.Counts(standin.Coinify).Grants
		time.Sleep(75 * time.Second)
		if l := w.line("credential.coinify.trader"); l.Generation != before.Generation+1 || l.State != reconcile.Ready || !w.works(standin.Coinify, "trader") {
			t.Errorf("after the access token died: %+v", l)
		}
		if n := w.server.Counts(standin.Coinify).Grants; n != logins {
			t.Errorf("it logged in %d times for what a refresh mends", n-logins)
		}
		// All that the account has dies: the refresh is refused, a grant mends it.
		w.server.RevokeAccount(standin.Coinify, "a@example.com")
		time.Sleep(80 * time.Second)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Ready || !w.works(standin.Coinify, "trader") {
			t.Errorf("after all died: %+v", l)
		}
	})
}

// An API that honours no token sees no storm of logins: at most three renewals
// an hour, across restarts, and status says why.
func TestAnAPIThatHonoursNothingSeesNoStorm(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.server.Fail(standin.Fault{API: standin.Coinify, Kind: standin.FaultRefuse, Path: "/traders/me", Status: 401, Code: "invalid_token", Times: -1})
		w.set(asked(every))
		for range 6 {
			w.pass(30*time.Minute, time.Minute, nil)
			w.crash()
			w.set(asked(every))
		}
		// By the clock it would refresh about fifteen times in these three hours.
		if n := w.server.Counts(standin.Coinify).Grants; n < 3 || n > 9 {
			t.Errorf("it logged in %d times in three hours", n)
		}
		time.Sleep(5 * time.Minute)
		l := w.line("credential.coinify.trader")
		if l.State != reconcile.Failing || !strings.Contains(l.Why, "no longer honours its token") || !strings.Contains(l.Why, "401") {
			t.Errorf("status %+v", l)
		}
		w.server.ClearFaults()
		time.Sleep(3 * time.Minute)
		if l := w.line("credential.coinify.trader"); l.State != reconcile.Ready {
			t.Errorf("after the API honours it again: %+v", l)
		}
	})
}

// One 401, any number of 403, a server that fails: none of them makes a new token.
func TestWhatIsNoRefusalOfTheToken(t *testing.T) {
	for name, f := range map[string]standin.Fault{
		"one 401":         {Kind: standin.FaultRefuse, Status: 401, Code: "invalid_token", Times: 1},
		"403 for ever":    {Kind: standin.FaultRefuse, Status: 403, Code: "forbidden", Times: -1},
		"404 for ever":    {Kind: standin.FaultStatus, Status: 404, Times: -1},
		"500 for ever":    {Kind: standin.FaultStatus, Status: 500, Times: -1},
		"429 for ever":    {Kind: standin.FaultThrottle, RetryAfter: 3 * time.Minute, Times: -1},
		"cut off":         {Kind: standin.FaultClose, Times: -1},
		"a page of HTML":  {Kind: standin.FaultHTML, Times: -1},
		"a redirect":      {Kind: standin.FaultRedirect, Times: -1},
		"never answering": {Kind: standin.FaultStall, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, strict(), func(t *testing.T, w *world) {
				f.API, f.Path = standin.Coinify, "/traders/me"
				w.server.Fail(f)
				w.set(asked(every))
				w.pass(6*time.Minute, time.Minute, nil)
				if l := w.line("credential.coinify.trader"); l.Generation != 1 || l.State != reconcile.Ready {
					t.Errorf("status %+v", l)
				}
				w.server.ClearFaults()
			})
		})
	}
}

// A plan shows no question as a change, and a start asks within the period.
func TestAQuestionIsNoChange(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(asked(every))
		time.Sleep(time.Second)
		commits := w.store.Info().Serial
		w.pass(5*time.Minute, time.Minute, nil)
		if n := w.store.Info().Serial - commits; n > 1 {
			t.Errorf("asking wrote %d commits", n)
		}
		plan, err := w.loop.Plan(t.Context(), reconcile.PlanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range plan.Steps {
			if s.Action != reconcile.ActNone {
				t.Errorf("the plan has %+v", s)
			}
		}
		w.halt()
		w.start()
		w.set(asked(every))
		before := w.calls(standin.Coinify, "/traders/me", 0)
		time.Sleep(90 * time.Second)
		if n := w.calls(standin.Coinify, "/traders/me", 0) - before; n < 1 || n > 2 {
			t.Errorf("asked %d times in the 90 s after a start", n)
		}
	})
}

// A type's own verification is the default of its credentials.
func TestATypeSaysHowItIsAsked(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(`
provider "mine" { allow_insecure_http = true }
provider_type "mine" {
  grant "password" {
    input "email" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "http://coinify.localhost/auth"
      json   = { grant_type = "password", email = input.email, partnerId = "p", password = input.password }
    }
    response {
      access_token = body.access_token
      expires_in   = body.expires_in
    }
  }
  verify {
    request {
      method  = "GET"
      url     = "http://coinify.localhost/traders/me"
      headers = { Authorization = "Bearer ${token.access_token}" }
    }
  }
}
secret "mem" "pw" { value = "a-password" }
credential "mine" "a" {
  email    = "a@example.com"
  password = secret.mem.pw.value
}
credential "mine" "never" {
  email    = "b@example.com"
  password = secret.mem.pw.value
  verify { every = "0s" }
}`)
		w.pass(6*time.Minute, time.Minute, nil)
		if n := w.calls(standin.Coinify, "/traders/me", 200); n != 1 {
			t.Errorf("asked %d times in six minutes", n)
		}
	})
}
