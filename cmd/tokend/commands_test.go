package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.etcd.io/bbolt"

	"tokend/pkg/standin"
)

// scriptPatience is how long a script waits for what has to come true.
const scriptPatience = 30 * time.Second

// awaited ends a script unless check says nothing is wrong; with wait it
// looks again until it does.
func awaited(ts *testscript.TestScript, wait bool, check func() string) {
	deadline := time.NewTimer(scriptPatience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		if !wait {
			ts.Fatalf("%s", wrong)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("after %s: %s", scriptPatience, wrong)
		}
	}
}

// cmdOlder sets every time in an export back, as if it had been written that long
// ago and nobody had touched it since.
func cmdOlder(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: older EXPORT DURATION")
	}
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	text := regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]+"`).ReplaceAllStringFunc(ts.ReadFile(args[0]), func(s string) string {
		at, err := time.Parse(time.RFC3339Nano, strings.Trim(s, `"`))
		ts.Check(err)
		if at.Year() < 2000 {
			return s // none
		}
		return `"` + at.Add(-d).Format(time.RFC3339Nano) + `"`
	})
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func cmdMended(ts *testscript.TestScript, _ bool, _ []string) { serverOf(ts).ClearFaults() }

func cmdAccount(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: account API LOGIN PASSWORD")
	}
	serverOf(ts).Register(standin.Account{API: standin.API(args[0]), Login: args[1], Password: args[2]})
}

func cmdClient(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: client API ID SECRET")
	}
	serverOf(ts).RegisterClient(standin.Client{API: standin.API(args[0]), ID: args[1], Secret: args[2], RedirectURIs: []string{"http://127.0.0.1:8250/callback"}})
}

// cmdStory checks what an API did, in order. It waits until enough was done.
func cmdStory(ts *testscript.TestScript, _ bool, args []string) {
	awaited(ts, true, func() string {
		var did []string
		for _, r := range serverOf(ts).Ledger(standin.API(args[0])).Requests {
			if r.Did != "" && r.Did != "fault" {
				did = append(did, r.Did)
			}
		}
		if slices.Equal(did, args[1:]) {
			return ""
		}
		if len(did) > len(args)-1 {
			ts.Fatalf("the story of %s is %v, want %v", args[0], did, args[1:])
		}
		return args[0] + " has done " + strings.Join(did, ", ") + " so far"
	})
}

// cmdAlive checks that the token which a file holds works.
func cmdAlive(ts *testscript.TestScript, neg bool, args []string) {
	value := strings.TrimSpace(ts.ReadFile(args[1]))
	tok, found := serverOf(ts).Lookup(standin.API(args[0]), value)
	switch {
	case !found:
		ts.Fatalf("%s never issued what %s holds", args[0], args[1])
	case tok.Alive == neg:
		ts.Fatalf("the token in %s: alive is %v (%s)", args[1], tok.Alive, tok.Why)
	}
}

func cmdSame(ts *testscript.TestScript, neg bool, args []string) {
	awaited(ts, true, func() string {
		a, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			return err.Error()
		}
		if (string(a) == ts.ReadFile(args[1])) == neg {
			return fmt.Sprintf("that %s and %s are the same is %v", args[0], args[1], neg)
		}
		return ""
	})
}

// cmdEnds ends an account's access tokens at an API, or all that came of its grants,
// behind the holder's back.
func cmdEnds(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 || args[0] != "access" && args[0] != "all" {
		ts.Fatalf("usage: ends access|all API LOGIN")
	}
	end := serverOf(ts).RevokeAccount
	if args[0] == "access" {
		end = serverOf(ts).ExpireAccess
	}
	if end(standin.API(args[1]), args[2]) == 0 {
		ts.Fatalf("%s has no living token of %s", args[1], args[2])
	}
}

// cmdWroteAhead has a state say that it was written last by a clock that was ahead; its
// file is as new as it is.
func cmdWroteAhead(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: wroteahead FILE DURATION")
	}
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	db, err := bbolt.Open(ts.MkAbs(args[0]), 0o600, nil)
	ts.Check(err)
	ts.Check(db.Update(func(tx *bbolt.Tx) error {
		at := uint64(time.Now().Add(d).UnixNano())
		return tx.Bucket([]byte("state")).Put([]byte("written"), binary.BigEndian.AppendUint64(nil, at))
	}))
	ts.Check(db.Close())
}
