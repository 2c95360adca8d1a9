package providers

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"tokend/pkg/spec"
)

// deviceProgram reads the answer to a device authorization.
type deviceProgram struct {
	deviceCode, userCode, uri, uriComplete, expiresIn, interval field
}

func (c *compiler) device(r *spec.DeviceResponse) *deviceProgram {
	if r == nil {
		return nil
	}
	return &deviceProgram{
		deviceCode: c.field("device_code", r.DeviceCode), userCode: c.field("user_code", r.UserCode), uri: c.field("verification_uri", r.VerificationURI),
		uriComplete: c.field("verification_uri_complete", r.VerificationURIComplete), expiresIn: c.field("expires_in", r.ExpiresIn), interval: c.field("interval", r.Interval),
	}
}

// Waits reports whether a reply to a poll for a device code's token says that the
// person has not decided yet (RFC 8628 section 3.5), in the standard's words or as
// the type's error block has it: what that calls transient. A 408 or 425 says nothing
// of the person: whoever sends it has not carried the question out.
func (e *Error) Waits() bool {
	switch {
	case e.Code == CodePending || e.Code == CodeSlowDown:
		return true
	case e.Status == 0, e.Status == http.StatusRequestTimeout, e.Status == http.StatusTooEarly:
		return false
	}
	return e.Class == ClassTransient && !e.Walled
}

// The codes by which a server says that the person has not decided yet, and that
// in the meantime it is asked too often.
const (
	CodePending  = "authorization_pending"
	CodeSlowDown = "slow_down"
)

// ReadDevice reads the reply to an OpDevice.
func (e *Endpoint) ReadDevice(c Call, r *Reply) (DeviceAuthorization, error) {
	g, err := e.grant(&c)
	if err != nil {
		return DeviceAuthorization{}, err
	}
	f, err := e.readFrame(&c, g, r)
	if err != nil {
		return DeviceAuthorization{}, err
	}
	if err := e.judge(f, r, field{}); err != nil {
		return DeviceAuthorization{}, err
	}
	p := g.deviceResponse
	if p == nil {
		return DeviceAuthorization{}, &Error{Op: c.Op, Class: ClassConfig, Message: fmt.Sprintf("grant %q has no device authorization", c.Grant)}
	}
	if f.body == "" {
		return DeviceAuthorization{}, e.notJSON(f, r)
	}
	out := DeviceAuthorization{Interval: 5 * time.Second} // RFC 8628 section 3.2
	if out.DeviceCode, err = e.tokenText(f, r, p.deviceCode); err != nil {
		return DeviceAuthorization{}, err
	}
	for _, text := range []struct {
		part field
		into *string
	}{{p.userCode, &out.UserCode}, {p.uri, &out.VerificationURI}, {p.uriComplete, &out.VerificationURIComplete}} {
		t, err := e.tokenText(f, r, text.part)
		if err != nil {
			return DeviceAuthorization{}, err
		}
		*text.into = t.Reveal()
	}
	if out.DeviceCode.Empty() || out.UserCode == "" || out.VerificationURI == "" {
		return DeviceAuthorization{}, e.unreadable(f, r, "device_code, user_code and verification_uri", errors.New("one of them is not there"))
	}
	for _, d := range []struct {
		part field
		set  func(time.Duration)
	}{{p.expiresIn, func(d time.Duration) { out.ExpiresAt = r.At.Add(d) }}, {p.interval, func(d time.Duration) { out.Interval = d }}} {
		v, err := d.part.eval(f)
		if err == nil && v.isNull() {
			continue
		}
		var secs time.Duration
		if err == nil {
			secs, err = parseSeconds(v)
		}
		if err != nil {
			return DeviceAuthorization{}, e.unreadable(f, r, d.part.String(), err)
		}
		d.set(secs)
	}
	return out, nil
}
