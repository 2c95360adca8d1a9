package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"time"

	"tokend/pkg/reconcile"
)

// loginView is a login that is under way, for status. What a person opens or enters
// is shown at the beginning alone, and is not in it.
type loginView struct {
	Address string    `json:"address"`
	By      string    `json:"by"` // byBrowser, byDevice
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until"` // when it ends by itself
	// Exchanging: the person has done their part, and the provider is asked for the
	// token.
	Exchanging bool `json:"exchanging,omitempty"`
}

const (
	byBrowser = "browser" // a redirect brings its code
	byDevice  = "device"  // the provider is asked whether its code was entered
)

// underWay are the logins that have not come to their end, of one address or of all
// (""), the oldest first. A daemon that has not read them back yet has none to show.
func (e *engine) underWay(addr string) []loginView {
	if !e.daemon {
		e.knownLogins()
	}
	var views []loginView
	now := time.Now()
	e.logins.mu.Lock()
	for _, l := range e.logins.known {
		sent := !l.sent.IsZero() && !isClosed(l.exchanged)
		if at := e.addressOf(l); (addr == "" || addr == at) && (sent || l.waits(now)) {
			v := loginView{Address: at, By: byBrowser, Since: l.began, Until: l.until, Exchanging: sent}
			if l.device != nil {
				v.By = byDevice
			}
			views = append(views, v)
		}
	}
	e.logins.mu.Unlock()
	slices.SortFunc(views, func(a, b loginView) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Address, b.Address))
	})
	return views
}

// printLogins says which logins are under way, what they wait for, and how another
// is begun: what the person was shown is shown once.
func (g *globals) printLogins(w io.Writer, now time.Time, logins []loginView) {
	if len(logins) == 0 {
		return
	}
	fmt.Fprintln(w, "Logins under way, which end by themselves:")
	for _, l := range logins {
		if l.Exchanging {
			fmt.Fprintf(w, "  %s: for %s: it was approved, and the token is being obtained\n", shown(l.Address), ago(now, l.Since))
			continue
		}
		does, again := "approve at the address", "begin again"
		if l.By == byDevice {
			does, again = "enter the code", "begin again, with another code in its place"
		}
		fmt.Fprintf(w, "  %s: for %s, until %s: a person has still to %s that `tokend login` showed\n", shown(l.Address), ago(now, l.Since), clock(l.Until), does)
		fmt.Fprintf(w, "      to %s: %s\n", again, g.spell("tokend login "+reconcile.ShellAddress(l.Address)))
	}
}
