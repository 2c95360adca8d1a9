package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

// A device code that was answered is not sent once more after a crash that took the
// login's note of the answer, and not the answer: a code that is sent twice may cost
// the token that it brought.
func TestADeviceCodeThatWasAnsweredIsSpent(t *testing.T) {
	t.Parallel()
	for name, unreadable := range map[string]bool{"by a token": false, "by what nobody understands": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := deviceLab(t, time.Hour)
			l.start()
			p := l.person("oauth2.tv")
			code, _, _ := p.code()
			l.polled(1)
			l.stop()
			waiting, _ := l.savedLogins(nil)
			l.start()
			if unreadable {
				l.api.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultMissingToken, Path: "/token", Times: -1})
			}
			l.api.DecideDevice(code, true)
			status := 0
			if unreadable {
				status = 1
			}
			p.ends(status)
			l.stop()
			l.savedLogins(func(all []savedLogin) { copy(all, waiting) })
			l.start()
			l.until("it knows what came of the login", func() (bool, string) {
				log := l.daemon.log.String()
				return strings.Contains(log, "has had its answer"), log
			})
			g := l.globals(strings.NewReader(""), &record{}, &record{}, nil)
			g.control = l.env["RUNTIME_DIRECTORY"] + "/tokend.sock"
			r, _, err := g.dial(t.Context())
			if err == nil {
				err = r.LoginWait(t.Context(), loginID{tvAddress, waiting[0].ID})
			}
			if unreadable != (err != nil) || unreadable && !strings.Contains(err.Error(), "cannot be read, and is kept") {
				t.Errorf("who waits is told %v", err)
			}
			l.stop()
			if _, raw := l.savedLogins(nil); strings.Contains(raw, "device_code") {
				t.Error("the state has the code still")
			}
			if n := l.api.Counts(standin.OAuth2).CodeReuses; n != 0 {
				t.Errorf("the code was sent %d times more", n)
			}
		})
	}
}

// savedState is a state that has logins.
type savedState struct {
	state.Store
	logins []byte
}

func (s savedState) Meta(ctx context.Context, _ string) ([]byte, error) { return s.logins, ctx.Err() }

// Logins are read back once. Whoever came first and went away takes none with him.
func TestLoginsAreReadBackForAll(t *testing.T) {
	t.Parallel()
	e, l := oneLogin(t)
	e.logins.known = nil
	e.store = savedState{logins: fmt.Appendf(nil, `[{"id":%q,"address":%q,"done":true}]`, l.id, l.address)}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = e.LoginWait(gone, loginID{l.address, l.id})
	if _, err := e.loginOf(l.id, l.address); err != nil {
		t.Error(err)
	}
}

// A redirect that comes while the daemon starts waits until it has, also one to a
// path of its own.
func TestARedirectWaitsForAStart(t *testing.T) {
	t.Parallel()
	e, l := oneLogin(t)
	e.logins.known = nil
	saved, err := json.Marshal([]savedLogin{{ID: l.id, Address: l.address, Until: l.until, Grant: "code",
		Pending: []byte(`{"grant":"code","redirect_uri":"http://127.0.0.1:8250/back","state":"s"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	e.store = savedState{logins: saved}
	if !e.callbackAt("/back") || e.callbackAt("/elsewhere") {
		t.Error("a path of a login's own is not known before the login is asked for")
	}
}
