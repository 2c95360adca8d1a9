package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokend/pkg/state"
)

// fullState takes no commit.
type fullState struct{ state.Store }

var errFull = errors.New("no space left on device")

func (fullState) Commit(context.Context, ...state.Change) error { return errFull }

// oneLogin is an engine that one login by a redirect waits in.
func oneLogin(t *testing.T) (*engine, *openLogin) {
	t.Helper()
	now := time.Now()
	l := &openLogin{id: "a", address: "credential.example.me", began: now, until: now.Add(loginLasts), exchanged: make(chan struct{}), done: make(chan struct{})}
	e := &engine{ctx: t.Context(), log: slog.New(slog.DiscardHandler), store: fullState{}}
	e.logins.known = map[string]*openLogin{l.id: l}
	return e, l
}

// A code of which the state does not know is not sent: a restart would send it again.
func TestACodeIsNotSentUnnoted(t *testing.T) {
	e, l := oneLogin(t)
	sends, err := e.sendLogin(l)
	if sends || !errors.Is(err, errFull) || !strings.Contains(err.Error(), "it was not sent") || hintOf(err) == "" {
		t.Errorf("%v %v", sends, err)
	}
	if !l.waits(time.Now()) {
		t.Error("the login does not wait any more, though its code is unspent")
	}
}

// A login that is given up in the moment in which the browser comes back is not
// carried out; one whose code is sent by then is not given up. Either ends once.
func TestALoginEndsOnce(t *testing.T) {
	e, l := oneLogin(t)
	in := loginID{l.address, l.id}
	if err := e.LoginCancel(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if sends, err := e.sendLogin(l); sends || err != nil {
		t.Errorf("the code of a login that was given up is sent: %v %v", sends, err)
	}
	if err := e.loginEnd(t.Context(), l, l.done); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Error(err)
	}

	e, l = oneLogin(t)
	l.sent = time.Now()
	if err := e.LoginCancel(t.Context(), in); err != nil || isClosed(l.done) {
		t.Errorf("a login whose code is sent is given up: %v", err)
	}

	// What was asked about a device code meanwhile brought a token.
	e, l = oneLogin(t)
	e.endLogin(l, errors.New("given up"))
	e.endLogin(l, nil)
	if l.end(nil) || l.err == nil {
		t.Error("it ended twice")
	}
	e.noteObtained(l)
	if !l.obtained {
		t.Error("what it brought is not noted")
	}
}

// slowState is a state that a commit takes a while in.
type slowState struct {
	state.Store
	began, release chan struct{}
	committed      *atomic.Bool
}

func (s slowState) Commit(context.Context, ...state.Change) error {
	close(s.began)
	<-s.release
	s.committed.Store(true)
	return nil
}

// Who waits for a login's end hears of it once the state has it: a command closes its
// state then, and the next start would take the login for one that still waits.
func TestALoginsEndIsInTheStateBeforeItIsTold(t *testing.T) {
	t.Parallel()
	e, l := oneLogin(t)
	s := slowState{began: make(chan struct{}), release: make(chan struct{}), committed: new(atomic.Bool)}
	e.store = s
	go e.endLogin(l, errors.New("the person declined"))
	<-s.began
	told := make(chan bool, 1)
	go func() {
		_ = e.LoginWait(t.Context(), loginID{l.address, l.id})
		told <- s.committed.Load()
	}()
	select {
	case <-told:
		t.Fatal("its end is told while the state does not have it")
	case <-time.After(50 * time.Millisecond):
	}
	close(s.release)
	if !<-told {
		t.Error("its end is told while the state does not have it")
	}
}
