package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"tokend/pkg/sinks"
	"tokend/pkg/spec"
)

// askedSink is a kind of sink that tells what a first write replaces when it gets so far,
// as Vault does.
type askedSink struct{ *places }

func (a askedSink) Render(args spec.Values) (sinks.Desired, error) {
	d, err := a.places.Render(args)
	d.Target = "vault.main"
	return d, err
}

func (a askedSink) Write(ctx context.Context, d sinks.Desired, last []byte) ([]byte, error) {
	if fail, _ := a.failing(); fail == nil && d.Replaces != nil && a.get(strings.TrimPrefix(d.Place, "mem:")) != "" {
		d.Replaces("version 3 of a secret")
	}
	return a.places.Write(ctx, d, last)
}

// logLines collects what is logged.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logLines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

// What a first write replaces is said when it is replaced, also where nobody could be
// asked at the first try; and not of what we wrote ourselves.
func TestARetriedFirstWriteSaysWhatItReplaces(t *testing.T) {
	inWorld(t, strict(), func(t *testing.T, w *world) {
		said := &logLines{}
		w.halt()
		w.kind, w.log = askedSink{w.places}, slog.New(slog.NewTextHandler(said, nil))
		w.start()
		w.places.forge("trader", "somebody else's")
		w.places.failWith(errors.New("Vault cannot be reached"))
		w.set(trader("a@example.com", ""))
		time.Sleep(2 * time.Minute)
		const replaces = "a sink replaces what somebody else put at its place"
		if n := said.count(replaces); n != 0 {
			t.Errorf("said %d times while nothing was replaced", n)
		}
		w.places.failWith(nil)
		time.Sleep(6 * time.Minute)
		if n := said.count(replaces); n != 1 || w.places.get("trader") == "somebody else's" {
			t.Errorf("said %d times; the place holds %q", n, w.places.get("trader"))
		}
		time.Sleep(time.Hour) // it is written with every new token
		if n := said.count(replaces); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
}

// writtenThenFailed is a kind of file that a write leaves at its place though it fails,
// as one does whose directory cannot be synced. It tells what it replaces in any case.
type writtenThenFailed struct{ *places }

func (f writtenThenFailed) Write(ctx context.Context, d sinks.Desired, last []byte) ([]byte, error) {
	place := strings.TrimPrefix(d.Place, "mem:")
	if d.Replaces != nil && last == nil && f.get(place) != "" {
		d.Replaces("a file")
	}
	if fail, _ := f.failing(); fail != nil {
		f.forge(place, d.Content.(string))
		return nil, fail
	}
	return f.places.Write(ctx, d, last)
}

// A file that a first write has left though it failed is not said to be replaced by the
// next; what stood there before it is said once.
func TestAFailedFirstWriteOfAFileIsNotSaidToBeReplaced(t *testing.T) {
	for before, want := range map[string]int{"": 0, "somebody else's": 1} {
		inWorld(t, strict(), func(t *testing.T, w *world) {
			said := &logLines{}
			w.halt()
			w.kind, w.log = writtenThenFailed{w.places}, slog.New(slog.NewTextHandler(said, nil))
			w.start()
			if before != "" {
				w.places.forge("trader", before)
			}
			w.places.failWith(errors.New("the directory cannot be synced"))
			w.set(trader("a@example.com", ""))
			time.Sleep(2 * time.Minute)
			w.places.failWith(nil)
			time.Sleep(6 * time.Minute)
			if n := said.count("a sink replaces what somebody else put at its place"); n != want {
				t.Errorf("over %q: said %d times, want %d", before, n, want)
			}
			if got := w.places.get("trader"); got == "" || got == before {
				t.Errorf("over %q: the place holds %q", before, got)
			}
		})
	}
}
