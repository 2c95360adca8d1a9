package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
)

// Version of the protocol. It is raised when a request that both sides know
// changes its meaning; new requests and new arguments do not raise it.
const Version = 1

// versionHeader carries it.
const versionHeader = "Tokend-Control"

const (
	maxRequest  = 1 << 20
	readTimeout = 30 * time.Second // of a request
	grace       = 5 * time.Second  // for handlers to end after the daemon was told to stop
)

// sendTimeout is how long a client may leave what it is sent unread.
const sendTimeout = 30 * time.Second

// Serve answers requests until ctx ends; then the handlers' contexts end too,
// they get a moment to finish, and the socket is removed. log hears of bugs; nil
// is nobody.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	if log == nil {
		log = noLog()
	}
	return (&server{handler: h, log: log, sendTimeout: sendTimeout}).serve(ctx, ln)
}

func noLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// server is one Serve.
type server struct {
	handler     http.Handler
	log         *slog.Logger
	sendTimeout time.Duration
}

type serverKey struct{}

func (s *server) serve(ctx context.Context, ln net.Listener) error {
	hs := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readTimeout,
		IdleTimeout:       readTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return context.WithValue(ctx, serverKey{}, s) },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			p, err := peerOf(c)
			if err != nil {
				return ctx // nobody, and so refused
			}
			return context.WithValue(ctx, peerKey{}, p)
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving the control socket: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := hs.Shutdown(end); err != nil {
		_ = hs.Close() // their contexts ended long ago
	}
	<-failed
	return nil
}

// ServeHTTP lets those in who may ask, and keeps a handler's bug to its request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(versionHeader, strconv.Itoa(Version))
	peer, known := PeerOf(r.Context())
	if !known || !peer.served() {
		s.log.Warn("control request refused", "uid", peer.UID, "pid", peer.PID)
		reply(w, &Error{Kind: KindDenied, Message: fmt.Sprintf("user %d may not control this daemon", peer.UID),
			Hint: "run the command as root or as the daemon's user"})
		return
	}
	if got := r.Header.Get(versionHeader); got != strconv.Itoa(Version) {
		reply(w, &Error{Kind: KindProtocol, Message: fmt.Sprintf("the request speaks version %q of the control protocol, and this daemon version %d", got, Version),
			Hint: "restart the daemon after an upgrade, or use the tokend binary that it runs"})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		// Not the value: it may quote what was being worked on.
		s.log.Error("bug: panic while answering a control request", "request", r.Method+" "+r.URL.Path, "stack", string(debug.Stack()))
		reply(w, &Error{Kind: KindInternal, Message: "the daemon hit a bug while answering; its log has the place", Hint: "please report it"})
	}()
	s.handler.ServeHTTP(w, r)
}

// reply answers with an error.
func reply(w http.ResponseWriter, e *Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Kind.status())
	_ = json.NewEncoder(w).Encode(line{Error: e})
}

// line is one of a stream, and an error anywhere.
type line struct {
	Item  json.RawMessage `json:"item,omitempty"`
	End   bool            `json:"end,omitempty"`
	Error *Error          `json:"error,omitempty"`
}

// Handle makes a handler of a function from a request's JSON to an answer's. A
// request without a body is In's zero value; an argument that In does not know
// is an error, lest something asked for be silently left undone.
func Handle[In, Out any](f func(ctx context.Context, in In) (Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := read[In](w, r)
		if err != nil {
			reply(w, errorOf(err))
			return
		}
		out, err := f(r.Context(), in)
		if err != nil {
			reply(w, errorOf(err))
			return
		}
		b, err := json.Marshal(out)
		if err != nil {
			// Not err: a marshaller may quote what it refuses.
			reply(w, &Error{Kind: KindInternal, Message: fmt.Sprintf("the daemon's answer, a %T, cannot be encoded", out), Hint: "please report it"})
			return
		}
		deadline(w, r)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(b, '\n'))
	})
}

// HandleStream makes a handler of a function that sends as many items as it
// likes. send's error means that the client has gone or does not read; f should
// return then.
func HandleStream[In any](f func(ctx context.Context, in In, send func(item any) error) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in, err := read[In](w, r)
		if err != nil {
			reply(w, errorOf(err))
			return
		}
		st := &stream{w: w, r: r}
		err = f(r.Context(), in, func(item any) error {
			b, err := json.Marshal(item)
			if err != nil {
				return fmt.Errorf("encoding a %T", item)
			}
			return st.write(line{Item: b})
		})
		switch {
		case err == nil:
			_ = st.write(line{End: true})
		case !st.begun:
			reply(w, errorOf(err))
		default:
			_ = st.write(line{Error: errorOf(err)})
		}
	})
}

// stream writes lines that arrive at once.
type stream struct {
	w     http.ResponseWriter
	r     *http.Request
	begun bool
}

func (s *stream) write(l line) error {
	if !s.begun {
		s.w.Header().Set("Content-Type", "application/x-ndjson")
		s.begun = true
	}
	deadline(s.w, s.r)
	if err := json.NewEncoder(s.w).Encode(l); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}

// deadline bounds the next write.
func deadline(w http.ResponseWriter, r *http.Request) {
	if s, ok := r.Context().Value(serverKey{}).(*server); ok {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.sendTimeout))
	}
}

// read decodes the request, all of it: only then does the server notice that
// the client goes.
func read[In any](w http.ResponseWriter, r *http.Request) (in In, err error) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(readTimeout))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil && !isEmpty(err) {
		return in, badRequest(err)
	}
	if _, err := d.Token(); !isEmpty(err) {
		return in, badRequest(errors.New("there is more than one JSON value"))
	}
	return in, nil
}
