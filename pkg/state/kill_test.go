package state_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tokend/pkg/secret"
	"tokend/pkg/state"
)

const (
	childVariable = "TOKEND_STATE_TEST_CHILD"
	childWriters  = 8

	rotateVariable = "TOKEND_STATE_TEST_ROTATE" // the child rotates the key instead
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child refreshes for ever: each of its writers opens an intent, replaces its
// credential's token and clears the intent, and prints each acknowledged step.
func child(dir string) error {
	s, err := state.Open(context.Background(), state.Options{Dir: dir})
	if err != nil {
		return err
	}
	fmt.Println("open", os.Getpid())
	if os.Getenv(rotateVariable) != "" {
		return rotateForEver(s, dir)
	}
	var mu sync.Mutex
	say := func(a ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = os.Stdout.WriteString(fmt.Sprintln(a...)) // one write: a line is whole or absent
	}
	failed := make(chan error)
	for w := range childWriters {
		go func() { failed <- refreshForEver(s, w, say) }()
	}
	return <-failed
}

func refreshForEver(s *state.Bolt, w int, say func(...any)) error {
	address := killAddress(w)
	c, _, err := s.Credential(context.Background(), address)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	c.Head.Address = address
	for {
		next := c.Head.Generation + 1
		if err := s.Commit(context.Background(), state.Change{IntentFor: address, Intent: &state.Intent{Op: "refresh", Generation: next}}); err != nil {
			return err
		}
		say("intent", w, next)
		c.Head.Generation = next
		c.Grant = &state.Grant{Generation: next, RefreshToken: secret.New(killToken(w, next))}
		k, err := s.Sink(context.Background(), killSink(w))
		if err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		k.Head.Address, k.Head.Generation = killSink(w), next
		if err := s.Commit(context.Background(), state.Change{Credential: &c, ClearIntent: true}, state.Change{Sink: &k}); err != nil {
			return err
		}
		say("grant", w, next)
	}
}

func killAddress(w int) string { return fmt.Sprintf("credential.k.w[%d]", w) }
func killSink(w int) string    { return fmt.Sprintf("sink.file.w[%d]", w) }
func killToken(w int, generation uint64) string {
	return fmt.Sprintf("token-%d-%d-%s", w, generation, strings.Repeat("x", int(generation*37%3000)))
}

// What a child was heard to say of one writer.
type heard struct{ intent, grant uint64 }

// TestKill ends a writing process with SIGKILL at random moments, and checks
// what the next one finds: all that was acknowledged, nothing torn.
func TestKill(t *testing.T) {
	rounds, limit := 50, 12*time.Second
	if testing.Short() {
		rounds = 5
	}
	dir := t.TempDir()
	last := make([]heard, childWriters)
	deadline := time.Now().Add(limit)
	round := 0
	for ; round < rounds && time.Now().Before(deadline); round++ {
		killOnce(t, dir, last)
		checkKilled(t, dir, last)
		if t.Failed() {
			t.Fatalf("after round %d", round)
		}
	}
	t.Logf("%d rounds, generations up to %d", round, last[0].grant)
	if last[0].grant == 0 {
		t.Error("no child got as far as a grant: nothing was tested")
	}
}

func startChild(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(io.Reader(out))
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "open ") {
		_ = cmd.Process.Kill()
		t.Fatalf("the child said %q, want that it has opened the state", lines.Text())
	}
	return cmd, lines
}

func killOnce(t *testing.T, dir string, last []heard) {
	t.Helper()
	cmd, lines := startChild(t, dir)
	killer := time.AfterFunc(time.Duration(rand.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
	defer killer.Stop()
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 3 {
			t.Errorf("the child said %q", lines.Text())
			continue
		}
		w, _ := strconv.Atoi(f[1])
		generation, _ := strconv.ParseUint(f[2], 10, 64)
		if f[0] == "intent" {
			last[w].intent = generation
		} else {
			last[w].grant = generation
		}
	}
	_ = cmd.Wait()
}

func checkKilled(t *testing.T, dir string, last []heard) {
	t.Helper()
	s := open(t, state.Options{Dir: dir})
	for w := range last {
		c, intent, err := s.Credential(t.Context(), killAddress(w))
		if errors.Is(err, state.ErrNotFound) && last[w] == (heard{}) {
			continue
		}
		if err != nil {
			t.Errorf("Credential(%s) = %v", killAddress(w), err)
			continue
		}
		g, h := c.Head.Generation, last[w]
		switch {
		case g < h.grant || g > h.intent:
			t.Errorf("writer %d: the record has generation %d; %d was acknowledged and %d begun", w, g, h.grant, h.intent)
		case g == h.grant && h.intent > h.grant && intent == nil:
			t.Errorf("writer %d: the intent for generation %d was acknowledged and is gone", w, h.intent)
		case intent != nil && intent.Generation != g+1:
			t.Errorf("writer %d: the intent is for generation %d beside a record of generation %d", w, intent.Generation, g)
		case c.Head.Version != g:
			t.Errorf("writer %d: version %d after %d writes", w, c.Head.Version, g)
		case g > 0 && c.Grant.RefreshToken.Reveal() != killToken(w, g):
			t.Errorf("writer %d: the token of generation %d is torn", w, g)
		}
		k, err := s.Sink(t.Context(), killSink(w))
		if g > 0 && (err != nil || k.Head.Generation != g) {
			t.Errorf("writer %d: its sink has generation %d (%v) and its credential, committed with it, %d", w, k.Head.Generation, err, g)
		}
		// The next child begins where the file is, not where the pipe ended.
		last[w] = heard{grant: g, intent: g}
		if intent != nil {
			last[w].intent = intent.Generation
		}
	}
	if err := s.Heads(t.Context(), func(state.Head) error { return nil }); err != nil {
		t.Errorf("Heads = %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func rotateForEver(s *state.Bolt, dir string) error {
	for {
		if err := s.RotateKey(context.Background(), state.RenewedKeyFile(filepath.Join(dir, state.GeneratedName))); err != nil {
			return err
		}
		fmt.Println("rotated")
	}
}

// A rotation is killed at random moments: there is always a key that opens the
// state.
func TestARotationThatIsKilled(t *testing.T) {
	t.Setenv(rotateVariable, "1")
	dir := t.TempDir()
	rotations := 0
	for round := range 25 {
		cmd, lines := startChild(t, dir)
		killer := time.AfterFunc(time.Duration(rand.IntN(40))*time.Millisecond, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		for lines.Scan() {
			if lines.Text() != "rotated" {
				t.Errorf("round %d: the child said %q", round, lines.Text())
			}
			rotations++
		}
		killer.Stop()
		_ = cmd.Wait()
		s, err := state.Open(t.Context(), state.Options{Dir: dir})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if rotations == 0 {
		t.Error("no key was ever rotated: nothing was tested")
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	cmd, _ := startChild(t, dir)
	_, err := state.Open(t.Context(), state.Options{Dir: dir})
	if !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", cmd.Process.Pid)) {
		t.Errorf("Open = %v, want ErrLocked that names process %d", err, cmd.Process.Pid)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	s := open(t, state.Options{Dir: dir})
	if _, err := state.Open(t.Context(), state.Options{Dir: dir}); !errors.Is(err, state.ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("opening it twice = %v, want ErrLocked", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, state.Options{Dir: dir})
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	open(t, state.Options{Dir: dir})
	for name, want := range map[string]os.FileMode{".": 0o700, state.FileName: 0o600, state.LockName: 0o600, state.GeneratedName: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("Stat = %v", err)
		} else if got := info.Mode().Perm(); got != want {
			t.Errorf("the mode of %s is %04o, want %04o", name, got, want)
		}
	}
}
