package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
	"tokend/pkg/standin"
)

const deviceConfig = `
variable "out" { type = string }
secret "file" "client" { path = "client" }
credential "oauth2" "tv" {
  grant         = "device_code"
  device_url    = "%[1]s/device_authorization"
  token_url     = "%[1]s/token"
  client_id     = "tv"
  client_secret = secret.file.client.value
  scopes        = ["read"]
}
sink "file" "tv" {
  path    = "${var.out}/tv"
  content = credential.oauth2.tv.access_token
}
`

const tvAddress = "credential.oauth2.tv"

// deviceLab has a credential that a person logs in to on another device; a code
// lasts as long as that, and is asked about every second.
func deviceLab(t *testing.T, lasts time.Duration) *lab {
	t.Helper()
	l := newLab(t, standin.Rules{DeviceInterval: time.Second, CodeLifetime: lasts})
	l.write("client", "a-client-secret\n")
	l.write("main.hcl", fmt.Sprintf(deviceConfig, l.urls.OAuth2))
	return l
}

var printedCode = regexp.MustCompile(`enter the code ([A-Z]{4}-[A-Z]{4}):`)

// code is the one that was printed, with the addresses to open.
func (p *person) code() (code, uri, complete string) {
	p.t.Helper()
	p.until("login prints a code", func() (bool, string) {
		return strings.Contains(p.out.String(), "Waiting until"), p.out.String() + p.err.String()
	})
	m := printedCode.FindStringSubmatch(p.out.String())
	urls := printedURL.FindAllStringSubmatch(p.out.String(), -1)
	if m == nil || len(urls) != 2 {
		p.t.Fatalf("it prints %s", p.out.String())
	}
	return m[1], urls[0][1], urls[1][1]
}

// polled waits until the provider was asked.
func (l *lab) polled(more int) {
	l.t.Helper()
	before := l.api.Counts(standin.OAuth2).Polls
	l.until("it asks", func() (bool, string) {
		c := l.api.Counts(standin.OAuth2)
		return c.Polls >= before+more, fmt.Sprintf("%+v", c)
	})
}

// A person enters a code on another device; with a daemon and away from one.
func TestLoginByADeviceCode(t *testing.T) {
	t.Parallel()
	for _, daemon := range []bool{true, false} {
		t.Run(fmt.Sprintf("daemon %v", daemon), func(t *testing.T) {
			t.Parallel()
			l := deviceLab(t, time.Hour)
			if daemon {
				l.start()
			}
			p := l.person("oauth2.tv")
			code, uri, complete := p.code()
			if uri != l.urls.OAuth2+"/device" || complete != uri+"?user_code="+code {
				t.Errorf("it prints %s and %s", uri, complete)
			}
			l.polled(2)
			l.visits(complete, http.StatusOK, "Connected")
			if said := p.ends(0); !strings.Contains(said, "oauth2.tv: logged in") {
				t.Error(said)
			}
			c := l.api.Counts(standin.OAuth2)
			if c.Grants != 1 || c.SlowDowns != 0 || c.CodeReuses != 0 {
				t.Errorf("the books: %+v", c)
			}
			if b, err := os.ReadFile(filepath.Join(l.out, "tv")); err != nil || len(b) == 0 {
				t.Errorf("its sink when login says that it is there: %q %v", b, err)
			}
			if !daemon {
				return
			}
			if log := l.daemon.log.String(); strings.Contains(log, code) || strings.Contains(log, "failed") {
				t.Errorf("the log has the code, or calls a wait a failure:\n%s", log)
			}
			said, status := l.tokend("login", "--paste", "oauth2.tv")
			if status != 1 || !strings.Contains(said, "there is no address to paste") {
				t.Errorf("%d %s", status, said)
			}
		})
	}
}

// The daemon asks, so a login goes on without its command and after a restart.
func TestLoginByADeviceCodeOutlives(t *testing.T) {
	t.Parallel()
	l := deviceLab(t, time.Hour)
	l.start()
	p := l.person("oauth2.tv")
	code, _, _ := p.code()
	l.polled(1)
	l.stop()
	l.start()
	l.polled(1)
	l.api.DecideDevice(code, true)
	p.ends(0)
	l.untilState(tvAddress, reconcile.Ready)

	p = l.person("oauth2.tv")
	code, _, _ = p.code()
	p.giveUp()
	if said := p.ends(1); !strings.Contains(said, "hint: the daemon goes on asking until ") {
		t.Error(said)
	}
	l.stop()
	l.start()
	l.api.DecideDevice(code, true)
	l.until("the second login came about", func() (bool, string) {
		n := l.api.Counts(standin.OAuth2).Grants
		return n == 2, fmt.Sprint(n)
	})
	l.untilState(tvAddress, reconcile.Ready)
}

// How slowly a server wants to be asked is not forgotten at a restart.
func TestLoginByADeviceCodeStaysSlow(t *testing.T) {
	t.Parallel()
	l := deviceLab(t, time.Hour)
	l.start()
	p := l.person("oauth2.tv")
	code, _, _ := p.code()
	slow := l.api.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultThrottle, Path: "/token", Times: 1})
	<-slow.Hit()
	l.polled(1)
	l.stop()
	if all, _ := l.savedLogins(nil); len(all) != 1 || all[0].Interval != 6*time.Second {
		t.Errorf("the state has %d logins, want one that is asked about every 6 s: %+v", len(all), all)
	}
	l.start()
	l.api.DecideDevice(code, true)
	p.ends(0)
}

// A refusal, a code that nobody enters and a login that another one replaces each
// end with a word of their own.
func TestLoginByADeviceCodeThatEnds(t *testing.T) {
	t.Parallel()
	l := deviceLab(t, time.Hour)
	l.start()
	replaced := l.person("oauth2.tv")
	replaced.code()
	p := l.person("oauth2.tv")
	code, _, _ := p.code()
	if said := replaced.ends(1); !strings.Contains(said, "another login of it began meanwhile") {
		t.Error(said)
	}
	l.api.DecideDevice(code, false)
	if said := p.ends(1); !strings.Contains(said, "the person did not approve it") || !strings.Contains(said, "access_denied") || !strings.Contains(said, "hint: begin again: tokend login oauth2.tv") {
		t.Error(said)
	}
	if line := l.untilState(tvAddress, reconcile.NeedsLogin); !strings.Contains(line.Why, "access_denied") {
		t.Errorf("its status: %+v", line)
	}

	l.api.Change(standin.OAuth2, func(r *standin.Rules) { r.CodeLifetime = 3 * time.Second })
	p = l.person("oauth2.tv")
	p.code()
	if said := p.ends(1); !strings.Contains(said, "nobody approved it before its code expired") {
		t.Error(said)
	}

	// What the configuration wants by now is something else.
	l.api.Change(standin.OAuth2, func(r *standin.Rules) { r.CodeLifetime = time.Hour })
	p = l.person("oauth2.tv")
	p.code()
	l.edit("main.hcl", `["read"]`, `["read", "write"]`)
	if said := p.ends(1); !strings.Contains(said, "its configuration changed since this login began (scopes)") {
		t.Error(said)
	}
	if n := l.api.Counts(standin.OAuth2).Grants; n != 0 {
		t.Errorf("%d tokens were issued", n)
	}
}

// Failures on the way are waited out, and do not count as an answer.
func TestLoginByADeviceCodeThroughFailures(t *testing.T) {
	t.Parallel()
	l := deviceLab(t, time.Hour)
	l.start()
	p := l.person("oauth2.tv")
	code, _, _ := p.code()
	l.polled(1)
	lost := l.api.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultLost, Path: "/token", Times: 1})
	<-lost.Hit()
	l.polled(1)
	l.api.DecideDevice(code, true)
	p.ends(0)
	l.until("nothing is counted as lost", func() (bool, string) {
		line := l.line(tvAddress)
		return line.State == reconcile.Ready && line.Orphans == 0, fmt.Sprintf("%+v", line)
	})
	if c := l.api.Counts(standin.OAuth2); c.Grants != 1 || c.SlowDowns != 0 {
		t.Errorf("the books: %+v", c)
	}
}

// The last question before a code expires is not asked sooner than the server allows.
func TestLoginByADeviceCodeKeepsToTheIntervalAtItsEnd(t *testing.T) {
	t.Parallel()
	l := newLab(t, standin.Rules{DeviceInterval: 3 * time.Second, CodeLifetime: 4 * time.Second})
	l.write("client", "a-client-secret\n")
	l.write("main.hcl", fmt.Sprintf(deviceConfig, l.urls.OAuth2))
	l.start()
	p := l.person("oauth2.tv")
	p.code()
	if said := p.ends(1); !strings.Contains(said, "nobody approved it before its code expired") {
		t.Error(said)
	}
	if c := l.api.Counts(standin.OAuth2); c.Polls != 2 || c.SlowDowns != 0 {
		t.Errorf("the books: %+v", c)
	}
}

// The request for a code is one of its provider's like any: it keeps to the rate.
func TestLoginByADeviceCodeKeepsToTheRate(t *testing.T) {
	t.Parallel()
	l := deviceLab(t, time.Hour)
	l.edit("main.hcl", `variable "out"`, `provider "oauth2" {
  rate_limit {
    requests = 1
    per      = "2s"
  }
}
variable "out"`, `sink "file" "tv"`, fmt.Sprintf(`credential "oauth2" "other" {
  grant         = "device_code"
  device_url    = "%[1]s/device_authorization"
  token_url     = "%[1]s/token"
  client_id     = "tv"
  client_secret = secret.file.client.value
  scopes        = ["read"]
}
sink "file" "tv"`, l.urls.OAuth2))
	l.start()
	one, other := l.person("oauth2.tv"), l.person("oauth2.other")
	one.code()
	other.code()
	var asked []time.Time
	for _, r := range l.api.Ledger(standin.OAuth2).Requests {
		if strings.HasSuffix(r.Path, "/device_authorization") {
			asked = append(asked, r.At)
		}
	}
	if len(asked) != 2 || asked[1].Sub(asked[0]) < 1900*time.Millisecond {
		t.Errorf("codes were asked for at %v", asked)
	}
}
