package main

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"tokend/pkg/reconcile"
)

// notifier tells systemd how the daemon does (sd_notify). Without systemd it
// does nothing.
type notifier struct {
	log      *slog.Logger
	watchdog time.Duration
	send     func(string)

	mu       sync.Mutex
	ready    bool
	last     string
	extended time.Time
}

func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{log: log, send: func(s string) {
		if _, err := daemon.SdNotify(false, s); err != nil {
			log.Debug("telling systemd", "error", err)
		}
	}}
	if d, err := daemon.SdWatchdogEnabled(false); err == nil {
		n.watchdog = d
	}
	return n
}

// interval is how often there is something to tell.
func (n *notifier) interval() time.Duration {
	const often = 250 * time.Millisecond
	if n.watchdog > 0 {
		return min(often, n.watchdog/4)
	}
	return often
}

// progress feeds the watchdog while the loop takes turns: it takes one at least
// every half minute, and at once when it is asked something, so the question
// that status asks before each feeding shows that it lives.
func (n *notifier) progress(at time.Time) {
	if n.watchdog > 0 && time.Since(at) < n.watchdog {
		n.send(daemon.SdNotifyWatchdog)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if now := time.Now(); !n.ready && now.Sub(at) < startExtends && now.Sub(n.extended) >= startExtends/4 {
		n.extended = now
		n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", startExtends.Microseconds()))
	}
}

// waits says for what a start waits, and has systemd wait on with it.
func (n *notifier) waits(status string) {
	n.send(fmt.Sprintf("STATUS=%s\nEXTEND_TIMEOUT_USEC=%d", status, startExtends.Microseconds()))
}

// startExtends is how long systemd is asked to wait on, again and again, for a
// first pass that gets on: thousands of tokens that came due while nothing ran
// take their time within a provider's rate limit, and being killed for it would
// begin the pass anew, for ever.
const startExtends = 2 * time.Minute

// status says how everything does, and READY once the first pass is over.
func (n *notifier) status(v reconcile.View, c configurationView) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := statusWords(v, c)
	if text != n.last {
		n.last = text
		n.send("STATUS=" + text)
	}
	if !n.ready && v.FirstPass {
		n.ready = true
		n.send(daemon.SdNotifyReady)
		n.log.Info("ready", "status", text)
	}
}

func statusWords(v reconcile.View, c configurationView) string {
	s := readyWords(v) + " ready"
	if v.Unseen > 0 {
		s = "starting: " + lookedWords(v) + "; " + s
	}
	for _, x := range []struct {
		state reconcile.State
		words string
	}{
		{reconcile.Failing, "failing"}, {reconcile.Stopped, "stopped"}, {reconcile.NeedsLogin, "waiting for a login"}, {reconcile.Held, "held"},
		{reconcile.Indeterminate, "indeterminate"}, {reconcile.Unread, "unread"}, {reconcile.Waiting, "waiting"}, {reconcile.Pending, "pending"}, {reconcile.Removing, "being removed"},
	} {
		if k := v.Counts[x.state]; k > 0 {
			s += fmt.Sprintf(", %d %s", k, x.words)
		}
	}
	switch {
	case c.NotTaken != "":
		s += "; the configuration cannot be taken over, the one before is in force"
	case !c.Valid:
		s += "; the configuration is broken, the last good one is in force"
	}
	return s
}

func (n *notifier) reloading() { n.send(daemon.SdNotifyReloading) }

func (n *notifier) reloaded() { n.send(daemon.SdNotifyReady) }

func (n *notifier) stopping() { n.send(daemon.SdNotifyStopping) }
