package rig

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// startTimeout is generous: tests run beside others on two cores.
const startTimeout = 60 * time.Second

// stopTimeout is what a process has for stopping by itself before it is killed: as
// generous.
const stopTimeout = 60 * time.Second

// process is a child that says on its first line of output that it is ready, and
// that stops when its standard input ends.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	said   *tail
	exited chan struct{} // closed once the child was waited for
}

// start runs the command and returns it with what follows the prefix on its first
// line, such as the address that it listens on.
func start(t testing.TB, cmd *exec.Cmd, prefix string) (*process, string) {
	t.Helper()
	p := &process{cmd: cmd, said: &tail{limit: 64 << 10}, exited: make(chan struct{})}
	cmd.Stderr = p.said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	p.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", cmd.Path, err)
	}

	first := make(chan string, 1)
	go func() {
		defer close(p.exited)
		out := bufio.NewReader(stdout)
		line, _ := out.ReadString('\n')
		first <- line
		_, _ = io.Copy(p.said, out)
		_ = cmd.Wait()
	}()

	select {
	case line := <-first:
		if addr, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
			return p, addr
		}
		p.kill()
		t.Fatalf("starting %s: its first line is %q and not %q\n%s", cmd.Path, line, prefix, p.said)
	case <-time.After(startTimeout):
		p.kill()
		t.Fatalf("starting %s: it said nothing within %v\n%s", cmd.Path, startTimeout, p.said)
	}
	panic("not reached")
}

// stop ends the child's input and waits for it to stop.
func (p *process) stop() error {
	_ = p.stdin.Close()
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("stopping %s: still there after %v, killed", p.cmd.Path, stopTimeout)
	}
}

// kill ends the child as a power cut would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.stdin.Close()
	<-p.exited
}

// tail keeps the last bytes that were written to it.
type tail struct {
	limit int

	mu  sync.Mutex
	buf []byte
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	if over := len(w.buf) - w.limit; over > 0 {
		w.buf = append(w.buf[:0], w.buf[over:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.buf)
}
