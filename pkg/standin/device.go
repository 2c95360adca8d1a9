package standin

import (
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The device authorization grant (RFC 8628) of the generic server. A user code is
// approved on a page, like any consent; with SetAutoApprove by its visit alone. A
// poll that comes before the interval is over is told to slow down, and the interval
// grows by five seconds.

const (
	devicePath     = "/device"
	deviceGrant    = "urn:ietf:params:oauth:grant-type:device_code"
	slowDownBy     = 5 * time.Second
	userCodeLength = 8
)

// deviceLogin is a device code, and what became of it.
type deviceLogin struct {
	client   Client
	scopes   []string
	expires  time.Time
	interval time.Duration
	polled   time.Time // zero: not yet
	decided  bool
	user     string // who approved; "" where it was denied
	used     bool
}

func deviceRoutes() map[string]route {
	return map[string]route{
		"/device_authorization": {http.MethodPost, inputForm, oauth2Device},
		devicePath:              {http.MethodGet, inputQuery, devicePage},
		devicePath + "/decide":  {http.MethodPost, inputForm, deviceDecide},
	}
}

func oauth2Device(c *call) *reply {
	client, refused := oauth2Client(c)
	if refused != nil {
		return refused
	}
	a := &authorization{client: client}
	if problem := a.want(strings.Fields(c.in.get("scope")), nil); problem != "" {
		return c.refuse(http.StatusBadRequest, "invalid_scope", problem)
	}
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	for code, d := range c.l.devices {
		if !c.now.Before(d.expires) {
			delete(c.l.devices, code)
		}
	}
	code, userCode := c.l.random(refreshToken), userCodeOf(c.l.random(accessToken))
	c.l.devices[code] = &deviceLogin{client: client, scopes: a.scopes, expires: c.now.Add(c.rules.CodeLifetime), interval: c.rules.DeviceInterval}
	c.l.userCodes[userCode] = code
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	at := scheme + c.r.Host + devicePath
	return allowed(actAuthorize, `{"device_code":`+string(appendString(nil, code))+`,"user_code":"`+userCode+`","verification_uri":`+string(appendString(nil, at))+
		`,"verification_uri_complete":`+string(appendString(nil, at+"?user_code="+userCode))+
		`,"expires_in":`+strconv.Itoa(int(c.rules.CodeLifetime/time.Second))+`,"interval":`+strconv.Itoa(int(c.rules.DeviceInterval/time.Second))+`}`)
}

// userCodeOf makes a code that a person can type: letters without vowels (RFC 8628
// section 6.1), in two groups.
func userCodeOf(random string) string {
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	var b strings.Builder
	for i := range userCodeLength {
		if i == userCodeLength/2 {
			b.WriteByte('-')
		}
		b.WriteByte(letters[int(random[i])%len(letters)])
	}
	return b.String()
}

// devicePage is where the person enters the code.
func devicePage(c *call) *reply {
	code := c.in.get("user_code")
	if code != "" && c.server.auto.Load() {
		return c.decideDevice(code, true)
	}
	out := page(http.StatusOK, "Connect a device", `<form method="post" action="`+devicePath+`/decide"><p><label>Code <input name="user_code" value="`+html.EscapeString(code)+`"></label></p>`+
		`<p><button name="decision" value="approve">Allow</button> <button name="decision" value="deny">Deny</button></p></form>`)
	out.act = actAuthorize
	return out
}

func deviceDecide(c *call) *reply {
	if problem := c.in.check([]string{"user_code", "decision"}, nil); problem != "" {
		return c.malformed(problem)
	}
	return c.decideDevice(c.in.get("user_code"), c.in.get("decision") == "approve")
}

func (c *call) decideDevice(userCode string, approve bool) *reply {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	d := c.l.devices[c.l.userCodes[strings.ToUpper(strings.TrimSpace(userCode))]]
	if d == nil || d.decided || !c.now.Before(d.expires) {
		return page(http.StatusBadRequest, "Not that code", "<p>This code is unknown, was used, or is too old.</p>")
	}
	d.decided = true
	if !approve {
		c.l.counts.Denied++
		return page(http.StatusOK, "Denied", "<p>The device was not connected.</p>")
	}
	d.user = d.client.User
	pick(&d.user, "user")
	out := page(http.StatusOK, "Connected", "<p>You can go back to the device.</p>")
	out.act = actAuthorize
	return out
}

// exchangeDevice answers a poll (RFC 8628 section 3.5).
func (c *call) exchangeDevice(client Client) *reply {
	if problem := c.in.check([]string{"device_code"}, nil); problem != "" {
		return c.malformed(problem)
	}
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Polls++
	d := l.devices[c.in.get("device_code")]
	switch {
	case d == nil || d.client.ID != client.ID:
		return c.refuseToken("the device code is unknown")
	case d.used:
		l.counts.CodeReuses++
		return c.refuseToken("the device code was used already")
	case !c.now.Before(d.expires):
		return c.refuse(http.StatusBadRequest, "expired_token", "the device code has expired")
	}
	early := !d.polled.IsZero() && c.now.Before(d.polled.Add(d.interval-d.interval/10))
	d.polled = c.now
	switch {
	case early:
		l.counts.SlowDowns++
		d.interval += slowDownBy
		return c.refuse(http.StatusBadRequest, "slow_down", "asked too often")
	case !d.decided:
		return c.refuse(http.StatusBadRequest, "authorization_pending", "the person has not decided yet")
	case d.user == "":
		return c.refuse(http.StatusBadRequest, "access_denied", "the person refused")
	}
	d.used = true
	return c.grantLocked(d.user, client.ID, "", strings.Join(d.scopes, " "), true)
}

// DecideDevice is what a person does who enters a user code of the generic server;
// it says whether there is one that waits.
func (s *Server) DecideDevice(userCode string, approve bool) bool {
	v := s.services[OAuth2]
	c := &call{service: v, rules: v.rules.Load(), now: s.now()}
	return c.decideDevice(userCode, approve).status == http.StatusOK
}
