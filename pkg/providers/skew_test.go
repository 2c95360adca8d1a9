package providers_test

import (
	"net/http"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/secret"
)

// An instant that a server says is by the server's own clock, which Date tells.
func TestAnInstantIsByTheServersClock(t *testing.T) {
	const src = `provider_type "own" {
  config "base_url" { type = string }
  grant "login" {
    request {
      method = "POST"
      url    = "${config.base_url}/token"
    }
    response {
      access_token = body.access_token
      expires_at   = body.expires_at
      expires_in   = body.expires_in
    }
  }
}`
	var w wire
	r, _ := newRig(t, typeOf(t, src), record(&w), nil)
	at := r.clock.Now()
	for name, c := range map[string]struct {
		ahead time.Duration // the server's clock
		date  bool
		body  func(server time.Time) string
		life  time.Duration // 0: it cannot be read
	}{
		"right":                              {0, true, instant, 5 * time.Minute},
		"an hour behind":                     {-time.Hour, true, instant, 5 * time.Minute},
		"a day ahead":                        {24 * time.Hour, true, instant, 5 * time.Minute},
		"two seconds ahead":                  {2 * time.Second, true, instant, 5*time.Minute + 2*time.Second},
		"an hour behind, saying none":        {-time.Hour, false, instant, 0},
		"a lifetime needs no clock":          {-time.Hour, true, func(time.Time) string { return `{"access_token":"a","expires_in":300}` }, 5 * time.Minute},
		"a Date of another year is no clock": {-40 * 365 * 24 * time.Hour, true, func(time.Time) string { return instant(at) }, 5 * time.Minute},
		"a Date of next year is no clock":    {400 * 24 * time.Hour, true, func(time.Time) string { return instant(at) }, 5 * time.Minute},
		"a Date of last week is no clock":    {-7 * 24 * time.Hour, true, func(time.Time) string { return instant(at) }, 5 * time.Minute},
		"a day and a quarter ahead":          {30 * time.Hour, true, instant, 5 * time.Minute},
		"three days ahead":                   {72 * time.Hour, true, instant, 5 * time.Minute},
		"a day and a quarter behind":         {-30 * time.Hour, true, instant, 5 * time.Minute},
		"three days behind":                  {-72 * time.Hour, true, instant, 5 * time.Minute},
		"since 1970, without a battery":      {time.Unix(0, 0).Sub(at), true, instant, 5 * time.Minute},
		"three days ahead, a token of weeks": {72 * time.Hour, true, lives(21 * 24 * time.Hour), 21 * 24 * time.Hour},
		// A token that outlives the difference ends as it says or as much later: sooner is safe.
		"three days behind, a token of weeks":      {-72 * time.Hour, true, lives(21 * 24 * time.Hour), 18 * 24 * time.Hour},
		"three days ahead, saying none":            {72 * time.Hour, false, instant, 72*time.Hour + 5*time.Minute},
		"three days ahead, ended by its own clock": {72 * time.Hour, true, lives(-96 * time.Hour), 0},
		"ended, and a Date of another year":        {-40 * 365 * 24 * time.Hour, true, func(time.Time) string { return instant(at.Add(-10 * time.Minute)) }, 0},
		"ended by its own clock too":               {-time.Hour, true, func(s time.Time) string { return instant(s.Add(-10 * time.Minute)) }, 0},
	} {
		server := at.Add(c.ahead)
		reply := &providers.Reply{Status: 200, Header: http.Header{}, Body: secret.New(c.body(server)), At: at}
		if c.date {
			reply.Header.Set("Date", server.UTC().Format(http.TimeFormat))
		}
		tok, err := r.e.Read(r.call(providers.OpGrant, "login", nil), reply)
		switch {
		case c.life == 0 && err == nil:
			t.Errorf("%s: read, ends %s", name, tok.ExpiresAt)
		case c.life != 0 && (err != nil || tok.ExpiresAt.Sub(at) != c.life):
			t.Errorf("%s: lives %s, want %s (%v)", name, tok.ExpiresAt.Sub(at), c.life, err)
		}
	}
}

// instant is a reply whose token lives for five minutes.
func instant(server time.Time) string { return lives(5 * time.Minute)(server) }

// lives is such a reply of a token that lives for so long.
func lives(d time.Duration) func(time.Time) string {
	return func(server time.Time) string {
		return `{"access_token":"a","expires_at":"` + server.Add(d).UTC().Format(time.RFC3339) + `"}`
	}
}
