package main

import (
	"bufio"
	"io"

	"github.com/rogpeppe/go-internal/testscript"
)

// pipe is a command's output, read line by line while it runs.
type pipe struct {
	*io.PipeWriter
	r *bufio.Reader
}

// feed is a command's input, sent when the script knows what to send.
type feed struct {
	*io.PipeReader
	w *io.PipeWriter
}

func newPipe(ts *testscript.TestScript) (*pipe, *feed) {
	r, w := io.Pipe()
	in, out := io.Pipe()
	ts.Defer(func() { r.Close(); out.Close() })
	return &pipe{w, bufio.NewReader(r)}, &feed{in, out}
}

// line is the next line of output; false at its end.
func (p *pipe) line() (string, bool) {
	s, err := p.r.ReadString('\n')
	go func() { _, _ = io.Copy(io.Discard, p.r) }()
	if err != nil || len(s) < 2 {
		return "", false
	}
	return s[:len(s)-1], true
}

func (f *feed) send(s string) {
	go func() {
		_, _ = io.WriteString(f.w, s)
		f.w.Close()
	}()
}
