package main

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// lines writes a log so that lines which are ready together take one system call. Where
// thousands of tokens are obtained in a second, a call for each of their lines costs as
// much as sealing them. It is safe for concurrent use.
type lines struct {
	w io.Writer

	mu      sync.Mutex
	pending []byte // whole lines, in their order
	spare   []byte // what the last write has left, to be used again

	coming  atomic.Bool   // somebody has said that they write what is pending, and has not begun
	writing chan struct{} // a lock: as a channel, so that who waits for it is seen to wait (testing/synctest)
}

func newLines(w io.Writer) *lines { return &lines{w: w, writing: make(chan struct{}, 1)} }

// linesKept bounds what is kept for the next lines.
const linesKept = 64 << 10

// Write implements [io.Writer] for a handler, line by line: what it is given waits for
// the flush that has to follow.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, line...)
	return len(line), nil
}

// flush returns once all that was pending is written.
func (l *lines) flush() error {
	l.writing <- struct{}{}
	defer func() { <-l.writing }()
	l.mu.Lock()
	b := l.pending
	l.pending = l.spare[:0]
	l.mu.Unlock()
	var err error
	if len(b) > 0 {
		_, err = l.w.Write(b)
	}
	if l.spare = b; cap(b) > linesKept {
		l.spare = nil
	}
	return err
}

// flushSoon leaves what is pending to who is about to write it, or else writes it after
// letting those go first that are ready to run and may have lines, too. Nothing waits
// longer than that: whoever leaves its line to another finds that one in here.
func (l *lines) flushSoon() error {
	if !l.coming.CompareAndSwap(false, true) {
		return nil
	}
	runtime.Gosched()
	l.coming.Store(false) // before it is taken: who comes from now on may be too late for it
	return l.flush()
}
