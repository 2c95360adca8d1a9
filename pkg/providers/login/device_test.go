package login_test

import (
	"errors"
	"testing"
	"time"

	"tokend/pkg/providers"
	"tokend/pkg/providers/login"
)

func TestPoll(t *testing.T) {
	answer := func(class providers.Class, status int, code string) error {
		return &providers.Error{Op: providers.OpExchange, Class: class, Status: status, Code: code}
	}
	pending, slower := answer(providers.ClassTransient, 400, "authorization_pending"), answer(providers.ClassThrottled, 400, "slow_down")
	unreached, unanswered := answer(providers.ClassTransient, 0, ""), answer(providers.ClassUnknown, 0, "")
	own := answer(providers.ClassTransient, 202, "")
	p := login.NewPoll(5 * time.Second)
	for i, step := range []struct {
		err  error
		want time.Duration
	}{
		{pending, 5 * time.Second},
		{own, 5 * time.Second},
		{slower, 10 * time.Second},
		{pending, 10 * time.Second},
		{slower, 15 * time.Second},
		{unreached, 30 * time.Second},
		{unanswered, time.Minute},
		{unanswered, time.Minute},
		{&providers.Error{Class: providers.ClassTransient, Status: 403, Walled: true}, time.Minute},
		{pending, 15 * time.Second},
		{unreached, 30 * time.Second}, // the failures before are over
		{&providers.Error{Class: providers.ClassThrottled, Status: 429, RetryAfter: 2 * time.Minute}, 2 * time.Minute},
		{&providers.Error{Class: providers.ClassThrottled, Status: 400, Code: "slow_down", RetryAfter: time.Minute}, time.Minute},
		{pending, 20 * time.Second},
	} {
		if wait, goesOn := p.After(step.err); !goesOn || wait != step.want {
			t.Errorf("step %d: %v %v, want %v", i, wait, goesOn, step.want)
		}
		var answer *providers.Error
		if least := p.Least(); errors.As(step.err, &answer) && least != max(p.Interval(), answer.RetryAfter) {
			t.Errorf("step %d: at least %v, with an interval of %v", i, least, p.Interval())
		}
	}
	for _, err := range []error{
		answer(providers.ClassPermanent, 400, "access_denied"), answer(providers.ClassPermanent, 400, "expired_token"), answer(providers.ClassPermanent, 401, "invalid_client"),
		answer(providers.ClassLogin, 400, ""), answer(providers.ClassUnreadable, 200, ""), answer(providers.ClassConfig, 0, ""), errors.New("it is not declared any more"),
	} {
		if _, goesOn := p.After(err); goesOn {
			t.Errorf("%v: it asks again", err)
		}
	}
	if got := login.NewPoll(0).Interval(); got != time.Second {
		t.Errorf("without an interval it asks every %v", got)
	}
}
