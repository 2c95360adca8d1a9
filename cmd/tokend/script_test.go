package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tokend/pkg/standin"
)

// The scripts under testdata use the command line as a person does. Each has a
// directory of its own with config/, state/ and run/, which the environment
// names as systemd would, and stand-ins of the APIs.
//
// Commands that scripts have beside testscript's own:
//
//	standin [RULES]           starts stand-ins; $COINIFY_URL and the like name them.
//	                          RULES is JSON of standin.Rules for all APIs
//	fault API KIND [TIMES]    the next requests of an API fail in that way; or JSON of
//	                          standin.Fault
//	mended                    no request fails any more
//	account API LOGIN PASSWORD   the API knows somebody, who has that password now
//	client API ID SECRET      the API knows an application
//	books API FIELD N         the API's own books say N for a count; "books until …"
//	                          waits for it
//	story API WORD…           what the API did, in this order and nothing else
//	ends access|all API LOGIN    an account's access tokens, or all its tokens, end at the API
//	wroteahead FILE DURATION  a state was written last by a clock that was ahead by that
//	alive [!] API FILE        the token in a file works at the API
//	[!] same FILE FILE        waits until two files hold the same, or do not
//	until [!] PATTERN CMD…    repeats a command until its output matches
//	browser ADDRESS           logs in as a person who pastes where the browser was sent
//	comesback ADDRESS         logs in as a person whose browser comes back by itself, or who
//	                          enters a code where the login says
func TestMain(m *testing.M) {
	// Else each command of a script waits for a second at its end under -race.
	if os.Getenv("GORACE") == "" {
		if err := os.Setenv("GORACE", "atexit_sleep_ms=10"); err != nil {
			panic(err)
		}
	}
	testscript.Main(allTests{m}, map[string]func(){"tokend": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		os.Exit(run(ctx, process{args: os.Args[1:], environ: os.Environ(), in: os.Stdin, out: os.Stdout, err: os.Stderr}))
	}})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			for _, dir := range []string{"config", "state", "run", "out"} {
				if err := os.MkdirAll(filepath.Join(e.WorkDir, dir), 0o700); err != nil {
					return err
				}
			}
			e.Setenv("CONFIGURATION_DIRECTORY", filepath.Join(e.WorkDir, "config"))
			e.Setenv("STATE_DIRECTORY", filepath.Join(e.WorkDir, "state"))
			e.Setenv("RUNTIME_DIRECTORY", shortDir(e))
			e.Setenv("TOKEND_VAR_out", filepath.Join(e.WorkDir, "out"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"standin": cmdStandin, "fault": cmdFault, "books": cmdBooks, "until": cmdUntil, "browser": cmdBrowser, "comesback": cmdComesBack, "mode": cmdMode, "login": cmdLogin,
			"mended": cmdMended, "account": cmdAccount, "client": cmdClient, "story": cmdStory, "alive": cmdAlive, "same": cmdSame, "older": cmdOlder, "ends": cmdEnds, "wroteahead": cmdWroteAhead,
		},
	})
}

// shortDir is a directory for the control socket: the path of a Unix socket has
// at most 107 bytes.
func shortDir(e *testscript.Env) string {
	dir, err := os.MkdirTemp("", "tokend")
	if err != nil {
		e.T().Fatal(err)
	}
	e.Defer(func() { _ = os.RemoveAll(dir) })
	return dir
}

// servers are the stand-ins of each script, by its working directory.
var servers = struct {
	byDir map[string]*standin.Server
	gate  chan struct{}
}{map[string]*standin.Server{}, make(chan struct{}, 1)}

func serverOf(ts *testscript.TestScript) *standin.Server {
	servers.gate <- struct{}{}
	defer func() { <-servers.gate }()
	s := servers.byDir[ts.Getenv("WORK")]
	if s == nil {
		ts.Fatalf("no stand-in was started")
	}
	return s
}

func cmdStandin(ts *testscript.TestScript, _ bool, args []string) {
	o := standin.Options{AnyAccount: true, AutoApprove: true, Rules: standin.Rules{ExpiresIn: standin.ExpiryNumber}}
	if len(args) > 0 {
		ts.Check(json.Unmarshal([]byte(args[0]), &o.Rules))
	}
	s := standin.New(o)
	run, err := standin.Start(context.Background(), s, standin.Listen{})
	ts.Check(err)
	ts.Defer(run.Close)
	servers.gate <- struct{}{}
	servers.byDir[ts.Getenv("WORK")] = s
	<-servers.gate
	for name, url := range map[string]string{
		"coinify": run.URLs.Coinify, "coinify_user": run.URLs.CoinifyUser, "coinsph": run.URLs.CoinsPh,
		"cryptohopper": run.URLs.Cryptohopper, "apirone": run.URLs.Apirone, "oauth2": run.URLs.OAuth2,
	} {
		ts.Setenv(strings.ToUpper(name)+"_URL", url)
		ts.Setenv("TOKEND_VAR_"+name+"_url", url)
	}
}

func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	if strings.HasPrefix(args[0], "{") {
		var f standin.Fault
		ts.Check(json.Unmarshal([]byte(args[0]), &f))
		serverOf(ts).Fail(f)
		return
	}
	f := standin.Fault{API: standin.API(args[0]), Kind: standin.FaultKind(args[1]), Times: 1}
	if len(args) > 2 {
		_, err := fmt.Sscan(args[2], &f.Times)
		ts.Check(err)
	}
	serverOf(ts).Fail(f)
}

func cmdBooks(ts *testscript.TestScript, neg bool, args []string) {
	wait := args[0] == "until"
	if wait {
		args = args[1:]
	}
	awaited(ts, wait, func() string {
		b, err := json.Marshal(serverOf(ts).Counts(standin.API(args[0])))
		ts.Check(err)
		var counts map[string]any
		ts.Check(json.Unmarshal(b, &counts))
		got, ok := counts[args[1]]
		if !ok {
			ts.Fatalf("the books have no %q: %s", args[1], b)
		}
		if (fmt.Sprint(got) == args[2]) == neg {
			return fmt.Sprintf("the books of %s say %v %s, want %s", args[0], got, args[1], args[2])
		}
		return ""
	})
}

// cmdUntil repeats a command until its output matches; the command may fail.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: until [!] PATTERN COMMAND…")
	}
	if args[0] == "!" {
		neg, args = true, args[1:]
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var out string
	for {
		_ = ts.Exec(args[1], args[2:]...)
		out = ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if re.MatchString(out) != neg {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("%q did not come true for %v; last:\n%s", args[0], args[1:], out)
		}
	}
}

// cmdLogin logs in by --paste, with a stand-in that approves at once.
func cmdLogin(ts *testscript.TestScript, _ bool, args []string) { cmdBrowser(ts, false, args) }

func cmdBrowser(ts *testscript.TestScript, neg bool, args []string) {
	urls, in := newPipe(ts)
	done := make(chan error, 1)
	var out bytes.Buffer
	go func() {
		g := process{args: append([]string{"login", "--paste"}, args...), environ: environOf(ts), in: in, out: urls, err: &out}
		status := run(context.Background(), g)
		urls.Close()
		if status != 0 {
			done <- fmt.Errorf("login exited with %d: %s", status, out.String())
			return
		}
		done <- nil
	}()
	url, ok := urls.line()
	if ok {
		in.send(follow(ts, url) + "\n")
	}
	err := <-done
	if (err != nil) != neg {
		ts.Fatalf("login %v: %v", args, err)
	}
}

// cmdComesBack logs in without pasting: the browser goes to where it is sent.
func cmdComesBack(ts *testscript.TestScript, neg bool, args []string) {
	urls, in := newPipe(ts)
	var out bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(context.Background(), process{args: append([]string{"login"}, args...), environ: environOf(ts), in: in, out: urls, err: &out})
		urls.Close()
	}()
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for {
			line, err := urls.r.ReadString('\n')
			if err != nil {
				return
			}
			lines <- strings.TrimSpace(line)
		}
	}()
	for url := range lines {
		if !strings.HasPrefix(url, "http") {
			continue
		}
		res, err := (&http.Client{Timeout: time.Minute}).Get(url)
		ts.Check(err)
		page, err := io.ReadAll(res.Body)
		ts.Check(err)
		res.Body.Close()
		ts.Logf("%s\n%s", res.Status, page)
		if !strings.Contains(string(page), "Connect a device") { // that one asks for the code
			break
		}
	}
	if status := <-done; (status == 0) == neg {
		ts.Fatalf("login %v exited with %d: %s", args, status, out.String())
	}
}

// follow asks an authorization page and returns where it redirects to.
func follow(ts *testscript.TestScript, url string) string {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 10 * time.Second}
	res, err := c.Get(url)
	ts.Check(err)
	defer res.Body.Close()
	return res.Header.Get("Location")
}

func environOf(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"CONFIGURATION_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "TOKEND_VAR_out", "PATH", "HOME"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	for _, api := range []string{"coinify", "coinify_user", "coinsph", "cryptohopper", "apirone", "oauth2"} {
		env = append(env, "TOKEND_VAR_"+api+"_url="+ts.Getenv("TOKEND_VAR_"+api+"_url"))
	}
	return env
}

// cmdMode checks a file's mode.
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	st, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", st.Mode().Perm()); (got == args[1]) == neg {
		ts.Fatalf("mode of %s is %s, want %s", args[0], got, args[1])
	}
}
