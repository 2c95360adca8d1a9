package main

import (
	"strings"
	"testing"
	"time"
)

// A login that is under way is shown by status, with its times and without what the
// person was shown, until it has ended; also by another daemon, and without one.
func TestStatusShowsADeviceLogin(t *testing.T) {
	t.Parallel()
	l := deviceLab(t, time.Hour)
	l.start()
	if s := l.status(); len(s.Logins) != 0 {
		t.Errorf("before it there is %+v", s.Logins)
	}
	p := l.person("oauth2.tv")
	code, _, _ := p.code()
	shows := func() {
		t.Helper()
		said, _ := l.tokend("status")
		if !strings.Contains(said, "Logins under way, which end by themselves:\n  oauth2.tv: for ") || !strings.Contains(said, "a person has still to enter the code that `tokend login` showed") || !strings.Contains(said, "tokend login oauth2.tv") {
			t.Error(said)
		}
		as, _ := l.tokend("status", "--json", "oauth2.tv")
		if strings.Contains(said+as, code) || !strings.Contains(as, `"by": "device"`) {
			t.Errorf("it shows the code, or not the login:\n%s\n%s", said, as)
		}
	}
	shows()
	l.stop()
	shows()
	l.start()
	if s := l.status(); len(s.Logins) != 1 || s.Logins[0].Until.Sub(s.Logins[0].Since) < 59*time.Minute {
		t.Errorf("after a restart there is %+v", s.Logins)
	}
	if said, _ := l.tokend("status", "sink.file.tv"); strings.Contains(said, "under way") {
		t.Errorf("of the sink alone: %s", said)
	}
	l.api.DecideDevice(code, true)
	p.ends(0)
	if said := l.must("status"); strings.Contains(said, "under way") {
		t.Errorf("afterwards: %s", said)
	}
}

// Of a login by a browser as well, until the command that waits for it gives it up.
func TestStatusShowsABrowserLogin(t *testing.T) {
	t.Parallel()
	at := ownLoopback(t)
	l := callbackLab(t, "", "http://"+at+"/callback")
	l.start()
	p := l.person("cryptohopper.bot")
	url := p.url()
	said, _ := l.tokend("status")
	if !strings.Contains(said, "a person has still to approve at the address that `tokend login` showed") || strings.Contains(said, url) {
		t.Error(said)
	}
	p.giveUp()
	p.ends(1)
	if said, _ := l.tokend("status"); strings.Contains(said, "under way") {
		t.Errorf("once it is given up: %s", said)
	}
}
