package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/secret"
)

// Of many logins of one credential by a device code that begin at the same moment one
// is asked about; those who began the others are told.
func TestOneDeviceCodeOfACredentialIsAskedAbout(t *testing.T) {
	t.Parallel()
	e, redirect := oneLogin(t)
	var begun [8]*openLogin
	var all sync.WaitGroup
	for i := range begun {
		now := time.Now()
		l := &openLogin{id: fmt.Sprint("device", i), address: redirect.address, began: now, until: now.Add(loginLasts), exchanged: make(chan struct{}), done: make(chan struct{}),
			device: &deviceCode{code: secret.New(fmt.Sprint("code", i)), interval: time.Second}}
		begun[i] = l
		all.Go(func() { e.keepLogin(t.Context(), l) })
	}
	all.Wait()
	waiting := 0
	for _, l := range begun {
		switch {
		case l.waits(time.Now()):
			waiting++
		case !isClosed(l.exchanged) || l.err == nil || !strings.Contains(l.err.Error(), "another login of it began meanwhile"):
			t.Errorf("%s has ended with %v", l.id, l.err)
		}
	}
	if waiting != 1 || !redirect.waits(time.Now()) {
		t.Errorf("%d codes are waited for; the login by a redirect waits: %v", waiting, redirect.waits(time.Now()))
	}
}
