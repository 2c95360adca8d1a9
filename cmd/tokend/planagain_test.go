package main

import (
	"bytes"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// What failed is told with the reason, once; the last line counts what cannot succeed, and
// not what failed before.
func TestAPlanTellsWhatFailedOnce(t *testing.T) {
	soon := time.Now().Add(20*time.Second + time.Second/2)
	for name, c := range map[string]struct {
		step planStep
		want string
	}{
		"tried again soon": {planStep{Action: planObtain, State: reconcile.Failing, Again: true, At: &soon, Reason: "it has no token yet, and its last try failed", Why: "status 503", Mend: "tokend retry a.b"},
			"Obtain\n  + a.b\n      it has no token yet, and its last try failed: status 503; tried again in 20s\n      to mend: tokend retry a.b\n\nPlan: 1 to obtain.\n"},
		"tried again now": {planStep{Action: planRefresh, State: reconcile.Failing, Again: true, Reason: "it is due, and its last try failed", Why: "status 503", Mend: "tokend retry a.b"},
			"Refresh\n  ~ a.b\n      it is due, and its last try failed: status 503\n      to mend: tokend retry a.b\n\nPlan: 1 to refresh.\n"},
		"tried again later": {planStep{Action: planWait, State: reconcile.Failing, Reason: "its last try failed", Why: "status 503", Mend: "tokend retry a.b"},
			"Wait\n  · a.b\n      its last try failed: status 503\n      to mend: tokend retry a.b\n\nPlan: 1 to wait.\n"},
		"refused for good": {planStep{Action: planWait, State: reconcile.Stopped, Reason: "the provider refused it for good", Why: "status 401", Mend: "tokend retry a.b"},
			"Wait\n  · a.b\n      the provider refused it for good: status 401\n      to mend: tokend retry a.b\n\nPlan: 1 to wait.\n"},
		"a reason that is part of what failed": {planStep{Action: planWait, State: reconcile.Failing, Reason: "3 logins in a row", Why: "status 503; 3 logins in a row"},
			"Wait\n  · a.b\n      status 503; 3 logins in a row\n\nPlan: 1 to wait.\n"},
		"cannot succeed": {planStep{Action: planObtain, State: reconcile.Failing, Reason: "it has no token yet, but it would fail: no key", Why: "no key", Mend: "give it a key"},
			"Obtain\n  + a.b\n      it has no token yet, but it would fail: no key\n      to mend: give it a key\n\nPlan: 1 to obtain (1 would fail).\n"},
	} {
		var out bytes.Buffer
		c.step.Address = "credential.a.b"
		(&globals{process: process{out: &out}}).printPlan(planReply{Steps: []planStep{c.step}, Configuration: planConfiguration{Valid: true}})
		if out.String() != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, out.String(), c.want)
		}
	}
}
