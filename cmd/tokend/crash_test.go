package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
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

// crash is a host with what its invariants need.
type crash struct {
	*host
	issued map[string]time.Time // by sink: when the token that it held was issued
}

var crashAPIs = []standin.API{standin.Coinify, standin.Apirone, standin.Cryptohopper}

func newCrash(t *testing.T) *crash {
	o := standin.Options{AnyAccount: true, AutoApprove: true, Rules: crashRules, PerAPI: map[standin.API]standin.Rules{standin.Cryptohopper: {ReplayWindow: crashWindow, AccessLifetime: windowedLifetime}}}
	for _, k := range []string{"a", "b", "c"} {
		o.Clients = append(o.Clients, standin.Client{API: standin.Cryptohopper, ID: "bot-" + k, Secret: "one-password", User: "bot-" + k, RedirectURIs: []string{callbackURI}})
	}
	c := &crash{host: newHost(t, build(t), o), issued: map[string]time.Time{}}
	c.write("password", "one-password\n")
	c.write("windowed.hcl", interactiveType("windowed", fmt.Sprintf("replay_window = %q", crashWindow)))
	c.write("main.hcl", crashConfig)
	c.logInAll()
	return c
}

func (c *crash) addresses(api standin.API) map[string]string {
	out := map[string]string{}
	for _, k := range []string{"a", "b", "c", "d", "e", "f"} {
		switch api {
		case standin.Coinify:
			out["credential.coinify.trader["+strconv.Quote(k)+"]"] = k + "@example.com"
		case standin.Apirone:
			out["credential.apirone.account["+strconv.Quote(k)+"]"] = "apr-" + k
		case standin.Cryptohopper:
			if k <= "c" {
				out["credential.windowed.bot["+strconv.Quote(k)+"]"] = "bot-" + k
			}
		}
	}
	return out
}

// onTheWire waits until a refresh was carried out whose reply is not there yet.
func (c *crash) onTheWire(d *running) {
	c.t.Helper()
	api := crashAPIs[rand.N(len(crashAPIs))]
	if api == standin.Cryptohopper {
		c.converged(d) // what the last round lost is repeated by now: a second loss of the same would need a person
	}
	f := standin.Fault{API: api, Kind: standin.FaultDelay, Delay: time.Minute, Path: refreshPath(api)}
	if api != standin.Apirone {
		f.Grant = "refresh_token"
	}
	armed := c.api.Fail(f)
	defer armed.Clear()
	select {
	case <-armed.Hit():
	case <-time.After(time.Minute):
		c.t.Fatalf("no refresh of %s came within a minute", api)
	}
}

// converged waits until everything is ready and every sink holds a living
// token, and then checks that nothing is unaccounted for.
func (c *crash) converged(d *running) {
	c.t.Helper()
	c.until("convergence", func(ctx context.Context) string {
		if d.died() {
			c.t.Fatal("the daemon ended by itself")
		}
		s, err := c.ask().Status(ctx, "")
		if err != nil {
			return err.Error()
		}
		for _, lines := range [][]reconcile.Line{s.Credentials, s.Sinks} {
			for _, l := range lines {
				if l.State != reconcile.Ready {
					return fmt.Sprintf("%s is %s: %s", l.Address, l.State, l.Why)
				}
			}
		}
		if len(s.Credentials) != 15 || len(s.Sinks) != 16 {
			return fmt.Sprintf("%d credentials and %d sinks", len(s.Credentials), len(s.Sinks))
		}
		for _, api := range crashAPIs {
			for a := range c.addresses(api) {
				name := string(api) + "-" + strings.Split(a, `"`)[1]
				if tok, found := c.api.Lookup(api, c.held(name)); !found || !tok.Alive {
					return name + " holds a token that does not work"
				}
			}
		}
		return ""
	})
	c.accounted()
}

// held is the token that a file in out/ holds; "" for none.
func (h *host) held(name string) string {
	b, err := os.ReadFile(h.path("out", name))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(b), "\n")
}

// accounted checks that every living grant at the provider is one that the
// state knows, or one that it counts as an orphan. Books and state are read one
// after the other, and refreshes go on meanwhile: a call that is under way is
// settled a moment later.
func (c *crash) accounted() {
	c.t.Helper()
	c.until("every living grant to be known or counted", func(context.Context) string {
		for _, api := range crashAPIs {
			known := map[string]int{}
			for a, account := range c.addresses(api) {
				known[account] = c.known(a)
			}
			for account, n := range c.sessions(api) {
				if n > known[account] {
					return fmt.Sprintf("%s: %s has %d living grants, of which the state knows or counts %d", api, account, n, known[account])
				}
			}
		}
		return ""
	})
}

// known is how many living grants of a credential the state can account for.
func (c *crash) known(addr string) int {
	c.t.Helper()
	r, err := c.ask().StateShow(c.t.Context(), addr)
	if err != nil {
		c.t.Fatal(err)
	}
	var rec struct {
		Grant    any   `json:"grant"`
		Retiring []any `json:"retiring"`
		Orphans  int   `json:"orphans"`
	}
	b, err := json.Marshal(r.Contents)
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	n := rec.Orphans + len(rec.Retiring)
	if rec.Grant != nil {
		n++
	}
	return n
}

// sessions counts the living grants of each account in the provider's books.
func (c *crash) sessions(api standin.API) map[string]int {
	living := map[string]map[uint64]bool{}
	for _, tok := range c.api.Ledger(api).Tokens {
		if tok.Alive && tok.Kind == "refresh" {
			if living[tok.Account] == nil {
				living[tok.Account] = map[uint64]bool{}
			}
			living[tok.Account][tok.Session] = true
		}
	}
	out := map[string]int{}
	for account, s := range living {
		out[account] = len(s)
	}
	return out
}

func (c *crash) orphans(api standin.API) int {
	c.t.Helper()
	n := 0
	for a := range c.addresses(api) {
		r, err := c.ask().StateShow(c.t.Context(), a)
		if err != nil {
			c.t.Fatal(err)
		}
		o, _ := r.Contents["orphans"].(float64)
		n += int(o)
	}
	return n
}

// checkSinks looks at what a crash has left: whole tokens, never older than
// what was there before.
func (c *crash) checkSinks(round int) {
	c.t.Helper()
	files, err := os.ReadDir(c.path("out"))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			continue // a temporary file, which nobody reads
		}
		values := map[string]standin.API{}
		text := c.held(f.Name())
		switch {
		case f.Name() == "all.env":
			for line := range strings.Lines(text + "\n") {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				values[strings.Trim(value, `"'`)] = standin.API(strings.ToLower(name))
			}
			if len(values) != 2 {
				c.t.Fatalf("round %d: %s holds %q", round, f.Name(), text)
			}
		default:
			api, _, _ := strings.Cut(f.Name(), "-")
			values[text] = standin.API(api)
		}
		for v, api := range values {
			tok, found := c.api.Lookup(api, v)
			key := filepath.Join(f.Name(), string(api))
			if !found {
				c.t.Fatalf("round %d: %s holds %q, which %s never issued", round, f.Name(), v, api)
			}
			if tok.Issued.Before(c.issued[key]) {
				c.t.Fatalf("round %d: %s went back to an older token", round, f.Name())
			}
			c.issued[key] = tok.Issued
		}
	}
	if len(c.issued) > 0 && len(files) < 16 {
		c.t.Logf("round %d: %d files so far", round, len(files))
	}
}

func (c *crash) checkReuse(round int) {
	c.t.Helper()
	for _, api := range crashAPIs {
		if n := c.api.Counts(api).Reuses; n != 0 {
			c.t.Fatalf("round %d: %s saw %d single-use refresh tokens twice", round, api, n)
		}
	}
}

// removeAll gives everything up and checks that nothing is left alive but what
// was counted as an orphan.
func (c *crash) removeAll() {
	c.t.Helper()
	d := c.start("--log-level", "warn")
	c.converged(d)
	lost := map[standin.API]map[string]int{}
	for _, api := range crashAPIs {
		lost[api] = map[string]int{}
		for a, account := range c.addresses(api) {
			r, err := c.ask().StateShow(c.t.Context(), a)
			if err != nil {
				c.t.Fatal(err)
			}
			o, _ := r.Contents["orphans"].(float64)
			lost[api][account] = int(o)
		}
	}
	d.stop() // a kill would lose one more reply, after the orphans were counted
	c.write("main.hcl", crashEmptied)
	c.until("the removal of everything", func(context.Context) string {
		if out, status := c.tokend("", "apply", "--auto-approve", "--allow-revocations", "100"); status != 0 {
			return out
		}
		out, _ := c.tokend("", "state", "list")
		return strings.TrimSpace(out)
	})
	total := 0
	for _, api := range crashAPIs {
		if api == standin.Cryptohopper {
			continue // this API has no revocation
		}
		for account, n := range c.sessions(api) {
			if n > lost[api][account] {
				c.t.Errorf("%s: %s has %d living grants after everything was given up; %d were counted as orphans", api, account, n, lost[api][account])
			}
		}
		for _, n := range lost[api] {
			total += n
		}
		for a := range c.addresses(api) {
			name := string(api) + "-" + strings.Split(a, `"`)[1]
			if _, err := os.Stat(c.path("out", name)); err == nil {
				c.t.Errorf("%s is still there", name)
			}
		}
	}
	c.checkReuse(-1)
	if total == 0 && c.api.Counts(standin.Cryptohopper).Replays == 0 {
		c.t.Error("no reply was ever lost: the crashes proved nothing")
	}
	c.t.Logf("%d replies were lost and counted", total)
}
