package reconcile_test

import (
	"strings"
	"testing"
	"time"

	"tokend/pkg/providers/catalog"
	"tokend/pkg/standin"
)

// A refusal that is about who asks, or where, says nothing of the refresh token
// that was sent: it lives, and what its credential left is revoked once the way
// there is right again.
func TestARevivalRefusedForTheClientsSakeIsTriedAgain(t *testing.T) {
	own, err := catalog.FS.ReadFile("coinify.hcl")
	if err != nil {
		t.Fatal(err)
	}
	needs := strings.Replace(string(own), `needs = "refresh_token"`, `needs = "access_token"`, 1)
	rest := needs + `
secret "mem" "key" { value = "a-key" }
credential "apirone" "other" {
  grant        = "transfer_key"
  transfer_key = secret.mem.key.value
}
`
	for name, fault := range map[string]standin.Fault{
		"no such path":    {Kind: standin.FaultStatus, Status: 404, Body: "no such page"},
		"a redirect":      {Kind: standin.FaultRedirect, Location: "/elsewhere"},
		"the client":      {Kind: standin.FaultRefuse, Status: 401, Code: "invalid_client"},
		"a wall":          {Kind: standin.FaultHTML, Status: 403},
		"invalid_request": {Kind: standin.FaultRefuse, Status: 400, Code: "invalid_request"},
		// What stands before an API may have swallowed its answer: a token that works
		// once is not sent again.
		"a wall, and it works once": {Kind: standin.FaultHTML, Status: 403},
		"the very token":            {Kind: standin.FaultRefuse, Status: 400, Code: "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			o := strict()
			o.Rules.AccessLifetime = 80 * time.Second
			inWorld(t, o, func(t *testing.T, w *world) {
				rest := rest
				if name == "a wall" {
					rest = strings.Replace(rest, `rotates        = "observe"`, `rotates = false`, 1)
				}
				w.set(trader("a@example.com", rest))
				time.Sleep(time.Second)
				w.halt()
				time.Sleep(2 * time.Minute) // the access token ends
				fault.API, fault.Path, fault.Grant, fault.Times = standin.Coinify, "/auth", "refresh_token", 2
				w.server.Fail(fault)
				w.start()
				if held := w.set(rest); held != nil {
					t.Fatal(held.Reason)
				}
				time.Sleep(10 * time.Minute)
				n := w.server.Counts(standin.Coinify)
				if dead := name == "the very token" || name == "a wall, and it works once"; dead && (n.Faulted != 1 || n.Revocations != 0) || !dead && (n.Faulted != 2 || n.Revocations != 1) {
					t.Errorf("%d refused, %d refreshes, %d revocations", n.Faulted, n.Refreshes, n.Revocations)
				}
			})
		})
	}
}

// An API that goes on refusing the refresh that a revocation needs, and says nothing
// of the token or of who asks, is asked ten times: then the token is taken for one that
// may live on.
func TestARevivalRefusedAgainAndAgainIsGivenUp(t *testing.T) {
	own, err := catalog.FS.ReadFile("coinify.hcl")
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.Replace(string(own), `needs = "refresh_token"`, `needs = "access_token"`, 1) + `
secret "mem" "key" { value = "a-key" }
credential "apirone" "other" {
  grant        = "transfer_key"
  transfer_key = secret.mem.key.value
}
`
	for code, givenUp := range map[string]bool{"access_denied": true, "invalid_client": false, "invalid_request": false} {
		t.Run(code, func(t *testing.T) {
			o := strict()
			o.Rules.AccessLifetime = 80 * time.Second
			inWorld(t, o, func(t *testing.T, w *world) {
				w.set(trader("a@example.com", rest))
				time.Sleep(time.Second)
				w.halt()
				time.Sleep(2 * time.Minute) // the access token ends
				w.server.Fail(standin.Fault{API: standin.Coinify, Path: "/auth", Grant: "refresh_token", Kind: standin.FaultRefuse, Status: 403, Code: code, Times: -1})
				w.start()
				w.set(rest)
				time.Sleep(3 * time.Hour)
				n := w.server.Counts(standin.Coinify).Faulted
				// What is left of one that is given up is that it may live on.
				rec, _, _, err := w.loop.Record(t.Context(), "credential.coinify.trader")
				if err != nil || givenUp != (len(rec.Retiring) == 0) || givenUp != (rec.Orphans.Total() == 1) || givenUp && n != 10 || !givenUp && n <= 10 {
					t.Errorf("%d refusals, then %d old tokens and %d orphans (%v)", n, len(rec.Retiring), rec.Orphans.Total(), err)
				}
			})
		})
	}
}

// An outage says nothing of a token, and does not count among the refusals after which
// one is let go: as long as its refresh token may live, what it needs is tried.
func TestAnOutageIsNoRefusalOfARevival(t *testing.T) {
	own, err := catalog.FS.ReadFile("coinify.hcl")
	if err != nil {
		t.Fatal(err)
	}
	rest := strings.Replace(string(own), `needs = "refresh_token"`, `needs = "access_token"`, 1) + `
secret "mem" "key" { value = "a-key" }
credential "apirone" "other" {
  grant        = "transfer_key"
  transfer_key = secret.mem.key.value
}
`
	o := strict()
	o.Rules.AccessLifetime = 80 * time.Second
	inWorld(t, o, func(t *testing.T, w *world) {
		w.set(trader("a@example.com", rest))
		time.Sleep(time.Second)
		w.halt()
		time.Sleep(2 * time.Minute) // the access token ends
		refuse := func(status int, code string, times int) {
			before := w.server.Counts(standin.Coinify).Faulted
			f := standin.Fault{API: standin.Coinify, Path: "/auth", Grant: "refresh_token", Kind: standin.FaultRefuse, Status: status, Code: code, Times: times}
			if code == "" {
				f.Kind = standin.FaultStatus
			}
			w.server.Fail(f)
			if w.loop == nil {
				w.start()
				w.set(rest)
			}
			for range 2 * 3600 {
				if w.server.Counts(standin.Coinify).Faulted == before+times {
					return
				}
				time.Sleep(time.Second)
			}
			t.Fatalf("%d of %d were asked for", w.server.Counts(standin.Coinify).Faulted-before, times)
		}
		w.loop = nil
		refuse(503, "", 9)
		refuse(403, "access_denied", 9)
		refuse(503, "", 1)
		refuse(403, "access_denied", 9)
		time.Sleep(time.Hour)
		if n := w.server.Counts(standin.Coinify); n.Revocations != 1 {
			t.Errorf("its token was let go though it could be revoked: %+v", n)
		}
	})
}
