package reconcile_test

import "strings"

// ownCoinify is a type of the test's own for the API of Coinify: with settings of its
// own, with expressions that read its replies, and with more in its refresh block.
type ownCoinify struct {
	settings        string
	access, refresh string // ones that are left out read the reply's own members
	expires         string
	refreshes       string
}

func (o ownCoinify) String() string {
	or := func(said, usual string) string {
		if said == "" {
			return usual
		}
		return said
	}
	ownLine := func(said string) string { // nothing is no line
		if said == "" {
			return ""
		}
		return "\n" + said
	}
	return strings.NewReplacer("SETTINGS", ownLine(o.settings), "ACCESS", or(o.access, "body.access_token"), "REFRESH", or(o.refresh, "body.refresh_token"),
		"EXPIRES", or(o.expires, "body.expires_in"), "ROTATES", ownLine(o.refreshes)).Replace(`
provider_type "coinify" {SETTINGS
  config "base_url" { type = string }
  grant "password" {
    input "email" { type = string }
    input "partner_id" { type = string }
    input "password" {
      type      = string
      sensitive = true
    }
    request {
      method = "POST"
      url    = "${config.base_url}/auth"
      json   = { grant_type = "password", email = input.email, partnerId = input.partner_id, password = input.password }
    }
  }
  response {
    access_token  = ACCESS
    refresh_token = REFRESH
    expires_in    = EXPIRES
  }
  refresh {ROTATES
    request {
      method = "POST"
      url    = "${config.base_url}/auth"
      json   = { grant_type = "refresh_token", refresh_token = token.refresh_token }
    }
  }
}`)
}
