package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/providers/login"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/spec"
)

// deviceCode is what a login by a device code asks about until the person has
// decided. It is whoever works on the state that asks: a daemon goes on when the
// command has ended, and after a restart.
type deviceCode struct {
	code     secret.Text
	interval time.Duration
}

// deviceLasts bounds what a server says of how long its codes live.
const deviceLasts = time.Hour

// deviceGrace is how long the last answer about a code may take.
const deviceGrace = time.Minute

// startDevice begins a login by a device code. It takes the place of one of the same
// address that waits (keepLogin): nobody looks at that one's code any more.
func (e *engine) startDevice(ctx context.Context, in loginRequest, b begunLogin) (loginReply, error) {
	short := spec.Address(in.Address).Short()
	if in.Paste {
		return loginReply{}, withHint(fmt.Errorf("%s logs in by a code that is entered at the provider: there is no address to paste", short), "tokend login %s", reconcile.ShellAddress(in.Address))
	}
	call := b.call
	call.Op = providers.OpDevice
	var d providers.DeviceAuthorization
	err := e.loop.Ask(ctx, b.want, b.endpoint, call, func(reply *providers.Reply) (err error) {
		d, err = b.endpoint.ReadDevice(call, reply)
		return err
	})
	if err != nil {
		return loginReply{}, err
	}
	for _, uri := range []string{d.VerificationURI, d.VerificationURIComplete} {
		if u, err := url.Parse(uri); err != nil || uri != "" && u.Scheme != "https" && u.Scheme != "http" || !plain(uri) || !plain(d.UserCode) {
			return loginReply{}, fmt.Errorf("logging in to %s: what the provider wants a person to open or to enter cannot be shown", short)
		}
	}
	l, err := e.newLogin(in.Address, b)
	if err != nil {
		return loginReply{}, err
	}
	l.device = &deviceCode{d.DeviceCode, d.Interval}
	if !d.ExpiresAt.IsZero() {
		l.until = d.ExpiresAt.Round(0)
	}
	if most := l.began.Add(deviceLasts); l.until.After(most) {
		l.until = most
	}
	e.keepLogin(ctx, l)
	e.pollInBackground(l)
	return loginReply{ID: l.id, Until: l.until, Device: &deviceReply{UserCode: d.UserCode, URI: d.VerificationURI, Complete: d.VerificationURIComplete}}, nil
}

// takesPlaceOf says that a login ends another, which waits: only one code of an address
// is asked about, the newest that a person was shown.
func (e *engine) takesPlaceOf(l, other *openLogin) bool {
	return l.device != nil && other.device != nil && (l.address == other.address || e.addressOf(l) == e.addressOf(other)) && other.waits(time.Now())
}

func (e *engine) pollInBackground(l *openLogin) {
	e.ended.Add(1)
	go func() {
		defer e.ended.Done()
		e.poll(l)
	}()
}

// poll asks about a device code until there is an answer, or it has expired.
func (e *engine) poll(l *openLogin) {
	asks := login.NewPoll(l.device.interval)
	err := e.loop.Poll(e.ctx, reconcile.Polling{
		Address: l.address, Code: l.code(providers.Flow{DeviceCode: l.device.code}), Asks: asks, Until: l.until, Done: l.done,
		Failed: func(error) { e.slowed(l, asks.Interval()) },
	})
	switch {
	case err == nil:
		e.obtainedLogin(l)
	case errors.Is(err, reconcile.ErrLate):
		e.endLogin(l, deviceLate(l))
	case !errors.Is(err, reconcile.ErrUndecided):
		e.endLogin(l, deviceRefused(l, err))
	}
}

// slowed keeps in the state by how much the server wants to be asked more slowly, for
// whoever asks after a restart.
func (e *engine) slowed(l *openLogin, interval time.Duration) {
	e.keepLogins(func() bool {
		news := l.device.interval < interval
		l.device.interval = max(l.device.interval, interval)
		return news
	})
}

// deviceRefused says in words how a login by a code ended.
func deviceRefused(l *openLogin, err error) error {
	var answer *providers.Error
	if !errors.As(err, &answer) {
		return err
	}
	switch answer.Code {
	case "expired_token":
		return deviceLate(l)
	case "access_denied":
		return withHint(fmt.Errorf("the person did not approve it: %w", err), "begin again: tokend login %s", reconcile.ShellAddress(l.address))
	}
	return err
}

func deviceLate(l *openLogin) error {
	return withHint(fmt.Errorf("nobody approved it before its code expired, after %s", l.until.Sub(l.began).Round(time.Second)), "begin again: tokend login %s", reconcile.ShellAddress(l.address))
}
