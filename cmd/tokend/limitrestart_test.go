package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tokend/pkg/standin"
)

// A daemon that is killed and started again and again, and a run after it, send no more
// requests than the provider's rate limit lets through in any window.
func TestARateLimitOutlivesKills(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	const requests, per = 3, 9 * time.Second
	h := newHost(t, build(t), standin.Options{AnyAccount: true})
	h.write("password", "a-password\n")
	config := func(names string) {
		h.write("main.hcl", `
tokend {
  guard {
    settle              = "0s"
    max_revocations     = 100
    max_revoked_percent = 100
  }
}
variable "out" { type = string }
variable "coinify_url" { type = string }
variable "apirone_url" { type = string }
variable "cryptohopper_url" { type = string }
secret "file" "password" { path = "password" }
provider "coinify" {
  base_url = var.coinify_url
  rate_limit {
    requests = 3
    per      = "9s"
  }
}
credential "coinify" "trader" {
  for_each   = toset([`+names+`])
  email      = "${each.key}@example.com"
  grant      = "password"
  partner_id = "p"
  password   = secret.file.password.value
}
sink "file" "trader" {
  for_each = credential.coinify.trader
  path     = "${var.out}/${each.key}"
  content  = "${each.value.access_token}\n"
}
`)
	}
	config(`"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"`)
	for range 12 {
		d := h.start()
		<-time.After(300*time.Millisecond + rand.N(1200*time.Millisecond))
		d.kill()
	}
	config(`"a", "b"`)
	for range 2 {
		if out, status := h.tokend("", "apply", "--auto-approve"); status != 0 {
			t.Errorf("apply: exit status %d\n%s", status, out)
		}
	}
	var at []time.Time
	for _, q := range h.api.Ledger(standin.Coinify).Requests {
		at = append(at, q.At)
	}
	slices.SortFunc(at, time.Time.Compare)
	for i := requests; i < len(at); i++ {
		if d := at[i].Sub(at[i-requests]); d < per {
			t.Errorf("%d requests within %s, %d within %s are allowed: %s", requests+1, d, requests, per, at)
		}
	}
	if len(at) < 2 {
		t.Errorf("%d requests were sent", len(at))
	}
}
