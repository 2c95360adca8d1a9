package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// crashConfig has credentials whose refresh tokens work once, with lifetimes of
// seconds: something is on the wire at almost every moment.
const crashConfig = `
tokend {
  guard { settle = "0s" }
  defaults {
    refresh {
      at            = 0.4
      jitter        = 0.2
      min_remaining = "1s"
    }
    retry { initial = "20ms" }
  }
}
variable "out" { type = string }
variable "coinify_url" { type = string }
variable "apirone_url" { type = string }
variable "cryptohopper_url" { type = string }
secret "file" "password" { path = "password" }
provider "coinify" { base_url = var.coinify_url }
provider "apirone" { base_url = var.apirone_url }

credential "coinify" "trader" {
  for_each   = toset(["a", "b", "c", "d", "e", "f"])
  email      = "${each.key}@example.com"
  grant      = "password"
  partner_id = "p"
  password   = secret.file.password.value
  lifecycle { overlap = "200ms" }
}
credential "apirone" "account" {
  for_each = toset(["a", "b", "c", "d", "e", "f"])
  grant    = "login"
  login    = "apr-${each.key}"
  password = secret.file.password.value
  lifecycle { overlap = "200ms" }
}
sink "file" "trader" {
  for_each = credential.coinify.trader
  path     = "${var.out}/coinify-${each.key}"
  content  = "${each.value.access_token}\n"
}
sink "file" "account" {
  for_each = credential.apirone.account
  path     = "${var.out}/apirone-${each.key}"
  content  = "${each.value.access_token}\n"
}
credential "windowed" "bot" {
  for_each      = toset(["a", "b", "c"])
  grant         = "authorization_code"
  client_id     = "bot-${each.key}"
  client_secret = secret.file.password.value
  scopes        = ["read"]
  refresh { at = 0.25 }
}
sink "file" "bot" {
  for_each = credential.windowed.bot
  path     = "${var.out}/cryptohopper-${each.key}"
  content  = "${each.value.access_token}\n"
}
sink "env" "all" {
  path = "${var.out}/all.env"
  vars = { COINIFY = credential.coinify.trader["a"].access_token, APIRONE = credential.apirone.account["a"].access_token }
}
`

const crashEmptied = `
tokend {
  guard { settle = "0s" }
}
variable "out" { type = string }
variable "coinify_url" { type = string }
variable "apirone_url" { type = string }
variable "cryptohopper_url" { type = string }
`

// crashLifetime is short, so that refreshes are many; and long enough for a busy
// machine to make all of them between two looks.
const crashLifetime = 6 * time.Second

// crashRules are those of the strictest server: a refresh token works once, and
// one that comes again ends everything that came of its grant.
var crashRules = standin.Rules{
	AccessLifetime: crashLifetime, RefreshLifetime: time.Hour, Rotate: standin.RotateSingleUse, DetectReuse: true,
	ExpiresIn: standin.ExpiryNumber, Latency: 5 * time.Millisecond,
}

// TestCrash kills the daemon at random moments, many times over, and at the
// worst one: when the provider has spent a refresh token and its reply is on
// the wire. Whatever the moment, the next start heals it without a person, no
// single-use token is sent twice, what may have been lost is counted, and no
// sink ever holds an empty file or a half token.
//
// An interactive grant whose API answers a repeated refresh alike for a while is
// healed by one repetition, and needs nobody to log in again.
func TestCrash(t *testing.T) {
	rounds, patience := 30, 15*time.Second // on a busy machine fewer rounds
	if s := os.Getenv("TOKEND_CRASH_ROUNDS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
		patience = 24 * time.Hour
	}
	c := newCrash(t)
	began := time.Now()
	round := 0
	for ; round < rounds && (round < crashLeast || time.Since(began) < patience); round++ {
		d := c.start("--log-level", "warn")
		switch round % 3 {
		case 0:
			pause(t.Context(), time.Duration(rand.N(700*time.Millisecond)))
		case 1:
			c.onTheWire(d)
		case 2:
			c.converged(d)
			pause(t.Context(), time.Duration(rand.N(300*time.Millisecond)))
		}
		if d.died() {
			t.Fatalf("round %d: the daemon ended by itself", round)
		}
		d.kill()
		c.checkSinks(round)
		c.checkReuse(round)
		if (round+1)%50 == 0 {
			t.Logf("%d rounds in %s", round+1, time.Since(began).Round(time.Second))
		}
	}
	t.Logf("%d rounds; %d refreshes were repeated inside their window", round, c.api.Counts(standin.Cryptohopper).Replays)
	c.removeAll()
}

// crashLeast is how many rounds are made however slow the machine: each kind of
// kill several times.
const crashLeast = 6

// TestLostReplies loses replies under a living daemon: the same rules hold, and
// what was lost is counted exactly.
func TestLostReplies(t *testing.T) {
	c := newCrash(t)
	d := c.start("--log-level", "warn")
	c.converged(d)
	lost := map[standin.API]int{standin.Coinify: 4, standin.Apirone: 4}
	for _, kind := range []standin.FaultKind{standin.FaultLost, standin.FaultCut} {
		for api, n := range lost {
			f := standin.Fault{API: api, Kind: kind, Times: n / 2, Path: refreshPath(api)}
			if api == standin.Coinify {
				f.Grant = "refresh_token"
			}
			armed := c.api.Fail(f)
			c.until("lost replies", func(context.Context) string {
				if hits := armed.Hits(); hits < n/2 {
					return fmt.Sprintf("%d replies were lost", hits)
				}
				return ""
			})
		}
		c.converged(d)
	}
	c.until("the orphans of lost replies", func(context.Context) string {
		for api, n := range lost {
			if got := c.orphans(api); got != n {
				return fmt.Sprintf("%s: %d replies were lost after a rotation, and %d orphans are counted", api, n, got)
			}
		}
		return ""
	})
	c.converged(d)
	for api, n := range lost {
		if got := c.orphans(api); got != n {
			t.Errorf("%s: %d replies were lost after a rotation, and %d orphans are counted in the end", api, n, got)
		}
	}
	c.checkReuse(0)
	d.stop()
	c.removeAll()
}

// TestCrashThenStandstill stays down after the crash for longer than an access
// token lives: revoking Apirone's would need a refresh, and the refresh token
// may be spent. It is not tried.
func TestCrashThenStandstill(t *testing.T) {
	c := newCrash(t)
	d := c.start("--log-level", "warn")
	c.converged(d)
	armed := c.api.Fail(standin.Fault{API: standin.Apirone, Kind: standin.FaultDelay, Delay: time.Minute, Path: refreshPath(standin.Apirone), Times: 3})
	c.until("three refreshes on the wire", func(context.Context) string {
		if n := armed.Hits(); n < 3 {
			return fmt.Sprintf("%d are", n)
		}
		return ""
	})
	d.kill()
	armed.Clear()
	pause(t.Context(), crashRules.AccessLifetime+time.Second)
	d = c.start("--log-level", "warn")
	c.converged(d)
	c.until("old grants to be given up", func(context.Context) string {
		out, _ := c.tokend("", "state", "list")
		if strings.Contains(out, "retiring") {
			return out
		}
		return ""
	})
	c.checkReuse(0)
	d.stop()
	c.removeAll()
}

func refreshPath(api standin.API) string {
	switch api {
	case standin.Apirone:
		return "/api/v2/auth/refresh-token"
	case standin.Cryptohopper:
		return "/oauth2/token"
	}
	return "/auth"
}
