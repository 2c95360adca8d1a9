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

// leftBut says what the state still has after the removal of everything but what each
// address has lost.
func (c *crash) leftBut(lost map[standin.API]map[string]int) string {
	out, _ := c.tokend("", "state", "list", "--json")
	var left []stateLine
	if err := json.Unmarshal([]byte(out), &left); err != nil {
		return out
	}
	records := map[string]stateLine{}
	for _, l := range left {
		records[l.Address] = l
	}
	for _, api := range crashAPIs {
		for a, account := range c.addresses(api) {
			l, there := records[a]
			if delete(records, a); there != (lost[api][account] > 0) || l.Orphans != lost[api][account] || l.Generation != 0 || len(l.Flags) > 0 {
				return fmt.Sprintf("%s has lost %d, and its record is %+v", a, lost[api][account], l)
			}
		}
	}
	if len(records) > 0 {
		return fmt.Sprintf("there is also %v", records)
	}
	return ""
}

// forgetOrphans says of each address that somebody has looked after what it lost, which
// leaves nothing.
func (c *crash) forgetOrphans(lost map[standin.API]map[string]int) {
	c.t.Helper()
	for _, api := range crashAPIs {
		for a, account := range c.addresses(api) {
			if lost[api][account] == 0 {
				continue
			}
			if out, status := c.tokend("", "revoke", a, "--forget-orphans"); status != 0 {
				c.t.Errorf("%s: status %d: %s", a, status, out)
			}
		}
	}
	c.until("nothing is left", func(context.Context) string {
		if out, status := c.tokend("", "apply", "--auto-approve"); status != 0 { // drops what is empty
			return out
		}
		out, _ := c.tokend("", "state", "list")
		return strings.TrimSpace(out)
	})
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
		return c.leftBut(lost)
	})
	c.forgetOrphans(lost)
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
