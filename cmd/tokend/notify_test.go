package main

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/reconcile"
)

// TestNotifier: systemd is told how the first pass gets on, is asked for more
// time while it does, and hears READY once, when it is over.
func TestNotifier(t *testing.T) {
	var sent []string
	n := &notifier{log: slog.New(slog.DiscardHandler), send: func(s string) { sent = append(sent, s) }}
	expect := func(when string, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, sent); d != "" {
			t.Errorf("%s systemd is told (-want +got):\n%s", when, d)
		}
		sent = nil
	}
	starting := reconcile.View{Unseen: 2, Counts: map[reconcile.State]int{reconcile.Ready: 3, reconcile.Pending: 2}}
	n.progress(time.Now())
	n.status(starting, configurationView{Valid: true})
	expect("at the start", "EXTEND_TIMEOUT_USEC=120000000", "STATUS=starting: 3 of 5 looked at; 3 of 5 ready, 2 pending")
	n.progress(time.Now())
	n.status(starting, configurationView{Valid: true})
	expect("soon after, with nothing new,")

	n.extended = time.Now().Add(-time.Minute)
	n.progress(time.Now().Add(-time.Hour))
	expect("while the loop stands still")
	n.progress(time.Now())
	expect("while it gets on", "EXTEND_TIMEOUT_USEC=120000000")

	over := reconcile.View{FirstPass: true, Counts: map[reconcile.State]int{reconcile.Ready: 4, reconcile.Failing: 1}}
	n.status(over, configurationView{Valid: true})
	expect("after the first pass", "STATUS=4 of 5 ready, 1 failing", "READY=1")
	n.extended = time.Time{}
	n.progress(time.Now())
	n.status(over, configurationView{})
	expect("later", "STATUS=4 of 5 ready, 1 failing; the configuration is broken, the last good one is in force")
	n.status(over, configurationView{Valid: true, NotTaken: "the disk is full"})
	expect("and while the disk takes no record of a new one", "STATUS=4 of 5 ready, 1 failing; the configuration cannot be taken over, the one before is in force")
}
