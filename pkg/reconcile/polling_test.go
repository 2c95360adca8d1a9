package reconcile_test

import (
	"errors"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/providers/login"
	"tokend/pkg/reconcile"
	"tokend/pkg/secret"
	"tokend/pkg/standin"
)

// Whether a device code had its answer is told by what is recorded with that, and by
// no clock: one that was set back, or ahead, since the login began changes nothing.
func TestADeviceCodeIsKnownToBeSpentByNoClock(t *testing.T) {
	inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
		w.set(byDevice)
		answered := func(code reconcile.LoginCode, ahead time.Duration) bool {
			t.Helper()
			token, unread, err := w.loop.Answered(t.Context(), tv, time.Now().Add(ahead), code.Flow.DeviceCode)
			if err != nil || unread {
				t.Fatalf("unread %t, %v", unread, err)
			}
			return token
		}
		first, userCode := w.askDevice()
		if e := w.asks(first); e == nil || !e.Waits() {
			t.Fatalf("it is answered %v", e)
		}
		w.server.DecideDevice(userCode, true)
		if e := w.asks(first); e != nil {
			t.Fatal(e)
		}
		w.halt()
		w.start()
		w.set(byDevice)
		for _, ahead := range []time.Duration{-24 * time.Hour, 0, 24 * time.Hour} {
			if !answered(first, ahead) {
				t.Errorf("a login that began %s from now: its code is not known to be spent", ahead)
			}
		}
		second, _ := w.askDevice()
		for _, ahead := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
			if answered(second, ahead) {
				t.Errorf("a login that began %s from now: another's answer is taken for its", ahead)
			}
		}
	})
}

func TestALoginByADeviceCodeEnds(t *testing.T) {
	approve := func(yes bool) func(*world, string, chan struct{}) {
		return func(w *world, userCode string, _ chan struct{}) { w.server.DecideDevice(userCode, yes) }
	}
	for name, c := range map[string]struct {
		meanwhile func(w *world, userCode string, done chan struct{})
		ends      func(error) bool
	}{
		"approved": {approve(true), func(err error) bool { return err == nil }},
		"denied": {approve(false), func(err error) bool {
			var answer *providers.Error
			return errors.As(err, &answer) && answer.Code == "access_denied"
		}},
		"another took its place": {func(_ *world, _ string, done chan struct{}) { close(done) }, func(err error) bool { return errors.Is(err, reconcile.ErrUndecided) }},
		"nobody":                 {func(*world, string, chan struct{}) {}, func(err error) bool { return errors.Is(err, reconcile.ErrLate) }},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, standin.Options{}, func(t *testing.T, w *world) {
				w.set(byDevice)
				code, userCode := w.askDevice()
				done, ended := make(chan struct{}), make(chan error, 1)
				began, failed := time.Now(), 0
				go func() {
					ended <- w.loop.Poll(t.Context(), reconcile.Polling{Address: tv, Code: code, Asks: login.NewPoll(5 * time.Second), Until: began.Add(time.Minute), Done: done, Failed: func(error) { failed++ }})
				}()
				<-time.After(12 * time.Second)
				c.meanwhile(w, userCode, done)
				err := <-ended
				if !c.ends(err) || failed < 2 || time.Since(began) > 2*time.Minute {
					t.Errorf("after %s and %d answers: %v", time.Since(began), failed, err)
				}
			})
		})
	}
}

// A state of an earlier version does not say which code was answered: when tells.
func TestADeviceCodeOfAnEarlierVersion(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		w.set(trader("a@example.com", ""))
		<-time.After(time.Minute)
		for ahead, want := range map[time.Duration]bool{-time.Hour: true, 0: false} {
			token, _, err := w.loop.Answered(t.Context(), "credential.coinify.trader", time.Now().Add(ahead), secret.New("a-code"))
			if err != nil || token != want {
				t.Errorf("%s: %t, %v", ahead, token, err)
			}
		}
	})
}
