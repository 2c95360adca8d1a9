package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tokend/pkg/control"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

type question struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

type answer struct {
	Text string       `json:"text"`
	Peer control.Peer `json:"peer"`
}

// socket is a path that is short enough, wherever the temporary directory is.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "tokend.sock")
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs a daemon's end and returns its client and how to stop it.
func serve(t *testing.T, mux *http.ServeMux) (c *control.Client, stop func() error) {
	t.Helper()
	path := socket(t)
	ln, err := control.Listen(path)
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, ln, mux, nil) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return receive(t, done, "Serve returned")
	}
	t.Cleanup(func() { check(t, stop()) })
	return control.Dial(path), stop
}

func receive[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("not within %s: %s", patience, what)
	}
	return v
}

func noItems(json.RawMessage) error { return nil }

func wantError(t *testing.T, err error, kind control.Kind, parts ...string) *control.Error {
	t.Helper()
	var e *control.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is no *control.Error", err, err)
	}
	if e.Kind != kind || control.KindOf(err) != kind {
		t.Errorf("error %q is of kind %s, want %s", e, e.Kind, kind)
	}
	for _, p := range parts {
		if !strings.Contains(e.Message+"\n"+e.Hint, p) {
			t.Errorf("error %q with hint %q does not say %q", e.Message, e.Hint, p)
		}
	}
	return e
}

func TestQuestionAndAnswer(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/greet", control.Handle(func(ctx context.Context, q question) (answer, error) {
		p, ok := control.PeerOf(ctx)
		if !ok {
			return answer{}, errors.New("no peer")
		}
		return answer{Text: fmt.Sprintf("%s %d", q.Name, q.Count), Peer: p}, nil
	}))
	mux.Handle("GET /v1/status", control.Handle(func(context.Context, struct{}) ([]string, error) { return []string{"a", "b"}, nil }))
	c, _ := serve(t, mux)

	var got answer
	check(t, c.Do(t.Context(), "POST", "/v1/greet", question{"ann", 3}, &got))
	want := answer{"ann 3", control.Peer{PID: os.Getpid(), UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
	check(t, c.Do(t.Context(), "POST", "/v1/greet", nil, &got))
	if got.Text != " 0" {
		t.Errorf("a request without a body gave %q", got.Text)
	}
	var list []string
	check(t, c.Do(t.Context(), "GET", "/v1/status", nil, &list))
	if d := cmp.Diff([]string{"a", "b"}, list); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
	check(t, c.Do(t.Context(), "GET", "/v1/status", nil, nil))
}

func TestErrorsCrossTheSocket(t *testing.T) {
	held := &control.Error{Kind: control.KindRefused, Message: "12 revocations are held", Hint: "tokend approve"}
	fails := map[string]error{
		"typed":     held,
		"wrapped":   fmt.Errorf("applying: %w", held),
		"plain":     errors.New("disk full"),
		"cancelled": fmt.Errorf("refreshing: %w", context.Canceled),
	}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/do", control.Handle(func(_ context.Context, q question) (answer, error) { return answer{}, fails[q.Name] }))
	mux.Handle("POST /v1/stream", control.HandleStream(func(_ context.Context, q question, send func(any) error) error {
		for i := range q.Count {
			if err := send(i); err != nil {
				return err
			}
		}
		return fails[q.Name]
	}))
	c, _ := serve(t, mux)
	for name, want := range map[string]control.Error{
		"typed":     *held,
		"wrapped":   {Kind: control.KindRefused, Message: "applying: 12 revocations are held", Hint: "tokend approve"},
		"plain":     {Kind: control.KindFailed, Message: "disk full"},
		"cancelled": {Kind: control.KindInterrupted, Message: "refreshing: context canceled"},
	} {
		check := func(how string, err error) {
			t.Helper()
			if e := wantError(t, err, want.Kind); cmp.Diff(want, *e) != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, how, cmp.Diff(want, *e))
			}
		}
		check("asked", c.Do(t.Context(), "POST", "/v1/do", question{Name: name}, nil))
		for _, items := range []int{0, 3} {
			got := 0
			check(fmt.Sprintf("streamed after %d items", items), c.Stream(t.Context(), "/v1/stream", question{name, items}, func(json.RawMessage) error { got++; return nil }))
			if got != items {
				t.Errorf("%d items came before the error, want %d", got, items)
			}
		}
	}
}

func TestStream(t *testing.T) {
	mux := http.NewServeMux()
	ended := make(chan error, 1)
	more := make(chan int)
	mux.Handle("POST /v1/watch", control.HandleStream(func(ctx context.Context, _ struct{}, send func(any) error) error {
		for {
			select {
			case n, ok := <-more:
				if !ok {
					return nil
				}
				if err := send(question{Name: "item", Count: n}); err != nil {
					ended <- err
					return err
				}
			case <-ctx.Done():
				ended <- ctx.Err()
				return ctx.Err()
			}
		}
	}))
	c, _ := serve(t, mux)
	watch := func(ctx context.Context, each func(question) error) <-chan error {
		done := make(chan error, 1)
		go func() {
			done <- c.Stream(ctx, "/v1/watch", nil, func(item json.RawMessage) error {
				var q question
				if err := json.Unmarshal(item, &q); err != nil {
					return err
				}
				return each(q)
			})
		}()
		return done
	}

	// Items arrive one by one, each when it is sent.
	items := make(chan question)
	ctx, cancel := context.WithCancel(t.Context())
	done := watch(ctx, func(q question) error { items <- q; return nil })
	for n := range 3 {
		more <- n
		if q := receive(t, items, "an item came"); q.Count != n {
			t.Errorf("item %d came, want %d", q.Count, n)
		}
	}
	// The client goes: the handler hears of it.
	cancel()
	if err := receive(t, done, "Stream returned"); !errors.Is(err, context.Canceled) {
		t.Errorf("Stream returned %v, want Canceled", err)
	}
	if err := receive(t, ended, "the handler's context ended"); !errors.Is(err, context.Canceled) {
		t.Errorf("the handler ended by %v", err)
	}
	// The client has had enough.
	enough := errors.New("enough")
	done = watch(t.Context(), func(question) error { return enough })
	more <- 1
	if err := receive(t, done, "Stream returned"); !errors.Is(err, enough) {
		t.Errorf("Stream returned %v, want what each said", err)
	}
	receive(t, ended, "the handler's context ended")
	// The daemon has no more.
	done = watch(t.Context(), func(question) error { return nil })
	more <- 1
	close(more)
	check(t, receive(t, done, "Stream returned"))
}

func TestHandlerHearsThatTheClientWent(t *testing.T) {
	mux := http.NewServeMux()
	begun, ended := make(chan struct{}), make(chan struct{})
	mux.Handle("POST /v1/slow", control.Handle(func(ctx context.Context, _ question) (answer, error) {
		close(begun)
		<-ctx.Done()
		close(ended)
		return answer{}, ctx.Err()
	}))
	c, _ := serve(t, mux)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Do(ctx, "POST", "/v1/slow", question{Name: "x"}, nil) }()
	receive(t, begun, "the handler began")
	cancel()
	receive(t, ended, "the handler's context ended")
	if err := receive(t, done, "Do returned"); !errors.Is(err, context.Canceled) {
		t.Errorf("Do returned %v, want Canceled", err)
	}
}

func TestDaemonThatStopsTellsItsClients(t *testing.T) {
	mux := http.NewServeMux()
	begun := make(chan struct{}, 2)
	mux.Handle("POST /v1/slow", control.Handle(func(ctx context.Context, _ struct{}) (answer, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return answer{}, ctx.Err()
	}))
	mux.Handle("POST /v1/watch", control.HandleStream(func(ctx context.Context, _ struct{}, send func(any) error) error {
		if err := send(1); err != nil {
			return err
		}
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}))
	c, stop := serve(t, mux)
	done := make(chan error, 2)
	go func() { done <- c.Do(t.Context(), "POST", "/v1/slow", nil, nil) }()
	go func() {
		done <- c.Stream(t.Context(), "/v1/watch", nil, noItems)
	}()
	receive(t, begun, "a handler began")
	receive(t, begun, "both handlers began")
	check(t, stop())
	for range 2 {
		wantError(t, receive(t, done, "a client was told"), control.KindInterrupted, "context canceled")
	}
	if _, err := os.Lstat(c.Path()); err == nil {
		t.Error("the socket is still there")
	}
	err := c.Do(t.Context(), "GET", "/v1/status", nil, nil)
	wantError(t, err, control.KindUnavailable, c.Path(), "tokend run")
	if !errors.Is(err, control.ErrNoDaemon) {
		t.Errorf("error %v is not ErrNoDaemon", err)
	}
}

func TestBugInAHandlerStaysThere(t *testing.T) {
	const canary = "hunter2-canary"
	mux := http.NewServeMux()
	mux.Handle("POST /v1/panic", control.Handle(func(context.Context, struct{}) (answer, error) { panic(canary) }))
	mux.Handle("POST /v1/midway", control.HandleStream(func(_ context.Context, _ struct{}, send func(any) error) error {
		if err := send(1); err != nil {
			return err
		}
		panic(canary)
	}))
	mux.Handle("POST /v1/unencodable", control.Handle(func(context.Context, struct{}) (any, error) { return map[string]any{"x": func() {}}, nil }))
	mux.Handle("POST /v1/fine", control.Handle(func(context.Context, struct{}) (string, error) { return "fine", nil }))
	c, _ := serve(t, mux)
	for _, err := range []error{
		c.Do(t.Context(), "POST", "/v1/panic", nil, nil),
		c.Stream(t.Context(), "/v1/midway", nil, noItems),
		c.Do(t.Context(), "POST", "/v1/unencodable", nil, nil),
	} {
		if e := wantError(t, err, control.KindInternal, "report"); strings.Contains(e.Message+e.Hint, canary) {
			t.Errorf("error %q shows what the panic was about", e.Message)
		}
	}
	var got string
	check(t, c.Do(t.Context(), "POST", "/v1/fine", nil, &got))
}

func TestBadRequestsAreExplained(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("POST /v1/do", control.Handle(func(context.Context, question) (string, error) { return "", nil }))
	c, _ := serve(t, mux)
	for name, in := range map[string]struct {
		body any
		kind control.Kind
		want string
	}{
		"an argument of a newer command": {map[string]any{"name": "x", "force": true}, control.KindProtocol, `argument "force"`},
		"a wrong type":                   {map[string]any{"count": "hunter2"}, control.KindInvalid, "count is a string, and should be a int"},
		"not an object":                  {[]int{1}, control.KindInvalid, "array"},
		"two values":                     {json.RawMessage(`{} {}`), control.KindInvalid, ""},
		"far too long":                   {question{Name: strings.Repeat("x", 2<<20)}, control.KindInvalid, "longer than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			if raw, ok := in.body.(json.RawMessage); ok { // what no encoder of ours would send
				if status, body := sendRaw(t, c.Path(), "1", string(raw)); status != http.StatusBadRequest || !strings.Contains(body, `"kind":"invalid"`) {
					t.Errorf("status %d, body %s", status, body)
				}
				return
			}
			err := c.Do(t.Context(), "POST", "/v1/do", in.body, nil)
			if e := wantError(t, err, in.kind, in.want); strings.Contains(e.Message, "hunter2") {
				t.Errorf("error %q quotes the request", e.Message)
			}
		})
	}
	wantError(t, c.Do(t.Context(), "POST", "/v1/newer", nil, nil), control.KindProtocol, "POST /v1/newer", "restart")
	wantError(t, c.Do(t.Context(), "GET", "/v1/do", nil, nil), control.KindProtocol, "GET /v1/do")
	wantError(t, c.Stream(t.Context(), "/v1/newer", nil, noItems), control.KindProtocol, "POST /v1/newer")
}
