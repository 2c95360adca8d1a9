package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"tokend/pkg/reconcile"
)

// What the guard holds is said once, however many addresses wait for it, in lines
// that a terminal of 100 columns shows whole; of one address all is said.
func TestWhatIsHeldBackIsReadable(t *testing.T) {
	now := time.Date(2026, 10, 12, 12, 0, 0, 0, time.UTC)
	reason := "the change would give up 12 tokens and remove 3 sinks (with 3 in the hour before); guard.max_revocations is 10, or was within the hour before; what the configuration says of the guard now is looser, and counts for what comes an hour after that"
	held := &reconcile.HeldChange{Reason: reason, Revocations: []string{"credential.coinify.a", "credential.coinify.b"}, Steps: []reconcile.HeldStep{
		{Address: "credential.coinify.a", Action: reconcile.ActRevoke, Reason: "it is no longer declared"}, {Address: "credential.coinify.b", Action: reconcile.ActRevoke, Reason: "it is no longer declared"},
	}}
	lines := []reconcile.Line{
		{Address: "credential.coinify.a", State: reconcile.Held, Why: reason, Mend: "tokend approve"},
		{Address: "credential.coinify.b", State: reconcile.Held, Why: reason, Mend: "tokend approve"},
		{Address: "credential.coinify.c", State: reconcile.Held, Why: "email changed, but prevent_destroy is set", Mend: "undo the change"},
	}
	s := statusReply{View: reconcile.View{Now: now, Credentials: lines, Held: held, Counts: map[reconcile.State]int{reconcile.Held: 3}}, Daemon: true, Configuration: configurationView{Valid: true}}
	var out bytes.Buffer
	g := &globals{process: process{out: &out}}
	g.printStatus(&out, s, "")
	text := out.String()
	for _, l := range strings.Split(text, "\n") {
		if len(l) > 100 {
			t.Errorf("%d columns: %s", len(l), l)
		}
	}
	if n := strings.Count(text, "the change would give up 12 tokens"); n != 1 {
		t.Errorf("the reason stands there %d times:\n%s", n, text)
	}
	for _, want := range []string{"2 that are held live on as before", "coinify.c: held: email changed", "coinify.b would be given up: it is no longer declared"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if flat := strings.Join(strings.Fields(text), " "); !strings.Contains(flat, reason) {
		t.Errorf("the reason is not whole:\n%s", text)
	}
	out.Reset()
	s.Credentials = lines[:1]
	g.printStatus(&out, s, "credential.coinify.a")
	if !strings.Contains(out.String(), "coinify.a: held: "+reason) {
		t.Errorf("of one address:\n%s", out.String())
	}
}
