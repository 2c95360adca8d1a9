package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what is written to its end is kept.
type terminal struct {
	*os.File // the end that a process has
	kept     chan string
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	end, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	pty := &terminal{end, make(chan string, 1)}
	go func() {
		b, _ := io.ReadAll(master) // ends with EIO, once the other end is closed
		_ = master.Close()
		pty.kept <- strings.ReplaceAll(string(b), "\r\n", "\n")
	}()
	return pty
}

// shown closes the process's end and returns what came.
func (p *terminal) shown() string {
	_ = p.Close()
	return <-p.kept
}

// A plan is coloured where a person reads it and wants it so, and nowhere else;
// without its colours it is the same text.
func TestAPlanIsColouredOnATerminal(t *testing.T) {
	dir := configOf(t, `
secret "file" "key" { path = "key" }
credential "apirone" "key" {
  grant        = "transfer_key"
  transfer_key = secret.file.key.value
}
sink "file" "key" {
  path    = "/nowhere/key"
  content = credential.apirone.key.transfer_key
}
`)
	write(t, filepath.Join(dir, "key"), "a-key")
	state := t.TempDir()
	plan := func(environ []string, out io.Writer) {
		t.Helper()
		p := process{args: []string{"plan", "--config", dir, "--state", state, "--control", filepath.Join(state, "none.sock")}, environ: environ, in: strings.NewReader(""), out: out, err: out}
		if status := run(context.Background(), p); status != exitOK {
			t.Fatalf("exit status %d", status)
		}
	}
	var plain bytes.Buffer
	plan([]string{"TERM=xterm"}, &plain)
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(plain.String(), "\nPlan: 1 to obtain, 1 to write.\n") {
		t.Errorf("where no terminal is:\n%q", plain.String())
	}

	coloured := newTerminal(t)
	plan([]string{"TERM=xterm"}, coloured.File)
	got := coloured.shown()
	for _, want := range []string{"\x1b[1mObtain\x1b[0m\n  \x1b[32m+\x1b[0m apirone.key\n", "\x1b[1mWrite\x1b[0m\n", "\x1b[1mPlan:\x1b[0m 1 to obtain, 1 to write.\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("on a terminal there is no %q in\n%q", want, got)
		}
	}
	for _, c := range []string{bold, green} {
		got = strings.ReplaceAll(got, "\x1b["+c+"m", "")
	}
	if got = strings.ReplaceAll(got, "\x1b[0m", ""); got != plain.String() {
		t.Errorf("without its colours it is\n%s\nnot\n%s", got, plain.String())
	}

	for _, environ := range [][]string{{"TERM=xterm", "NO_COLOR=1"}, {"TERM=dumb"}} {
		calm := newTerminal(t)
		plan(environ, calm.File)
		if got := calm.shown(); got != plain.String() {
			t.Errorf("with %q a terminal shows\n%q", environ, got)
		}
	}
}
