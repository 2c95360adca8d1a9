package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/standin"
	"tokend/pkg/state"
)

const interruptConfig = `
variable "out" { type = string }
secret "file" "password" { path = "password" }
credential "coinify" "trader" {
  grant      = "password"
  email      = "alice@example.com"
  partner_id = "p"
  password   = secret.file.password.value
}
credential "coinify" "other" {
  grant      = "password"
  email      = "bob@example.com"
  partner_id = "p"
  password   = secret.file.password.value
}
sink "file" "t" {
  path    = "${var.out}/token"
  content = credential.coinify.trader.access_token
}
`

// interruptions are the commands as they are ended at one moment after the other. What
// a signal ends in another way, or what has no such moment, says why.
var interruptions = map[string]struct {
	args   []string
	before func(l *lab) // what the command finds
	exempt string
}{
	"apply": {args: []string{"--auto-approve"}, before: func(l *lab) {
		l.edit("main.hcl", `"${var.out}/token"`, `"${var.out}/moved"`)
	}},
	"plan":                  {},
	"validate":              {},
	"fmt":                   {before: func(l *lab) { l.write("crooked.hcl", "locals {\na=1\n}\n") }},
	"status":                {},
	"get":                   {args: []string{"coinify.trader", "--min-valid", "18m"}},
	"exec":                  {args: []string{"--env", "T=coinify.trader", "--", "true"}},
	"approve":               {},
	"refresh":               {args: []string{"coinify.trader"}},
	"revoke":                {args: []string{"coinify.other"}},
	"taint":                 {args: []string{"coinify.trader"}},
	"retry":                 {args: []string{"coinify.trader"}},
	"action":                {args: []string{"coinify.other", "deactivate", "--yes"}},
	"state list":            {},
	"state show":            {args: []string{"coinify.trader"}},
	"state mv":              {args: []string{"coinify.other", "coinify.another"}},
	"state rm":              {args: []string{"coinify.other"}},
	"state export":          {},
	"state backup":          {args: []string{"COPY"}, before: func(l *lab) { _ = os.Remove(filepath.Join(l.out, "copy")) }},
	"state restore":         {args: []string{"COPY", "--force"}, before: func(l *lab) { l.must("state", "backup", filepath.Join(l.out, "copy")) }},
	"state rotate-key":      {},
	"provider list":         {},
	"provider show":         {args: []string{"coinify"}},
	"provider test":         {args: []string{"coinify"}},
	"functions":             {},
	"schema":                {},
	"version":               {},
	"completion bash":       {},
	"login":                 {exempt: "it waits for a person: interrupted.txtar and the tests of logins end it"},
	"run":                   {exempt: "a signal is how it is stopped"},
	"dev":                   {exempt: "a signal is how it is stopped, and its state goes with it"},
	"completion zsh":        {exempt: "as completion bash"},
	"completion fish":       {exempt: "as completion bash"},
	"completion powershell": {exempt: "as completion bash"},
}

// Every command is either known to change something or tells the truth where it says,
// once a signal has ended it, that nothing was changed; at whichever moment that came.
func TestWhatAnEndedCommandSaysIsTrue(t *testing.T) {
	known := map[string]bool{}
	var leaves func(c *cobra.Command)
	leaves = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			leaves(sub)
		}
		if name := strings.TrimPrefix(c.CommandPath(), "tokend "); !c.HasSubCommands() && c.Name() != "help" {
			known[name] = true
			if _, ok := interruptions[name]; !ok {
				t.Errorf("tokend %s is not in the table: what does it say when a signal ends it?", name)
			}
		}
	}
	root := newRoot(&globals{})
	root.InitDefaultCompletionCmd()
	leaves(root)
	for name := range changing {
		if !known[strings.TrimPrefix(name, "tokend ")] {
			t.Errorf("there is no %s", name)
		}
	}
	for name, c := range interruptions {
		if !known[name] {
			t.Errorf("there is no command %s", name)
		}
		if c.exempt != "" || !known[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endEverywhere(t, name)
		})
	}
}

// endEverywhere ends a command at the first, second, third, fifth … moment at which it
// looks whether it is to end, until it comes to its end by itself; and then after parts
// of the time that this takes.
func endEverywhere(t *testing.T, name string) {
	e := &endings{t: t, name: name}
	var began time.Time
	for at, next := int64(1), int64(2); ; at, next = next, at+next {
		ctx, ended := endsAt(t.Context(), at)
		began = time.Now()
		e.end(ctx, fmt.Sprintf("at its moment %d", at))
		if !ended() {
			break
		}
	}
	const parts = 6
	took := time.Since(began)
	for i := range parts {
		ctx, end := context.WithCancelCause(t.Context())
		after := took * time.Duration(i+1) / (parts + 2)
		late := time.AfterFunc(after, func() { end(errSignal) })
		e.end(ctx, fmt.Sprintf("after %v", after))
		late.Stop()
		end(nil)
	}
	t.Logf("it said %d times that nothing was changed, and %d times something else", e.nothing, e.other)
}

// endings are those of one command.
type endings struct {
	t              *testing.T
	name           string
	l              *lab // as the command is to find it; nil: to be made
	nothing, other int  // what was said
}

// end runs the command until ctx has it end.
func (e *endings) end(ctx context.Context, when string) {
	e.t.Helper()
	c := interruptions[e.name]
	if e.l == nil {
		e.l = newLab(e.t, standin.Rules{Latency: 40 * time.Millisecond})
		e.l.write("main.hcl", interruptConfig)
		e.l.write("password", "a-password")
		e.l.must("apply", "--auto-approve")
		if c.before != nil {
			c.before(e.l)
		}
	}
	args := strings.Fields(e.name)
	for _, a := range c.args {
		if a == "COPY" {
			a = filepath.Join(e.l.out, "copy")
		}
		args = append(args, a)
	}
	before := everything(e.l)
	var out record
	status := e.l.globals(strings.NewReader(""), &out, &out, args).run(ctx)
	after, text := everything(e.l), out.String()
	switch {
	case strings.Contains(text, "nothing was changed"):
		if e.nothing++; before != after {
			e.t.Errorf("ended %s it says:\n%s\nbefore:\n%s\nafter:\n%s", when, text, before, after)
		}
	case strings.Contains(text, ": ended by "):
		e.other++
	}
	if strings.Contains(text, ": ended by ") && status == exitOK {
		e.t.Errorf("ended %s its exit status is 0:\n%s", when, text)
	}
	if before != after {
		e.l = nil
	}
}

// moments is a context that ends when it is looked at for the nth time.
type moments struct {
	context.Context
	end  context.CancelCauseFunc
	left atomic.Int64
}

var errSignal = errors.New(syscall.SIGINT.String() + " signal received")

func endsAt(parent context.Context, n int64) (ctx context.Context, ended func() bool) {
	inner, end := context.WithCancelCause(parent)
	m := &moments{Context: inner, end: end}
	m.left.Store(n)
	return m, func() bool { return m.left.Load() <= 0 }
}

func (m *moments) look() {
	if m.left.Add(-1) == 0 {
		m.end(errSignal)
	}
}

func (m *moments) Done() <-chan struct{} {
	m.look()
	return m.Context.Done()
}

func (m *moments) Err() error {
	m.look()
	return m.Context.Err()
}

// everything is what a command could have changed: the configuration, the state, what is
// delivered, and what the API did.
func everything(l *lab) string {
	l.t.Helper()
	var b strings.Builder
	for _, dir := range []string{l.config, l.out} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if strings.HasSuffix(path, "copy") {
				content = nil
			}
			fmt.Fprintf(&b, "%s %q\n", path, content)
			return err
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	var s *state.Bolt
	var err error
	l.until("the state can be opened", func() (bool, string) { // a test beside this one may fork while it is open
		s, err = state.Open(l.t.Context(), state.Options{Dir: l.state, Key: state.GeneratedKeyFile(filepath.Join(l.state, state.GeneratedName))})
		return !errors.Is(err, state.ErrLocked), fmt.Sprint(err)
	})
	if err != nil {
		l.t.Fatal(err)
	}
	defer s.Close()
	var heads []string
	err = s.Heads(l.t.Context(), func(h state.Head) error {
		heads = append(heads, fmt.Sprintf("%+v", h))
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	slices.Sort(heads)
	key, err := os.ReadFile(filepath.Join(l.state, state.GeneratedName))
	if err != nil {
		l.t.Fatal(err)
	}
	fmt.Fprintf(&b, "%s\nkey %q\n%+v\n", strings.Join(heads, "\n"), key, l.api.Counts(standin.Coinify))
	return b.String()
}
