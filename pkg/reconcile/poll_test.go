package reconcile_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/standin"
	"tokend/pkg/state"
)

const byDevice = `
provider "tv" { allow_insecure_http = true }
provider_type "tv" {
  grant "device" {
    input "client_id" { type = string }
    device {
      request {
        method = "POST"
        url    = "http://oauth2.localhost/device_authorization"
        form   = { client_id = input.client_id, client_secret = "s" }
      }
      response {
        device_code      = body.device_code
        user_code        = body.user_code
        verification_uri = body.verification_uri
        interval         = body.interval
      }
    }
    request {
      method = "POST"
      url    = "http://oauth2.localhost/token"
      form   = { client_id = input.client_id, client_secret = "s", grant_type = "urn:ietf:params:oauth:grant-type:device_code", device_code = flow.device_code }
    }
  }
  response {
    access_token  = body.access_token
    refresh_token = body.refresh_token
    expires_in    = body.expires_in
  }
  refresh {
    request {
      method = "POST"
      url    = "http://oauth2.localhost/token"
      form   = { client_id = input.client_id, client_secret = "s", grant_type = "refresh_token", refresh_token = token.refresh_token }
    }
  }
}
credential "tv" "a" { client_id = "a" }
`

const tv = "credential.tv.a"

// askDevice asks for a device code, as a login does that begins.
func (w *world) askDevice() (code reconcile.LoginCode, userCode string) {
	w.t.Helper()
	ep, call, _, err := w.loop.LoginCall(w.t.Context(), tv)
	if err != nil {
		w.t.Fatal(err)
	}
	ask := call
	ask.Op = providers.OpDevice
	req, err := ep.Prepare(ask)
	if err != nil {
		w.t.Fatal(err)
	}
	reply, err := ep.Send(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	var got struct {
		DeviceCode string `json:"device_code"`
		UserCode   string `json:"user_code"`
	}
	if err := json.Unmarshal([]byte(reply.Body.Reveal()), &got); err != nil {
		w.t.Fatal(err)
	}
	code = reconcile.LoginCode{Flow: providers.Flow{DeviceCode: secret.New(got.DeviceCode)}, Began: call}
	if code.Origins, err = ep.Origins(call.Grant, call.Inputs); err != nil {
		w.t.Fatal(err)
	}
	return code, got.UserCode
}

// asks asks once whether a code was approved, six seconds later.
func (w *world) asks(code reconcile.LoginCode) *providers.Error {
	w.t.Helper()
	<-time.After(6 * time.Second)
	err := w.loop.Login(w.t.Context(), tv, code)
	synctest.Wait()
	if err == nil {
		return nil
	}
	var answer *providers.Error
	if !errors.As(err, &answer) {
		w.t.Fatal(err)
	}
	return answer
}

func (w *world) recordOf(addr string) (state.Credential, *state.Intent) {
	w.t.Helper()
	c, i, err := w.store.Credential(w.t.Context(), addr)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		w.t.Fatal(err)
	}
	return c, i
}

// "Not yet" is no failure: it leaves nothing behind but the wait for a login.
func TestAskingWhetherALoginWasApproved(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(byDevice)
		code, userCode := w.askDevice()
		for range 3 {
			if e := w.asks(code); e == nil || e.Code != "authorization_pending" || !e.Waits() {
				t.Fatalf("it is answered %v", e)
			}
			rec, intent := w.recordOf(tv)
			if intent != nil || rec.Failure != nil || rec.Orphans.Total() != 0 || w.line(tv).State != reconcile.NeedsLogin || w.line(tv).Why != "nobody has logged in yet" {
				t.Fatalf("it leaves %+v %+v behind; it is %+v", rec, intent, w.line(tv))
			}
		}
		if !w.server.DecideDevice(userCode, true) {
			t.Fatal("the code is not known")
		}
		if e := w.asks(code); e != nil || w.line(tv).State != reconcile.Ready {
			t.Fatalf("%v; it is %+v", e, w.line(tv))
		}
		// A second login that is refused leaves the token in force, and status, alone.
		first, _ := w.recordOf(tv)
		code, userCode = w.askDevice()
		w.server.DecideDevice(userCode, false)
		if e := w.asks(code); e == nil || e.Code != "access_denied" {
			t.Fatalf("it is answered %v", e)
		}
		rec, intent := w.recordOf(tv)
		if intent != nil || rec.Failure != nil || rec.Grant.Generation != first.Grant.Generation || w.line(tv).State != reconcile.Ready {
			t.Errorf("%+v %+v; it is %+v", rec.Failure, intent, w.line(tv))
		}
		if n := w.server.Counts(standin.OAuth2).SlowDowns; n != 0 {
			t.Errorf("%d times asked too often", n)
		}
	})
}

// Where nobody holds a token, status says why the login did not come about.
func TestALoginThatWasNotApprovedIsSaid(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(byDevice)
		code, userCode := w.askDevice()
		w.server.DecideDevice(userCode, false)
		if e := w.asks(code); e == nil || e.Code != "access_denied" {
			t.Fatalf("it is answered %v", e)
		}
		if l := w.line(tv); l.State != reconcile.NeedsLogin || l.Mend != "tokend login tv.a" {
			t.Errorf("it is %+v", l)
		}
		if rec, intent := w.recordOf(tv); intent != nil || rec.Failure == nil || rec.Orphans.Total() != 0 {
			t.Errorf("%+v %+v", rec, intent)
		}
	})
}

// A question whose answer is lost is asked again. What the lost answer may have
// brought is counted, once, until another answer shows that it brought nothing.
func TestALostAnswerToAQuestion(t *testing.T) {
	lost := standin.Fault{API: standin.OAuth2, Kind: standin.FaultLost, Path: "/token", Times: 2}
	for name, c := range map[string]struct {
		crash    bool
		approved bool // before the lost answers
		orphans  int  // in the end
	}{
		"not yet":                  {false, false, 0},
		"not yet, a crash":         {true, false, 0},
		"it had brought the token": {false, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				w.set(byDevice)
				code, userCode := w.askDevice()
				if c.approved {
					w.server.DecideDevice(userCode, true)
				}
				w.server.Fail(lost)
				for range 2 {
					if e := w.asks(code); e == nil || e.Class != providers.ClassUnknown {
						t.Fatalf("it is answered %v", e)
					}
					if rec, intent := w.recordOf(tv); rec.Orphans.Total() != 1 || intent != nil || w.line(tv).State != reconcile.NeedsLogin {
						t.Fatalf("%d orphans, intent %+v, it is %+v", rec.Orphans.Total(), intent, w.line(tv))
					}
				}
				if c.crash {
					w.crash()
					w.set(byDevice)
				}
				e := w.asks(code)
				switch {
				case c.approved && (e == nil || e.Code != "invalid_grant"), !c.approved && (e == nil || e.Code != "authorization_pending"):
					t.Fatalf("it is answered %v", e)
				}
				if rec, intent := w.recordOf(tv); rec.Orphans.Total() != c.orphans || intent != nil || !c.approved && rec.Failure != nil {
					t.Errorf("%d orphans, %+v %+v", rec.Orphans.Total(), rec.Failure, intent)
				}
				if c.approved {
					return
				}
				w.server.DecideDevice(userCode, true)
				if e := w.asks(code); e != nil || w.line(tv).State != reconcile.Ready {
					t.Errorf("%v; it is %+v", e, w.line(tv))
				}
			})
		})
	}
}

// A 408 or a 425 on the way to a provider is no answer to a question: what an earlier
// one whose answer was lost may have brought stays counted.
func TestATimeoutIsNoAnswerToAQuestion(t *testing.T) {
	for _, status := range []int{408, 425} {
		inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
			w.set(byDevice)
			code, userCode := w.askDevice()
			w.server.DecideDevice(userCode, true)
			for _, f := range []standin.Fault{{Kind: standin.FaultLost}, {Kind: standin.FaultStatus, Status: status}} {
				f.API, f.Path, f.Times = standin.OAuth2, "/token", 1
				w.server.Fail(f)
				if e := w.asks(code); e == nil || e.Waits() {
					t.Fatalf("it is answered %v", e)
				}
				if rec, intent := w.recordOf(tv); rec.Orphans.Total() != 1 || rec.LostPoll == "" || intent != nil {
					t.Fatalf("after %s: %d orphans, %q, intent %+v", f.Kind, rec.Orphans.Total(), rec.LostPoll, intent)
				}
			}
		})
	}
}

// A reply was kept that cannot be read, and a later login's answer was lost, which may
// have ended what the reply brought: it is not put in force when it can be read.
func TestALostLoginMayEndAKeptReply(t *testing.T) {
	for session, inForce := range map[string]bool{"one_per_account": false, "independent": true} {
		inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
			mended := strings.Replace(byDevice, `provider_type "tv" {`, "provider_type \"tv\" {\n  session = \""+session+"\"", 1)
			w.set(strings.Replace(mended, "access_token  = body.access_token", "access_token  = body.token", 1))
			code, userCode := w.askDevice()
			w.server.DecideDevice(userCode, true)
			if e := w.asks(code); e == nil || e.Class != providers.ClassUnreadable {
				t.Fatalf("it is answered %v", e)
			}
			code, userCode = w.askDevice()
			w.server.DecideDevice(userCode, true)
			w.server.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultLost, Path: "/token", Times: 1})
			for _, class := range []providers.Class{providers.ClassUnknown, providers.ClassPermanent} {
				if e := w.asks(code); e == nil || e.Class != class {
					t.Fatalf("it is answered %v", e)
				}
			}
			w.set(mended)
			if err := w.loop.Do(t.Context(), tv, reconcile.Order{Kind: reconcile.OrderRetry}); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Minute)
			if l := w.line(tv); (l.State == reconcile.Ready) != inForce || !inForce && l.State != reconcile.NeedsLogin {
				t.Errorf("%s: it is %+v", session, l)
			}
		})
	}
}

// A crash in the middle of a question leaves its intent, which is settled before
// the next one is asked; an answer that cannot be read is kept.
func TestQuestionsAreInTheDurableOrder(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(byDevice)
		code, userCode := w.askDevice()
		armed := w.server.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultStall, Path: "/token", Times: 1})
		asked := make(chan error, 1)
		go func() { asked <- w.loop.Login(t.Context(), tv, code) }()
		<-armed.Hit()
		if _, intent := w.recordOf(tv); intent == nil || intent.Op != "poll" || intent.TokenHash == "" {
			t.Fatalf("while it asks its intent is %+v", intent)
		}
		w.store = w.store.Crash()
		armed.Release()
		w.halt()
		<-asked
		w.start()
		w.set(byDevice)
		synctest.Wait()
		if rec, intent := w.recordOf(tv); intent != nil || rec.Orphans.Total() != 1 || w.line(tv).State != reconcile.NeedsLogin {
			t.Fatalf("%+v %+v; it is %+v", rec, intent, w.line(tv))
		}
		if e := w.asks(code); e == nil || !e.Waits() {
			t.Fatalf("it is answered %v", e)
		}
		if rec, _ := w.recordOf(tv); rec.Orphans.Total() != 0 {
			t.Errorf("%d orphans though nothing was brought", rec.Orphans.Total())
		}
		w.server.DecideDevice(userCode, true)
		w.server.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultMissingToken, Path: "/token", Times: 1})
		if e := w.asks(code); e == nil || e.Class != providers.ClassUnreadable {
			t.Fatalf("it is answered %v", e)
		}
		if rec, intent := w.recordOf(tv); intent != nil || rec.Raw == nil || w.line(tv).State != reconcile.Unread {
			t.Errorf("%+v %+v; it is %+v", rec.Raw, intent, w.line(tv))
		}
	})
}

// What is known of a lost answer is kept apart from the refreshes of the token that is
// held meanwhile: neither makes the other be forgotten, nor tried sooner.
func TestALostAnswerBesideRefreshes(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(byDevice)
		code, userCode := w.askDevice()
		w.server.DecideDevice(userCode, true)
		if e := w.asks(code); e != nil {
			t.Fatal(e)
		}
		code, _ = w.askDevice()
		lost := standin.Fault{API: standin.OAuth2, Kind: standin.FaultLost, Path: "/token", Times: 1}
		ask := func(orphans int, answered bool) {
			t.Helper()
			if e := w.asks(code); e == nil || e.Waits() != answered {
				t.Fatalf("it is answered %v", e)
			}
			if rec, intent := w.recordOf(tv); rec.Orphans.Total() != orphans || intent != nil || w.line(tv).State != reconcile.Ready {
				t.Fatalf("%d orphans, intent %+v, it is %+v", rec.Orphans.Total(), intent, w.line(tv))
			}
		}
		w.server.Fail(lost)
		ask(1, false)
		if err := w.loop.Do(t.Context(), tv, reconcile.Order{Kind: reconcile.OrderRefresh}); err != nil {
			t.Fatal(err)
		}
		w.server.Fail(lost)
		ask(1, false) // it is the same code still
		ask(0, true)

		w.server.Fail(standin.Fault{API: standin.OAuth2, Kind: standin.FaultRefuse, Status: 401, Code: "invalid_client", Path: "/token", Times: 1})
		if err := w.loop.Do(t.Context(), tv, reconcile.Order{Kind: reconcile.OrderRefresh}); err == nil {
			t.Fatal("it was refreshed")
		}
		before, _ := w.recordOf(tv)
		w.server.Fail(lost)
		if e := w.asks(code); e == nil || e.Waits() {
			t.Fatalf("it is answered %v", e)
		}
		if rec, _ := w.recordOf(tv); rec.Orphans.Total() != 1 || rec.Failure == nil || rec.Failure.Op != "refresh" || rec.Failure.Count < before.Failure.Count {
			t.Errorf("%d orphans; of the refresh that failed is left %+v", rec.Orphans.Total(), rec.Failure)
		}
	})
}
