package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokend/pkg/control"
	"tokend/pkg/providers/login"
)

const loginHelp = `Logs in to an API whose grant needs a person. It prints the provider's
authorization URL: open it in a browser, anywhere, and approve.

The browser is then sent back to the credential's redirect_uri. Where that is this
machine (http://127.0.0.1:8250/callback, unless configured otherwise), the daemon's
own pages receive it ("listen" in the tokend block), or else this command does, on
the loopback address alone and for as long as the login takes. A redirect_uri
without a port, or with port 0, has it open a free one: for providers that take any
port there (RFC 8252).

Where the browser runs on another machine, its last page does not load: copy its
address (the values stand after "?" or "#") into this terminal, as one line. So is one
of an API that sends no state back: the page says so. Both ways are open at once. With
--paste only that one is: it prints the URL, receives nothing and reads one line from
standard input, for scripts and remote hosts.

A grant by a device code (RFC 8628) prints a code and where to enter it, on any
device, and asks the provider until that is done. With a daemon it is the daemon that
asks: it goes on when this command ends.

A login is waited for 15 minutes, or as long as the provider's code is good, also
while the daemon is restarted. Ctrl-C gives it up, but for a device code that the
daemon asks about.

Exit status: 0 logged in, 1 not.`

func loginCommand(g *globals) *cobra.Command {
	var paste bool
	c := &cobra.Command{Use: "login ADDRESS", Short: "log in where a grant needs a person", Long: loginHelp, Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
		a, err := parseCredential(args[0], "a login")
		if err != nil {
			return err
		}
		return g.on(c.Context(), targetOptions{only: []string{a}, login: true}, func(t *target) error {
			s := &loginSession{g: g, t: t, address: a, typed: args[0], paste: paste}
			return s.run(c.Context())
		})
	}}
	c.Flags().BoolVar(&paste, "paste", false, "print the URL and read the redirected address, one line, from standard input")
	return c
}

// loginSession is a login at the command line.
type loginSession struct {
	g       *globals
	t       *target
	address string
	typed   string // the address as the person gave it
	paste   bool

	reply  loginReply
	server *callbackServer // nil: this command receives nothing
	barred string          // why it does not, though it would
}

func (s *loginSession) run(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	if s.server != nil {
		defer s.server.close()
	}
	s.say()
	s.g.stage.while = "it waited for the login"
	err := s.await(ctx)
	if ctx.Err() != nil && s.reply.Device != nil && s.t.daemon {
		s.g.stage.left = fmt.Sprintf("the daemon goes on asking until %s: once the code is entered, %s is logged in", clock(s.reply.Until), shown(s.address))
		return ctx.Err()
	}
	if ctx.Err() != nil {
		s.giveUp(ctx)
		s.g.stage.left = "the login is given up, unless its code was sent already: `tokend status " + shellWord(s.typed) + "`; to begin again: tokend login " + shellWord(s.typed)
		return ctx.Err()
	}
	if err != nil {
		s.giveUp(ctx)
		if hintOf(err) == "" && s.reply.Device == nil {
			err = withHint(err, "begin again: tokend login %s, and paste the whole address that the browser was sent to", s.typed)
		}
		return err
	}
	fmt.Fprintf(s.g.out, "%s: logged in\n", shown(s.address))
	return nil
}

// giveUp gives the login up, unless it has come to its end: nobody finishes it once
// this command has ended. Where that fails, who holds it gives it up by itself later.
func (s *loginSession) giveUp(ctx context.Context) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), callbackGrace)
	defer cancel()
	_ = s.t.LoginCancel(end, loginID{s.address, s.reply.ID})
}

// begin begins the login, and opens the port that its redirect comes to where
// nobody else has.
func (s *loginSession) begin(ctx context.Context) error {
	r, err := s.t.LoginStart(ctx, loginRequest{Address: s.address, Paste: s.paste})
	if err != nil {
		return err
	}
	if at, ok := login.ParseLoopback(r.Redirect); ok && !s.paste && r.Served == servedByCommand {
		s.server, err = listenCallback(ctx, at)
		if err != nil {
			s.barred = takenWhy(at, err)
		}
	}
	if r.ID == "" && r.Device == nil { // the port was left open
		again := loginRequest{Address: s.address, Paste: s.server == nil}
		if s.server != nil {
			again.Port = s.server.port
		}
		if r, err = s.t.LoginStart(ctx, again); err != nil {
			s.closeServer()
			return err
		}
	}
	s.reply = r
	return nil
}

func (s *loginSession) closeServer() {
	if s.server != nil {
		s.server.close()
	}
}

// say prints what the person has to do.
func (s *loginSession) say() {
	out := s.g.out
	if d := s.reply.Device; d != nil {
		fmt.Fprintf(out, "Open this address in a browser, on any device, and enter the code %s:\n\n  %s\n\n", d.UserCode, d.URI)
		if d.Complete != "" {
			fmt.Fprintf(out, "This one has the code in it:\n\n  %s\n\n", d.Complete)
		}
		fmt.Fprintf(out, "Waiting until %s for the approval.\n", clock(s.reply.Until))
		return
	}
	if s.paste && !isTerminal(out) {
		fmt.Fprintln(out, s.reply.URL)
		return
	}
	fmt.Fprintf(out, "Open this address in a browser and approve:\n\n  %s\n\n", s.reply.URL)
	const where = "paste the address that you were sent to, and press Enter:"
	switch {
	case s.paste:
		fmt.Fprintf(out, "Then %s\n", where)
	case s.received() && s.reply.Stray:
		fmt.Fprintf(out, "Its last page does not end this login, unless it says so: this API may send back nothing that a visit is known by.\nThen, until %s, %s\n", clock(s.reply.Until), where)
	case s.received() && isNull(s.g.in):
		fmt.Fprintf(out, "Waiting until %s for the browser to come back to %s.\n", clock(s.reply.Until), s.reply.Redirect)
	case s.received():
		fmt.Fprintf(out, "Waiting until %s for the browser to come back to %s.\nWhere it is on another machine, that page does not load: %s\n", clock(s.reply.Until), s.reply.Redirect, where)
	case s.barred != "":
		fmt.Fprintf(out, "The browser's way back is barred: %s.\nIts last page may not load. Then %s\n", s.barred, where)
	default:
		fmt.Fprintf(out, "Nobody here receives the browser's way back. Then %s\n", where)
	}
}

// isNull reports whether nothing can ever be read: it is the null device.
func isNull(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	is, err := f.Stat()
	null, nerr := os.Stat(os.DevNull)
	return err == nil && nerr == nil && os.SameFile(is, null)
}

// clock is a time of today as a person says it.
func clock(t time.Time) string { return t.Local().Format("15:04") }

// received reports whether somebody receives the redirect.
func (s *loginSession) received() bool { return s.server != nil || s.reply.Served == servedByDaemon }

// await waits for the first of the ways that the login may come to its end by.
func (s *loginSession) await(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2) // by a paste, by whoever else finished it
	served := make(chan struct{})
	defer func() {
		cancel()
		<-served // the browser's page
	}()
	go func() {
		defer close(served)
		if s.server != nil {
			s.server.serve(ctx, s.visited)
		}
	}()
	go func() { ended <- s.wait(ctx) }()
	go func() {
		if s.reply.Device != nil {
			return // there is nothing to paste
		}
		if err := s.readPaste(ctx); err != nil {
			ended <- err
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// visited hands over what a browser brought. How the login ends, wait says.
func (s *loginSession) visited(ctx context.Context, redirected string) (string, error) {
	err := s.handOver(ctx, redirected, true)
	if login.Again(err) {
		return "", err
	}
	return shown(s.address), err
}

// handOver gives the login its redirect. Where the daemon goes away meanwhile it is
// given to the one that comes: a login takes one redirect, however often it is given.
func (s *loginSession) handOver(ctx context.Context, redirected string, visited bool) error {
	for {
		err := s.t.LoginFinish(ctx, loginFinish{Address: s.address, ID: s.reply.ID, Redirect: redirected, Visited: visited})
		if !s.t.daemon || !interrupted(err) || pause(ctx, loginLook) != nil {
			return againOf(err)
		}
	}
}

// readPaste reads pasted lines and hands them over, until one ends the login. The
// error that it returns ends the command; a login that succeeds, wait sees.
func (s *loginSession) readPaste(ctx context.Context) error {
	lines := bufio.NewReader(s.g.in)
	for {
		line, err := readPasted(ctx, lines)
		if errors.Is(err, errNoLine) && !s.paste && s.received() {
			if !isNull(s.g.in) { // of which nothing was awaited
				fmt.Fprintf(s.g.out, "Standard input has ended, so nothing can be pasted: the browser alone is waited for, until %s.\n", clock(s.reply.Until))
			}
			return nil
		}
		if err != nil {
			return withHint(fmt.Errorf("reading the redirected address: %w", err), "give the redirected address as one line on standard input")
		}
		err = s.handOver(ctx, line, false)
		switch {
		case err == nil, ctx.Err() != nil:
			return nil
		case s.paste || !login.Again(err):
			return err
		}
		s.g.printNotice(s.g.err, "error", err.Error(), "paste the whole address that the browser was sent to")
	}
}

// daemonBack is how long is waited for a daemon that went away in the middle of a
// login: one that is restarted comes back, and knows it still.
const daemonBack = time.Minute

// wait waits for the login's end, by whatever way it comes.
func (s *loginSession) wait(ctx context.Context) error {
	gone := time.Time{}
	for {
		err := s.t.LoginWait(ctx, loginID{s.address, s.reply.ID})
		if !interrupted(err) || !s.t.daemon {
			return err
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !noDaemon(err):
			gone = time.Time{} // it is there, or just about to end
		case gone.IsZero():
			gone = time.Now()
		case time.Since(gone) > daemonBack:
			return withHint(fmt.Errorf("the daemon ended in the middle of this login: %w", err), "when it runs again, begin again: tokend login %s", s.typed)
		}
		if err := pause(ctx, loginLook); err != nil {
			return err
		}
	}
}

// loginLook is how often is looked whether a daemon is back.
const loginLook = 200 * time.Millisecond

// interrupted reports whether an error says nothing of the login: the daemon went
// away.
func interrupted(err error) bool {
	k := control.KindOf(err)
	return err != nil && (k == control.KindInterrupted || k == control.KindUnavailable || noDaemon(err))
}

// againOf is an error of a redirect that leaves its login pending, also when a
// daemon said so.
func againOf(err error) error {
	switch control.KindOf(err) {
	case control.KindInvalid:
		return againError{err, login.ErrIncomplete}
	case control.KindRefused:
		return againError{err, login.ErrState}
	}
	return err
}

// againError is such an error of the daemon's.
type againError struct {
	error
	is error
}

func (e againError) Unwrap() []error { return []error{e.error, e.is} }

// errNoLine: there was nothing to read.
var errNoLine = errors.New("there was nothing to read")

// readLine reads one line: an answer.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	return awaitLine(ctx, func() (string, error) { return boundedLine(bufio.NewReader(r)) })
}

// readPasted reads the next line that is not empty.
func readPasted(ctx context.Context, r *bufio.Reader) (string, error) {
	return awaitLine(ctx, func() (string, error) {
		for {
			if line, err := boundedLine(r); err != nil || strings.TrimSpace(line) != "" {
				return line, err
			}
		}
	})
}

// awaitLine awaits the line that read reads.
func awaitLine(ctx context.Context, read func() (string, error)) (string, error) {
	line, err := await(ctx, read)
	switch line = strings.TrimSpace(line); {
	case line != "":
		return line, nil
	case err == nil, errors.Is(err, io.EOF):
		return "", errNoLine
	}
	return "", err
}

// await waits for what read reads, or until ctx ends: the reading itself ends with
// the process.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		read T
		err  error
	}
	got := make(chan result, 1)
	go func() {
		in, err := read()
		got <- result{in, err}
	}()
	select {
	case in := <-got:
		return in.read, in.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// boundedLine reads a line of no more than a redirect may have.
func boundedLine(r *bufio.Reader) (string, error) {
	var line []byte
	for len(line) < login.MaxRedirect {
		b, err := r.ReadByte()
		if err != nil || b == '\n' {
			return string(line), err
		}
		line = append(line, b)
	}
	return string(line), nil
}
