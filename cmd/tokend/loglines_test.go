package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// slowWriter counts writes, of which each waits until it is let go.
type slowWriter struct {
	mu     sync.Mutex
	wrote  bytes.Buffer
	writes int
	goOn   chan struct{} // nil: at once
}

func (s *slowWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	goOn := s.goOn
	s.mu.Unlock()
	if goOn != nil {
		<-goOn
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	return s.wrote.Write(b)
}

func (s *slowWriter) state() (lines, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.wrote.String(), "\n"), s.writes
}

// Whoever logs alone has the line written when that returns, whatever its level.
func TestALineAloneIsWrittenAtOnce(t *testing.T) {
	w := &slowWriter{}
	log := slog.New(newCleanHandler(newLines(w), slog.LevelInfo))
	for i, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelInfo} {
		log.Log(t.Context(), level, "said")
		if n, writes := w.state(); n != i+1 || writes != i+1 {
			t.Errorf("after line %d there are %d in %d writes", i+1, n, writes)
		}
	}
}

// What comes while a line is being written is written together, and a warning has been
// written when it returns, with all that came before it.
func TestLinesThatAreReadyTogetherAreWrittenTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{goOn: make(chan struct{})}
		log := slog.New(newCleanHandler(newLines(w), slog.LevelInfo))
		var all sync.WaitGroup
		all.Go(func() { log.Info("first") })
		synctest.Wait()
		for range 100 {
			all.Go(func() { log.Info("more") })
		}
		synctest.Wait()
		warned := make(chan int, 1)
		go func() {
			log.Warn("warning")
			n, _ := w.state()
			warned <- n
		}()
		synctest.Wait()
		close(w.goOn)
		if n := <-warned; n != 102 {
			t.Errorf("%d lines were written when a warning returned, want 102", n)
		}
		all.Wait()
		if n, writes := w.state(); n != 102 || writes > 3 {
			t.Errorf("%d lines in %d writes, want 102 in 3 at the most", n, writes)
		}
	})
}

// Once all that logged have returned every line is written, whole and in the order of
// who wrote it, though nobody asks for that.
func TestNoLineIsLeftUnwritten(t *testing.T) {
	const writers, each = 32, 200
	w := &slowWriter{}
	log := slog.New(newCleanHandler(newLines(w), slog.LevelInfo))
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			log := log.With("writer", i)
			for n := range each {
				log.Info("said", "n", n)
			}
		})
	}
	all.Wait()
	next := map[string]int{}
	for line := range strings.Lines(w.wrote.String()) {
		_, rest, _ := strings.Cut(line, `"writer":`)
		who, n, _ := strings.Cut(strings.TrimSuffix(rest, "}\n"), `,"n":`)
		if n != fmt.Sprint(next[who]) {
			t.Fatalf("writer %s: line %q where its line %d was expected", who, line, next[who])
		}
		next[who]++
	}
	for i := range writers {
		if n := next[fmt.Sprint(i)]; n != each {
			t.Errorf("writer %d: %d lines, want %d", i, n, each)
		}
	}
}
