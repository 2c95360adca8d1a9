package reconcile_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tokend/pkg/sinks"
)

// meddled are places that are files, too, into which somebody else writes at the
// worst moment.
type meddled struct {
	*places
	dir string

	mu           sync.Mutex
	left         sinks.Seen // by the last write
	afterWrite   int        // so many writes are followed by one of somebody else's
	afterCompare int        // so are so many comparisons
	tells        bool       // how a write left its file
}

func (m *meddled) path(account []byte) string {
	place, _, _ := strings.Cut(string(account), " ")
	return filepath.Join(m.dir, place)
}

func (m *meddled) seen(path string) (s sinks.Seen) {
	if info, err := os.Lstat(path); err == nil {
		st := info.Sys().(*syscall.Stat_t)
		s = sinks.Seen{Path: path, Inode: st.Ino, Changed: st.Ctim.Nano(), Modified: st.Mtim.Nano()}
	}
	return s
}

// meddle is a write of somebody else's, to another file of the same name.
func (m *meddled) meddle(place string) error {
	m.forge(place, "somebody else's")
	path := filepath.Join(m.dir, place)
	if err := os.WriteFile(path+".new", []byte("somebody else's"), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (m *meddled) Write(ctx context.Context, d sinks.Desired, last []byte) ([]byte, error) {
	account, err := m.places.Write(ctx, d, last)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := os.WriteFile(m.path(account), account, 0o600); err != nil {
		return nil, err
	}
	if m.left = m.seen(m.path(account)); m.tells {
		d.Left(m.left)
	}
	if m.afterWrite > 0 {
		m.afterWrite--
		err = m.meddle(filepath.Base(m.path(account)))
	}
	return account, err
}

func (m *meddled) Check(ctx context.Context, d sinks.Desired, last []byte) (string, error) {
	drift, err := m.places.Check(ctx, d, last)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.afterCompare > 0 && err == nil {
		m.afterCompare--
		err = m.meddle(strings.TrimPrefix(d.Place, "mem:"))
	}
	return drift, err
}

func (m *meddled) Paths(account []byte) []string { return []string{m.path(account)} }

func (m *meddled) Intact(_ context.Context, account []byte) (sinks.Seen, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.seen(m.path(account))
	return now, now == m.left && now.Path != ""
}

// What somebody else writes into a place just after it was written, before anybody
// watches it, or just after it was compared, is put right like any other drift.
func TestSomebodyElseWritesAtTheSameMoment(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		m := &meddled{places: w.places, dir: t.TempDir(), afterWrite: 1}
		w.halt()
		w.kind = m
		w.start()
		w.set(trader("a@example.com", ""))
		time.Sleep(time.Second)
		if got := w.places.get("trader"); got == "" || got == "somebody else's" {
			t.Errorf("after the first write the place holds %q", got)
		}
		m.mu.Lock()
		m.afterCompare = 1
		m.mu.Unlock()
		if err := w.loop.Wake(t.Context(), []string{"sink.mem.trader"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := w.places.get("trader"); got != "somebody else's" {
			t.Fatalf("nobody meddled: %q", got)
		}
		if err := w.loop.Touched(t.Context(), []string{filepath.Join(m.dir, "trader")}, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := w.places.get("trader"); got == "somebody else's" {
			t.Error("what came after a comparison is taken for what was compared")
		}
	})
}

// Where a write tells how it left its file, what somebody else writes after it is
// noticed with the first look of who begins to watch it, and the write itself never.
func TestSomebodyElseWritesAfterAWriteThatTells(t *testing.T) {
	for _, meddling := range []int{0, 1} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			m := &meddled{places: w.places, dir: t.TempDir(), afterWrite: meddling, tells: true}
			w.halt()
			w.kind = m
			w.start()
			w.set(trader("a@example.com", ""))
			time.Sleep(time.Second)
			before := strings.Count(w.places.events(), "write:")
			if err := w.loop.Touched(t.Context(), []string{filepath.Join(m.dir, "trader")}, false); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if got := w.places.get("trader"); got == "" || got == "somebody else's" {
				t.Errorf("%d others: the place holds %q", meddling, got)
			}
			if did := strings.Count(w.places.events(), "write:") - before; did != meddling {
				t.Errorf("%d others: it was written %d times more", meddling, did)
			}
		})
	}
}
